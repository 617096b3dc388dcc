"""The commands that an analyst uses once there is a model, checked on a corpus whose truth is known."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.cli.console import score_text
from cuckoo_ml_plugin.frames.desk import Desk

SCHEMA = json.loads((files("cuckoo_ml_plugin.finding") / "section.schema.json").read_text(encoding="utf-8"))


def score(demo: DemoHome, *paths: Path) -> dict[str, Any]:
    """The section of each report, by analysis."""
    done = cuckoo_ml(demo.home, "score", *paths, "--json")
    assert done.code == 0, done.err
    return {answer["analysis"]: answer for answer in done.json}


def section_of(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("analysis", "report")}


@pytest.fixture(scope="module")
def answers(demo: DemoHome) -> dict[str, Any]:
    """The section of every analysis of the corpus."""
    return score(demo, demo.corpus.folder)


@pytest.fixture
def new_report(demo: DemoHome, tmp_path: Path) -> Path:
    """A copy of a new sample's report."""
    return Path(shutil.copy(demo.corpus.new[0].path, tmp_path))


def member_cluster(demo: DemoHome, answers: dict[str, Any], family: str) -> set[str]:
    """The clusters that hold members of a family."""
    members = [sample.name for sample in demo.corpus.fitted if sample.family == family and sample.role == "member"]
    return {answers[name]["cluster"]["id"] for name in members if answers[name]["cluster"]}


# -- are the answers true? ---------------------------------------------------------------------------------------------
def test_every_answer_keeps_to_the_published_schema(demo: DemoHome, answers: dict[str, Any]) -> None:
    assert set(answers) == {sample.name for sample in demo.corpus.analyses}, "a folder is scored at once"
    for answer in answers.values():
        jsonschema.validate(section_of(answer), SCHEMA)
        json.dumps(answer, allow_nan=False)


def test_clusters_are_families(demo: DemoHome, answers: dict[str, Any]) -> None:
    members = [sample for sample in demo.corpus.fitted if sample.role == "member" and answers[sample.name]["cluster"]]
    labelled = [sample for sample in demo.corpus.fitted if sample.role == "member"]
    assert len(members) >= 0.85 * len(labelled)
    by_cluster: dict[str, Counter[str]] = {}
    for sample in members:
        by_cluster.setdefault(answers[sample.name]["cluster"]["id"], Counter())[sample.family] += 1
    pure = sum(max(families.values()) for families in by_cluster.values())
    assert pure >= 0.97 * len(members), "hardly any cluster mixes families"
    assert len(by_cluster) <= 5 * len({sample.family for sample in members}), (
        "families are not split into too many clusters"
    )


def test_new_variants_are_recognised_and_a_new_family_is_called_unlike_anything(
    demo: DemoHome, answers: dict[str, Any]
) -> None:
    for sample in demo.corpus.new:
        answer = answers[sample.name]
        if sample.role == "novel":
            assert answer["cluster"] is None
            assert answer["anomaly"]["anomalous"] is True
            kinds = [reason["kind"] for reason in answer["anomaly"]["reasons"]]
            assert {"novel_behaviour", "no_cluster"} <= set(kinds)
        else:
            assert answer["cluster"], f"a new {sample.family} belongs to no cluster"
            assert answer["cluster"]["id"] in member_cluster(demo, answers, sample.family)
            assert answer["similar"][0]["similarity"] > 0.3


def test_wrong_labels_and_floods_of_files_are_named(demo: DemoHome, answers: dict[str, Any]) -> None:
    (wrong,) = [sample for sample in demo.corpus.fitted if sample.role == "mislabelled"]
    (abnormal,) = [sample for sample in demo.corpus.fitted if sample.role == "abnormal"]
    reasons = {reason["kind"]: reason for reason in answers[wrong.name]["anomaly"]["reasons"]}
    assert "label_mismatch" in reasons
    assert wrong.family in reasons["label_mismatch"]["text"]
    texts = [reason["text"] for reason in answers[abnormal.name]["anomaly"]["reasons"]]
    assert any(text.startswith("Files written: 1,7") for text in texts)


def test_samples_that_did_nothing_are_compared_by_their_files_and_say_so(
    demo: DemoHome, answers: dict[str, Any]
) -> None:
    for sample in demo.corpus.fitted:
        answer = answers[sample.name]
        kinds = [reason["kind"] for reason in answer["anomaly"]["reasons"]]
        assert answer["status"] == "scored"
        assert ("static_only" in kinds) == (sample.role == "noise")
        assert answer["message"] == ("The sample showed no behaviour when it ran." if sample.role == "noise" else "")
        if sample.role == "noise":
            assert answer["similar"], "no analysis with such a file"


def test_evidence_is_behaviour_a_person_can_read_and_rare_elsewhere(demo: DemoHome, answers: dict[str, Any]) -> None:
    for sample in demo.corpus.new:
        evidence = answers[sample.name]["evidence"]
        assert evidence
        for piece in evidence:
            assert piece["value"].isprintable()
            assert 0 <= piece["in_corpus"] <= 1
            if answers[sample.name]["cluster"] and not answers[sample.name]["anomaly"]["anomalous"]:
                assert piece["in_cluster"] > piece["in_corpus"]


def test_a_stored_analysis_is_not_similar_to_itself(answers: dict[str, Any]) -> None:
    for name, answer in answers.items():
        assert name not in {past["analysis"] for past in answer["similar"]}


# -- commands ----------------------------------------------------------------------------------------------------------
def test_scoring_touches_neither_model_nor_store(demo: DemoHome, new_report: Path) -> None:
    def state() -> dict[str, bytes]:
        contents = {str(path): path.read_bytes() for path in (demo.home / "models").rglob("*") if path.is_file()}
        return contents | {"store": (demo.home / "store.db").read_bytes()}

    before, content = state(), new_report.read_bytes()
    assert cuckoo_ml(demo.home, "score", new_report).code == 0
    assert state() == before
    assert new_report.read_bytes() == content


def test_one_finding_is_shown_in_detail_and_many_as_a_table(demo: DemoHome) -> None:
    novel = next(sample for sample in demo.corpus.new if sample.role == "novel")
    detail = cuckoo_ml(demo.home, "score", novel.path).out
    assert "Unusual: no known group behaves like it" in detail
    assert "It behaves unusually" in detail
    assert "Evidence of its own" in detail
    table = cuckoo_ml(demo.home, "score", *[sample.path for sample in demo.corpus.new]).out
    for new in demo.corpus.new:
        assert new.name in table


def test_similar_clusters_and_anomalies_answer_from_the_store(demo: DemoHome, answers: dict[str, Any]) -> None:
    member = next(
        sample for sample in demo.corpus.fitted if sample.role == "member" and answers[sample.name]["cluster"]
    )
    similar = cuckoo_ml(demo.home, "similar", member.name, "--json")
    assert similar.json == answers[member.name]["similar"]
    assert member.name in cuckoo_ml(demo.home, "similar", member.name).out
    listed = cuckoo_ml(demo.home, "clusters", "--json").json
    sizes = Counter(answer["cluster"]["id"] for answer in answers.values() if answer["cluster"])
    assert {cluster["id"] for cluster in listed} <= set(sizes)
    first = listed[0]
    stored = Desk(demo.home).analyses()
    outside = stored[stored["has_behaviour"] & stored["cluster"].isna()]
    assert stored["has_behaviour"].all(), "of a silent sample, facts of its file are known"
    samples = outside["sha256"].nunique()
    sentence = f"In no cluster: {samples} samples" + (f", {len(outside)} runs." if len(outside) > samples else ".")
    assert sentence in cuckoo_ml(demo.home, "clusters").out
    detail = cuckoo_ml(demo.home, "clusters", first["id"], "--limit", "500", "--json").json
    assert len(detail["members"]) == first["stored_samples"] == first["samples"]
    assert sum(member["runs"] for member in detail["members"]) == first["stored"] == first["size"]
    assert {member["analysis"] for member in detail["members"]} <= {
        name for name, answer in answers.items() if answer["cluster"] and answer["cluster"]["id"] == first["id"]
    }
    assert detail["evidence"]
    assert first["name"] in cuckoo_ml(demo.home, "clusters", first["id"]).out
    anomalies = cuckoo_ml(demo.home, "anomalies", "--limit", "500", "--json").json
    assert anomalies
    scores = [anomaly["score"] for anomaly in anomalies]
    assert scores == sorted(scores, reverse=True)
    assert {anomaly["analysis"] for anomaly in anomalies} == {
        sample.name
        for sample in demo.corpus.fitted
        if answers[sample.name]["anomaly"] and answers[sample.name]["anomaly"]["anomalous"]
    }
    assert cuckoo_ml(demo.home, "anomalies", "--days", "0", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("score",), 2, "Missing argument"),
        (("score", "/nowhere/report.json"), 1, "no such file"),
        (("similar", "nobody"), 1, "nobody"),
        (("clusters", "c9999"), 1, "c9999"),
        (("clusters", "--limit", "0"), 2, "limit"),
        (("clusters", "c1", "--limit", "9" * 20), 2, "limit"),
        (("anomalies", "--limit", "9" * 20), 2, "limit"),
        (("anomalies", "--days", "nan"), 2, "days"),
        (("anomalies", "--days", "1e6"), 2, "days"),
        (("assess", "--sweep", "--eps", "nan"), 2, "eps"),
        (("assess", "--sweep", "--epsilon", "nan"), 2, "epsilon"),
        (("assess", "--sweep", "--least-clustered", "nan"), 2, "least-clustered"),
        (("threat-scores", "table.csv", "--threshold", "nan"), 2, "threshold"),
        (("no-such-command",), 2, "No such command"),
        (("models", "rollback", "none"), 1, "none"),
    ],
)
def test_a_mistake_ends_in_one_sentence(demo: DemoHome, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = cuckoo_ml(demo.home, *arguments)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_mistyped_home_is_reported_and_not_created(new_report: Path, tmp_path: Path) -> None:
    typo = tmp_path / "typo"
    commands: tuple[tuple[str, ...], ...] = (
        ("refit",), ("refit", "--if-needed"), ("similar", "1"), ("clusters",), ("anomalies",), ("models", "list"),
        ("models", "prune"), ("assess",), ("export", "out"), ("atlas",), ("refresh",), ("threat-scores", "--by", "tag"),
    )  # fmt: skip
    for arguments in commands:
        done = cuckoo_ml(typo, *arguments)
        assert (done.code, done.err.count("\n")) == (1, 1), (arguments, done.err)
        assert f"{typo}: there is no home" in done.err
    scored = cuckoo_ml(typo, "score", new_report, "--json")
    assert (scored.code, scored.json[0]["status"]) == (0, "no_model")
    assert f"{typo}: there is no home" in scored.err
    lost = cuckoo_ml(typo, "import", tmp_path / "nowhere.json", "--json")
    assert (lost.code, lost.json["unreadable"][0]["reason"]) == (1, "there is no such file")
    assert not typo.exists()
    assert "this is a file; --home must name a folder" in cuckoo_ml(new_report, "score", new_report).err


def test_a_folder_without_reports_is_reported(demo: DemoHome, tmp_path: Path) -> None:
    done = cuckoo_ml(demo.home, "score", tmp_path)
    assert done.code == 1
    assert f"{tmp_path}: there is no report file" in done.err
    assert "No report file" in cuckoo_ml(tmp_path / "home", "import", tmp_path).out


def test_a_list_that_is_cut_gives_the_total(demo: DemoHome) -> None:
    every = cuckoo_ml(demo.home, "anomalies", "--limit", "500", "--json").json
    assert len(every) > 2
    assert f"2 of {len(every)} anomalies" in cuckoo_ml(demo.home, "anomalies", "--limit", "2").out
    assert f"\n{len(every)} anomalies" in f"\n{cuckoo_ml(demo.home, 'anomalies', '--limit', '500').out}"
    cluster = max(cuckoo_ml(demo.home, "clusters", "--json").json, key=lambda brief: brief["stored"])
    assert (
        f"3 of {cluster['stored_samples']} samples"
        in cuckoo_ml(demo.home, "clusters", cluster["id"], "--limit", "3").out
    )


def test_ids_are_never_broken_and_scores_never_rounded_up(demo: DemoHome, tmp_path: Path) -> None:
    names = [f"{number:064x}" for number in range(4)]
    for name in names:
        shutil.copy(demo.corpus.new[0].path, tmp_path / f"{name}.json")
    output = cuckoo_ml(demo.home, "score", *(tmp_path / f"{name}.json" for name in names)).out
    assert all(name in output for name in names)
    models = cuckoo_ml(demo.home, "models", "list", "--json").json
    assert models[0]["id"] in cuckoo_ml(demo.home, "models", "list").out
    shown = {0.9469: "0.946", 0.95: "0.950", 0.9999: "0.999", 1.0: "1.000", None: ""}
    assert {value: score_text(value) for value in shown} == shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_our_characters_is_answered(demo: DemoHome, tmp_path: Path, encoding: str) -> None:
    named = tmp_path / "письмо.json"
    shutil.copy(demo.corpus.new[0].path, named)
    command = [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(demo.home), "score", str(named)]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    answered = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (answered.returncode, answered.stderr) == (0, b"")
    assert b"??????.json" in answered.stdout


def test_a_file_of_any_name_is_an_analysis(demo: DemoHome, tmp_path: Path) -> None:
    stored = next(sample for sample in demo.corpus.fitted if sample.path.name == "report.json")
    similar = [past["analysis"] for past in cuckoo_ml(demo.home, "similar", stored.path, "--json").json]
    assert stored.name not in similar, "an analysis is not like itself"
    content = demo.corpus.new[0].path.read_bytes()
    for name in (b"caf\xe9.json", b"x" * 250 + b".json", b"a b'\"<i>&\n.json"):
        (tmp_path / os.fsdecode(name)).write_bytes(content)
    done = cuckoo_ml(demo.home, "score", tmp_path, "--write", "--json")
    assert (done.code, len(done.json)) == (0, 3)
    assert cuckoo_ml(demo.home, "score", tmp_path).code == 0
    assert cuckoo_ml(tmp_path / "home", "import", tmp_path, "--json").json["stored"] == 3


def test_tlp_goes_with_a_cluster(demo: DemoHome, tmp_path: Path) -> None:
    done = cuckoo_ml(demo.home, "export", tmp_path / "out", "--tlp", "red")
    assert done.code == 2
    assert "--cluster" in done.err
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_an_error_comes_from(demo: DemoHome, tmp_path: Path) -> None:
    (tmp_path / "cuckooml.conf").write_text("[clustering]\nmin_cluster_size = many\n")
    plain = cuckoo_ml(tmp_path, "clusters")
    assert (plain.code, plain.err.count("\n")) == (1, 1)
    with pytest.raises(Exception, match="min_cluster_size"):
        cuckoo_ml(tmp_path, "--debug", "clusters")
    for arguments, tracebacks in ((("score",), 0), (("--debug", "score"), 1)):
        done = cuckoo_ml(demo.home, *arguments, tmp_path / "missing.json", tmp_path / "gone.json")
        assert done.err.count("Traceback") == 2 * tracebacks
        assert done.err.count("Error: ") >= 2


def test_one_bad_report_among_good_ones_is_named_and_the_others_are_scored(demo: DemoHome, tmp_path: Path) -> None:
    shutil.copy(demo.corpus.new[0].path, tmp_path / "good.json")
    (tmp_path / "bad.json").write_text('{"info": {')
    done = cuckoo_ml(demo.home, "score", tmp_path, "--json")
    assert done.code == 1
    assert [answer["analysis"] for answer in done.json] == ["good"]
    assert "bad.json" in done.err


# -- writing back ------------------------------------------------------------------------------------------------------
def _plain(report: dict[str, Any]) -> bytes:
    return json.dumps(report, ensure_ascii=False).encode()


def _indented(report: dict[str, Any]) -> bytes:
    return json.dumps(report, indent=4).encode()


def _dense(report: dict[str, Any]) -> bytes:
    return json.dumps(report, separators=(",", ":")).encode()


@pytest.mark.parametrize("write", [_plain, _indented, _dense])
@pytest.mark.parametrize("packed", [False, True])
def test_the_section_is_written_and_everything_else_stays_byte_for_byte(
    demo: DemoHome, tmp_path: Path, write: Callable[[dict[str, Any]], bytes], packed: bool
) -> None:
    report = json.loads(demo.corpus.new[0].path.read_bytes())
    report["odd"] = {"nan": float("nan"), "big": 1e308, "text": "é\u2028<script>", "deep": [[[]]]}
    path = tmp_path / ("report.json.gz" if packed else "report.json")
    content = write(report)
    path.write_bytes(gzip.compress(content) if packed else content)
    path.chmod(0o640)
    done = cuckoo_ml(demo.home, "score", path, "--write", "--json")
    assert done.code == 0, done.err
    assert path.stat().st_mode & 0o777 == 0o640
    written = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    after = json.loads(written)
    section, seed = after.pop("cuckooml"), after["info"].pop("clustering")["hdbscan"]
    assert write(after) == content
    assert section == section_of(done.json[0])
    assert set(seed) == {"clusterID", "clusterProbability", "outlierScore", "min_samples", "min_cluster_size"}
    assert isinstance(seed["clusterID"], int)
    assert seed["clusterProbability"] == section["cluster"]["probability"]
    assert sorted(os.listdir(tmp_path)) == [path.name], "no temporary file is left"
    again = cuckoo_ml(demo.home, "score", path, "--write", "--json")
    assert again.json == done.json, "a section of ours is not behaviour"


def test_a_lone_surrogate_survives_writing_back(demo: DemoHome, new_report: Path) -> None:
    report = json.loads(new_report.read_bytes())
    report["odd"] = "\ud800 alone"
    new_report.write_text(json.dumps(report))
    assert cuckoo_ml(demo.home, "score", new_report, "--write").code == 0
    assert json.loads(new_report.read_text())["odd"] == "\ud800 alone"


def test_a_link_is_followed_and_stays_a_link(demo: DemoHome, new_report: Path) -> None:
    link = new_report.parent / "link.json"
    link.symlink_to(new_report)
    assert cuckoo_ml(demo.home, "score", link, "--write").code == 0
    assert link.is_symlink()
    assert "cuckooml" in json.loads(new_report.read_bytes())


@pytest.mark.parametrize("content", ['{\n%s"a": ' % (" " * 900), '{\n                "a": '], ids=["wide", "deep"])
def test_an_indentation_made_to_swell_a_report_is_not_kept(demo: DemoHome, tmp_path: Path, content: str) -> None:
    path = tmp_path / "swells.json"
    path.write_text(content + "[" * 400 + "0," * 20_000 + "0" + "]" * 400 + ', "info": {"id": 1}, "behavior": {}}')
    size = path.stat().st_size
    done = cuckoo_ml(demo.home, "score", path, "--write")
    assert done.code == 0, done.err
    assert "cuckooml" in json.loads(path.read_text())
    assert path.stat().st_size < 3 * size + 5_000


def test_numbers_too_large_for_python_are_written_as_they_were(demo: DemoHome, new_report: Path) -> None:
    report = new_report.read_text().rstrip()
    new_report.write_text(report[:-1] + ', "large": [1e999, -1E+4000, 1e308]}')
    assert cuckoo_ml(demo.home, "score", new_report, "--write").code == 0
    assert "Infinity" not in new_report.read_text()
    numbers = re.search(r'"large": ?\[\s*1e999,\s*-1E\+4000,\s*1e\+308\s*\]', new_report.read_text())
    assert numbers is not None


def test_a_report_nested_too_deeply_to_be_written_is_reported_and_others_are_written(
    demo: DemoHome, new_report: Path
) -> None:
    deep = new_report.parent / "deep.json"
    levels = 985  # read they can be; to write them again takes a little more of Python's stack
    content = '{"info":{"id":1},"behavior":{},"x":' + '{"a":' * levels + "1" + "}" * levels + "}"
    deep.write_text(content)
    done = cuckoo_ml(demo.home, "score", deep, new_report, "--write")
    assert "Traceback" not in done.err
    assert "cuckooml" in json.loads(new_report.read_text())
    assert done.code == 0 or (deep.read_text() == content and "deep.json" in done.err)


def test_names_of_files_and_arguments_reach_no_terminal_as_commands(demo: DemoHome, tmp_path: Path) -> None:
    evil = tmp_path / "x\x1b]0;owned\x07\u202ey.json"
    evil.write_text("{")
    for arguments in (
        ("similar", evil), ("score", evil), ("import", evil), ("clusters", "\x1b[2J"), (evil,), ("x", evil),
        ("models", "list", evil), ("score", "--json", evil.parent / "\x1b[31m*.json"),
    ):  # fmt: skip
        home = tmp_path / "home" if arguments[0] == "import" else demo.home
        done = cuckoo_ml(home, *arguments)
        assert done.err or done.out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", done.out + done.err), arguments


# -- a store that another program wrote into ---------------------------------------------------------------------------
def _blob(counts: object, tokens: bytes = b"api:NtClose\nfile_read:a") -> bytes:
    return bytes([1]) + zlib.compress(json.dumps(counts).encode() + b"\n" + tokens)


_BEHAVIOURS = "UPDATE cuckooml_analysis SET behaviour = ?"
FOREIGN = {
    "counts of another type": (_BEHAVIOURS, _blob({"files_read": "x", "mutexes": [1]})),
    "counts beyond numbers": (_BEHAVIOURS, _blob({"a": 10**400, "b": float("inf")})),
    "text as a score": ("UPDATE cuckooml_finding SET outlier_score = ?, probability = 'x'", "high"),
    "infinite threat scores": ("UPDATE cuckooml_threat_score SET score = ?", float("inf")),
    "sections of no shape": ("UPDATE cuckooml_finding SET section = ?", '[1, {"a": 2}]'),
}


@pytest.mark.parametrize("foreign", sorted(FOREIGN))
def test_what_another_program_wrote_into_the_store_ends_no_command_in_a_traceback(
    own_demo: DemoHome, foreign: str, tmp_path: Path
) -> None:
    statement, value = FOREIGN[foreign]
    with sqlite3.connect(own_demo.home / "store.db") as connection:
        connection.execute(statement, (value,))
    connection.close()
    for arguments in (("clusters",), ("anomalies", "--json"), ("similar", own_demo.corpus.fitted[0].name), ("refresh",),
                      ("export", tmp_path / "out"), ("refit",), ("anomalies", "--json")):  # fmt: skip
        done = cuckoo_ml(own_demo.home, *arguments)
        assert done.code in (0, 1)
        assert "Traceback" not in done.err
