"""After a refit, a refresh brings the findings in the store, the reports and MongoDB up to the new model."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import mongomock
import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.reports import CASES, case, real_reports

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.refresh import DocumentChange, refresh
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.mongodb import MongoReports
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity
from cuckoo_ml_plugin.store.store import Store


@pytest.fixture
def host(small_demo: DemoHome, tmp_path: Path) -> Path:
    """A host's storage folder with a dozen analyses, the home in it, and a model that is newer than all findings."""
    storage = tmp_path / "storage"
    for sample in [sample for sample in small_demo.corpus.fitted if "cape/storage" in str(sample.path)][:12]:
        shutil.copytree(sample.path.parents[1], storage / "analyses" / sample.name)
    home = storage / "cuckooml"
    shutil.copytree(small_demo.home, home, symlinks=True)
    return storage


def sections(storage: Path) -> dict[str, dict[str, object]]:
    written = {}
    for path in sorted((storage / "analyses").glob("*/reports/report.json")):
        written[path.parents[1].name] = json.loads(path.read_bytes()).get("cuckooml")
    return written


def test_the_store_gets_whole_findings_and_a_second_time_there_is_nothing_to_do(host: Path) -> None:
    home = host / "cuckooml"
    done = cuckoo_ml(home, "refresh", "--json")
    assert done.code == 0, done.err
    with Store.open(home / "store.db") as store:
        assert done.json["findings"] == done.json["looked_at"] == store.count()
        findings = store.findings_of(stored.analysis for stored in store.analyses_in_order())
        assert {finding.model for finding in findings.values()} == {done.json["model"]}
        assert all(json.loads(finding.section)["schema"] == 2 for finding in findings.values())
    again = cuckoo_ml(home, "refresh", "--json")
    assert again.json["findings"] == 0
    assert set(sections(host).values()) == {None}, "reports are left alone unless asked for"


def test_reports_are_written_once_for_each_model(host: Path) -> None:
    home = host / "cuckooml"
    failed = host / "analyses" / "9001" / "reports" / "report.json"
    failed.parent.mkdir(parents=True)
    report = case("cuckoo2_failed")
    failed.write_text(json.dumps(report | {"info": report["info"] | {"id": 9001}}), encoding="utf-8")
    assert cuckoo_ml(home, "import", host / "analyses" / "9001").code == 0
    done = cuckoo_ml(home, "refresh", "--reports", "--json")
    written = sections(host)
    assert done.json["reports"] == len(written) == 13
    assert any(section and section["status"] == "scored" for section in written.values())
    for name, section in written.items():
        answer = cuckoo_ml(home, "score", host / "analyses" / name / "reports" / "report.json", "--json").json[0]
        assert section is not None
        assert section["status"] == answer["status"]
        assert section["cluster"] == answer["cluster"]
    assert cuckoo_ml(home, "refresh", "--reports", "--json").json["reports"] == 0
    assert cuckoo_ml(home, "refit").code == 0
    assert cuckoo_ml(home, "refresh", "--reports", "--json").json["reports"] == 13
    again = sections(host)["9001"]
    assert written["9001"]
    assert again
    assert again["model"] != written["9001"]["model"]
    assert again["message"] == written["9001"]["message"]
    assert "hit the critical timeout" in str(again["message"]), "what the host said of the failed task"


@pytest.mark.parametrize("kind", ["cases", "real"])
def test_a_section_made_from_the_store_is_the_one_made_from_the_report(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Failed, static and Android tasks, short reports and usual ones: nothing that a section says is lost."""
    cases = [path for path in CASES.iterdir() if path.stem not in ("mongoexport_array", "html_login")]
    paths = cases
    if kind == "real":
        shared: Path = request.getfixturevalue("shared_data")
        paths = [*real_reports(shared), *sorted((shared / "cuckoo2" / "full").glob("*.json.gz"))]
    home = tmp_path / "home"
    home.mkdir()
    (home / "cuckooml.conf").write_text("[refit]\nmin_analyses = 5\n", encoding="utf-8")
    imported = cuckoo_ml(home, "import", *paths, "--jobs", 1, "--json").json
    for command in ("refit", "refresh"):
        done = cuckoo_ml(home, command)
        assert done.code == 0, done.err
    with Store.open(home / "store.db") as store:
        findings = store.findings_of(stored.analysis for stored in store.analyses_in_order())
    from_store = {name: json.loads(finding.section) for name, finding in findings.items()}
    answers = cuckoo_ml(home, "score", *paths, "--json").json
    from_reports = {answer.pop("analysis"): answer for answer in answers if answer.pop("report")}
    assert from_store == from_reports
    messages = {entry["analysis"]: entry["remark"] for entry in imported["remarks"]}
    wrong = {name: said for name, said in messages.items() if not from_store[name]["message"].startswith(said)}
    assert not wrong  # of a small corpus, a message also says that there is no anomaly score
    if kind == "cases":
        failed = "The task failed in the sandbox: The analysis hit the critical timeout, terminating."
        assert messages["cuckoo2_failed"] == messages["debug_only"] == failed
        assert messages["cape_lite"].startswith("This is CAPE's short report")


def test_one_report_that_cannot_be_written_is_named_and_the_others_are(host: Path) -> None:
    bad = sorted((host / "analyses").glob("*/reports/report.json"))[3]
    bad.write_text("{ cut off")
    done = cuckoo_ml(host / "cuckooml", "refresh", "--reports", "--json")
    assert done.code == 1
    assert [failure["analysis"] for failure in done.json["failed"]] == [bad.parents[1].name]
    assert done.json["reports"] == 11


def test_a_folder_that_may_not_be_read_is_named_and_the_others_are_written(host: Path) -> None:
    closed = sorted((host / "analyses").iterdir())[2] / "reports"
    original = Path.is_file
    denied = PermissionError(errno.EACCES, "Permission denied", str(closed))

    def is_file(path: Path) -> bool:  # a mode would not keep root out
        if path.parent == closed:
            raise denied
        return original(path)

    with mock.patch.object(Path, "is_file", is_file):
        done = cuckoo_ml(host / "cuckooml", "refresh", "--reports", "--json")
    assert done.code == 1, done.err
    assert [failure["analysis"] for failure in done.json["failed"]] == [closed.parent.name]
    assert "ermission denied" in done.json["failed"][0]["reason"]
    assert done.json["reports"] == 11


@pytest.mark.parametrize("name", ["²", "٣", "007", "9" * 30, "report"])
def test_an_analysis_whose_name_is_no_number_has_no_document(name: str) -> None:
    client: Any = mongomock.MongoClient("mongodb://localhost/cuckoo")
    client["cuckoo"]["analysis"].insert_many([{"info": {"id": number}} for number in (2, 3, 7)])
    documents = MongoReports("mongodb://localhost/cuckoo", client)
    assert documents.put(Identity(task=name), {}, {}, "model") == DocumentChange()
    assert documents.put(Identity(task="7"), {"schema": 1}, {}, "model") == DocumentChange(1)


def test_documents_in_mongodb_are_brought_up_to_date(host: Path) -> None:
    client: Any = mongomock.MongoClient("mongodb://localhost/cuckoo")
    collection = client["cuckoo"]["analysis"]
    names = sorted(sections(host))
    collection.insert_many([document_of(host, name) for name in names])
    documents = MongoReports("mongodb://localhost/cuckoo", client)
    engine = Engine(Home(host / "cuckooml"))
    assert refresh(engine, documents=documents).documents == len(names)
    for document in collection.find():
        assert document["target"]["category"] == "file"
        assert document["cuckooml"]["schema"] == 2
        assert "clusterID" in document["info"]["clustering"]["hdbscan"]
    assert refresh(engine, documents=documents).documents == 0


def test_the_signature_of_a_finding_is_brought_up_to_date_in_mongodb_where_it_is(host: Path) -> None:
    """A host's other signatures and their order stay; a document without ours gets none."""
    client: Any = mongomock.MongoClient("mongodb://localhost/cuckoo")
    collection = client["cuckoo"]["analysis"]
    engine = Engine(Home(host / "cuckooml"))
    findings = {name: finding.section() for name in sections(host) if (finding := engine.score_stored(name))}
    asked, not_asked, left = sorted(name for name, finding in findings.items() if finding["cluster"])[:3]
    ours = {"name": "behaves_like", "description": "Behaves like an old cluster", "weight": 0}
    first, last = {"name": "first", "marks": [1]}, {"name": "last"}
    before = {asked: [first, ours, last], not_asked: [first], left: [first, ours]}
    collection.insert_many([document_of(host, name) | {"signatures": given} for name, given in before.items()])
    documents = MongoReports("mongodb://localhost/cuckoo", client)
    stored = engine.store.get(left)
    assert stored is not None
    no_more = findings[left] | {"cluster": None}
    assert documents.put(stored.identity, no_more, {}, engine.require_model().id) == DocumentChange(1)
    assert refresh(engine, documents=documents).documents == 2
    after = {str(document["info"]["id"]): document for document in collection.find()}
    cluster = after[asked]["cuckooml"]["cluster"]
    [*kept, signature] = after[asked]["signatures"]
    assert kept == [first, last]
    assert signature["name"] == "behaves_like"
    assert f"({cluster['id']}, probability {cluster['probability']:.2f})" in signature["description"]
    assert signature["weight"] == 0
    assert after[not_asked]["signatures"] == [first]
    assert after[left]["signatures"] == [first], "it belongs to no cluster any more"


def document_of(storage: Path, name: str) -> dict[str, Any]:
    """The document of a report as CAPE's MongoDB has it: what belongs to the file lies elsewhere."""
    report = json.loads((storage / "analyses" / name / "reports" / "report.json").read_bytes())
    file = report["target"]["file"]
    target = {"category": "file", "file": {"name": file["name"], "file_ref": file["sha256"]}}
    return {"info": {"id": int(name), "started": report["info"]["started"]}, "target": target}


def test_a_report_or_document_of_another_run_with_the_same_number_is_left_alone(host: Path) -> None:
    """The host's ids began again, and two tasks of a distributed CAPE collide: nobody gets another's finding."""
    home = host / "cuckooml"
    first, second, third, *_ = sorted(sections(host))
    path = host / "analyses" / first / "reports" / "report.json"
    report = json.loads(path.read_bytes())
    report["info"]["started"] = "2027-01-01 00:00:00"
    path.write_text(json.dumps(report))
    other = host / "analyses" / second / "reports" / "report.json"
    report = json.loads(other.read_bytes())
    report["target"]["file"]["sha256"] = "ab" * 32
    other.write_text(json.dumps(report | {"nan": float("nan")}))  # what msgspec refuses is compared, too
    done = cuckoo_ml(home, "refresh", "--reports", "--json")
    assert done.code == 0, done.err
    assert {entry["analysis"]: entry["where"] for entry in done.json["other_runs"]} == {
        first: str(path),
        second: str(other),
    }
    assert done.json["reports"] == 10
    assert sections(host)[first] is sections(host)[second] is None
    client: Any = mongomock.MongoClient("mongodb://localhost/cuckoo")
    collection = client["cuckoo"]["analysis"]
    own, collided = document_of(host, third), document_of(host, third)
    collided["target"]["file"]["file_ref"] = "cd" * 32
    collection.insert_many([document_of(host, first), document_of(host, second), collided, own])
    result = refresh(Engine(Home(home)), documents=MongoReports("mongodb://localhost/cuckoo", client))
    assert result.documents == 1
    assert [document["_id"] for document in collection.find({"cuckooml": {"$exists": True}})] == [own["_id"]]
    assert [name for name, _ in result.other_runs] == [first, second]
    shown = cuckoo_ml(home, "refresh", "--reports")
    assert "of another run" in shown.out
    assert str(path) in shown.out.replace("\n", "")


def test_a_missing_model_or_server_is_an_error_that_says_so(unfitted_home: Path, host: Path) -> None:
    done = cuckoo_ml(unfitted_home, "refresh")
    assert done.code == 1
    assert "no model yet" in done.err
    done = cuckoo_ml(host / "cuckooml", "refresh", "--mongodb", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    assert done.code == 1
    assert "MongoDB cannot be reached" in done.err
    assert cuckoo_ml(unfitted_home, "refresh", "--reports").code == 2
