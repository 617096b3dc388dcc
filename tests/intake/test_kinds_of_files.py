"""`cuckoo-ml import` and `score` take files of every kind, alone and in folders, and name what they pass over."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.reports import CAPE_REPORT, CASES, CUCKOO_REPORT, case, written

from cuckoo_ml_plugin.store.store import Store


def stored(home: Path) -> dict[str, Any]:
    with Store.open(home / "store.db") as store:
        return {analysis.analysis: analysis for analysis in store.analyses_in_order()}


def test_every_kind_of_report_in_a_folder_is_stored_and_the_rest_is_named(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "cases"
    shutil.copytree(CASES, folder)
    for number, path in enumerate(
        sorted(folder.glob("cape_*.json")), 1000
    ):  # they are cases of one run; make them many
        report = json.loads(path.read_text())
        written(folder, report | {"info": report["info"] | {"id": number}}, path.name)
    (folder / "notes.txt").write_text("no report")
    (folder / "dump.pcap").write_bytes(b"\xd4\xc3\xb2\xa1")
    (folder / "empty.json").write_bytes(b"")
    done = cuckoo_ml(home, "import", folder, "--json")
    assert done.code == 0, done.err
    assert {Path(failure["path"]).name for failure in done.json["unreadable"]} == {"html_login.json", "empty.json"}
    assert {Path(other["path"]).name for other in done.json["passed_over"]} == {"notes.txt", "dump.pcap"}
    assert done.json["read"] == done.json["stored"] + len(done.json["repeats"]) == 20
    assert done.json["without_behaviour"] == 3
    assert len(stored(home)) == done.json["stored"]
    remarks = " ".join(remark["remark"] for remark in done.json["remarks"])
    for sentence in (
        "The task failed in the sandbox: The analysis hit the critical timeout",
        "A static analysis: the sample was not run.",
        "import --mongodb",
        "short report",
    ):
        assert sentence in remarks
    again = cuckoo_ml(home, "import", folder)
    assert "20" not in again.out.partition("skipped")[0], "nothing is read a second time"
    table = {row[1].strip(): row[2].strip() for line in again.out.splitlines() if len(row := line.split("│")) == 4}
    assert (table["read"], table["passed over"], table["unreadable"]) == ("0", "2", "2")
    assert "notes.txt" in again.out
    assert "dump.pcap" in again.out
    assert "is HTML" in again.out


def test_a_url_task_is_stored_with_its_url(tmp_path: Path) -> None:
    cuckoo_ml(tmp_path, "import", CASES / "cape_url.json")
    (analysis,) = stored(tmp_path).values()
    assert (analysis.target, analysis.sha256) == ("https://login.bank.example/signin", None)


def test_each_report_of_a_file_is_an_analysis_and_a_changed_file_replaces_them(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "export.json"
    nameless = {**CAPE_REPORT, "info": {"version": "2.4-CAPE", "started": "2023-07-22 10:59:27"}}
    path.write_text("\n".join(map(json.dumps, (CAPE_REPORT, CUCKOO_REPORT, nameless))))
    done = cuckoo_ml(home, "import", path, "--json")
    assert (done.json["stored"], done.json["renamed"]) == (3, [])
    assert set(stored(home)) == {"7", "210", "export#3"}
    assert cuckoo_ml(home, "import", path, "--json").json["skipped"] == 1
    path.write_text("\n".join(map(json.dumps, (CAPE_REPORT, CUCKOO_REPORT, nameless, case("cape_url")))))
    assert cuckoo_ml(home, "import", path, "--json").json["stored"] == 4
    assert set(stored(home)) == {"7", "210", "export#3", "77"}


def test_a_damaged_report_among_several_is_named_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(f'{json.dumps(CAPE_REPORT)}\n{{"info": \n{json.dumps(CUCKOO_REPORT)}\n')
    done = cuckoo_ml(tmp_path / "home", "import", path, "--json")
    assert done.json["stored"] == 2
    (failure,) = done.json["unreadable"]
    assert failure["path"] == str(path)
    assert failure["reason"].startswith("report 2 in it: ")


CUT = json.dumps(CAPE_REPORT)[:-40]
DAMAGED = {
    "cut": CUT,
    "in the middle of a record": CUT[200:],
    "a text cut off": '{"info": {"version": "2.0',
    "none": "{{{",
}


@pytest.mark.parametrize("first", DAMAGED.values(), ids=DAMAGED.keys())
@pytest.mark.parametrize("name", ["export.json", "export.jsonl", "export.ndjson.gz"])
def test_json_lines_whose_first_report_is_damaged_lose_only_that_one(tmp_path: Path, first: str, name: str) -> None:
    path, home = tmp_path / name, tmp_path / "home"
    lines = "\n".join((first, json.dumps(CAPE_REPORT), '{"info": ', json.dumps(CUCKOO_REPORT), "")).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    done = cuckoo_ml(home, "import", path, "--json")
    assert set(stored(home)) == {"7", "210"}
    reasons = [failure["reason"] for failure in done.json["unreadable"]]
    assert [reason.partition(": ")[0] for reason in reasons] == ["report 1 in it", "report 3 in it"]
    scored = cuckoo_ml(home, "score", path, "--json")
    assert (scored.code, [finding["analysis"] for finding in scored.json]) == (1, ["7", "210"])
    assert "report 1 in it" in scored.err
    path.write_bytes(gzip.compress(lines.partition(b"\n")[2]) if path.suffix == ".gz" else lines.partition(b"\n")[2])
    cuckoo_ml(home, "import", path)
    assert set(stored(home)) == {"7", "210"}, "the mended file has the same analyses"


def test_a_name_says_json_lines_where_only_one_line_is_left(tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text(f"{CUT}\n")
    done = cuckoo_ml(tmp_path / "home", "import", path, "--json")
    assert [failure["reason"][:14] for failure in done.json["unreadable"]] == ["report 1 in it"]


@pytest.mark.parametrize("indent", [1, 0, None])
def test_one_damaged_report_is_one_whatever_its_lines(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(CUCKOO_REPORT, indent=indent)[:-30])
    done = cuckoo_ml(tmp_path / "home", "import", path, "--json")
    assert [failure["path"] for failure in done.json["unreadable"]] == [str(path)]
    assert "report 1 in it" not in done.json["unreadable"][0]["reason"]
    assert "is not valid JSON" in done.json["unreadable"][0]["reason"]


def test_in_a_hosts_folder_the_short_report_stands_in_for_a_whole_one_that_is_missing(tmp_path: Path) -> None:
    for number, names in (("77", ["lite.json"]), ("78", ["lite.json", "report.json"]), ("79", [])):
        reports = tmp_path / "analyses" / number / "reports"
        reports.mkdir(parents=True)
        (reports.parent / "task.json").write_text("{}")
        for name in names:
            shutil.copy(CASES / "cape_lite.json", reports / name)
        if "report.json" in names:
            written(reports, CAPE_REPORT)
    flat = tmp_path / "analyses" / "copied"
    flat.mkdir()
    written(flat, CUCKOO_REPORT)
    shutil.copy(CASES / "cape_lite.json", flat / "lite.json")
    done = cuckoo_ml(tmp_path / "home", "import", tmp_path / "analyses", "--json")
    assert set(stored(tmp_path / "home")) == {"77", "78", "report"}
    assert {Path(other["path"]).name for other in done.json["passed_over"]} == {"79", "lite.json"}
    assert [remark["analysis"] for remark in done.json["remarks"]] == ["77"]


def test_score_takes_the_same_files_and_says_what_a_silent_analysis_is(tmp_path: Path) -> None:
    several = cuckoo_ml(tmp_path, "score", CASES / "mongoexport_lines.json", "--json")
    assert [finding["analysis"] for finding in several.json] == ["1", "2", "3"]
    assert all("import --mongodb" in finding["message"] for finding in several.json)
    failed = cuckoo_ml(tmp_path, "score", CASES / "cuckoo2_failed.json", CASES / "r.json.zst", "--json")
    assert failed.code == 0
    assert failed.json[0]["message"].startswith("The task failed in the sandbox: The analysis hit the critical timeout")
    page = cuckoo_ml(tmp_path, "score", CASES / "html_login.json")
    assert page.code == 1
    assert "is HTML" in page.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mongoexport_lines.json", "several reports"),
        ("report.json.zip", "unpack it"),
        ("r.json.zst", "unpack it"),
        ("api_wrapped.json", "envelope"),
    ],
)
def test_no_section_is_written_into_a_file_of_another_form(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    shutil.copy(CASES / name, path)
    content = path.read_bytes()
    done = cuckoo_ml(tmp_path / "home", "score", path, "--write")
    assert done.code == 1
    assert reason in done.err
    assert path.read_bytes() == content
