"""An analysis is forgotten at once and for good: record, labels, findings, and its name in every model."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.store import Store


def everything_in(home: Path) -> bytes:
    """The bytes of all files of a home, the store's log included."""
    return b"".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file() and not path.is_symlink())


def most_mentioned(home: Path) -> tuple[str, str]:
    """Id and SHA-256 of the analysis that most findings of others mention, and that no other analysis shares."""
    counts: dict[tuple[str, str], int] = {}
    with Store.open(home / "store.db") as store:
        names = [stored.analysis for stored in store.analyses_in_order()]
        for finding in store.findings_of(names).values():
            for past in json.loads(finding.section)["similar"]:
                counts[past["analysis"], past["sha256"]] = counts.get((past["analysis"], past["sha256"]), 0) + 1
        alone = {key for key in counts if store.ids_of_file(key[1]) == [key[0]]}
    return max(alone, key=lambda key: counts[key])


def scores(home: Path, corpus_paths: list[Path]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = cuckoo_ml(home, "score", *corpus_paths, "--json").json
    for answer in answers:
        answer["model"] = None
    return answers


@pytest.fixture(scope="module")
def refreshed_once(demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two models, and a whole section for each analysis."""
    home = tmp_path_factory.mktemp("refreshed") / "home"
    shutil.copytree(demo.home, home, symlinks=True)
    for command in ("refit", "refresh"):
        assert cuckoo_ml(home, command).code == 0
    return home


@pytest.fixture
def refreshed(demo: DemoHome, refreshed_once: Path, tmp_path: Path) -> DemoHome:
    """A copy of that home, in use: its store has the files beside it that a process keeps."""
    shutil.copytree(refreshed_once, tmp_path / "home", symlinks=True)
    assert cuckoo_ml(tmp_path / "home", "refresh").code == 0
    return DemoHome(demo.corpus, tmp_path / "home")


def test_the_atlas_is_drawn_when_a_behaviour_has_no_analysis_left(own_demo: DemoHome, tmp_path: Path) -> None:
    home = own_demo.home
    members = list(Engine(Home(home)).require_model().members.all())
    points = [point for point, _ in members]
    [lone, *_] = [member.analysis for point, member in members if points.count(point) == 1]
    assert cuckoo_ml(home, "forget", lone).code == 0
    assert (
        cuckoo_ml(home, "import", own_demo.corpus.new[0].path).code == 0
    )  # newer than the model, so the store is asked
    done = cuckoo_ml(home, "atlas", tmp_path / "atlas.html")
    assert done.code == 0, done.err


def test_a_forgotten_analysis_is_named_nowhere_and_the_model_scores_as_before(refreshed: DemoHome) -> None:
    home, new = refreshed.home, [sample.path for sample in refreshed.corpus.new]
    name, sha256 = most_mentioned(home)
    assert cuckoo_ml(home, "import", "--labels", _label_file(home, name, "customer-x")).code == 0
    before, models_before = scores(home, new), set(model_ids(home))
    activity = cuckoo_ml(home, "clusters", "--json").json
    done = cuckoo_ml(home, "forget", name, "--json")
    assert done.code == 0, done.err
    assert (done.json["analyses"], done.json["stored"]) == ([name], 1)
    assert len(done.json["models"]) == 2, "the one in force and the older one"
    assert done.json["findings"] > 0
    for trace in (sha256, "customer-x"):
        assert trace.encode() not in everything_in(home), f"{trace} is still in a file of the home"
    assert len(model_ids(home)) == 2
    assert not models_before & set(model_ids(home))
    after = scores(home, new)
    for old, now in zip(before, after, strict=True):
        assert now["similar"] == [past for past in old["similar"] if past["analysis"] != name] or len(
            now["similar"]
        ) == len(old["similar"])
        assert all(past["analysis"] != name for past in now["similar"])
        for key in ("cluster", "evidence", "counts", "status"):
            assert now[key] == old[key]
        assert {key: now["anomaly"][key] for key in ("score", "outlier_score", "anomalous")} == {
            key: old["anomaly"][key] for key in ("score", "outlier_score", "anomalous")
        }
    with Store.open(home / "store.db") as store:
        assert store.get(name) is None
        current = current_id(home / "models")
        findings = store.findings_of(stored.analysis for stored in store.analyses_in_order())
        assert {finding.model for finding in findings.values()} == {current}, "findings go with the model's new id"
        for finding in findings.values():
            assert name not in [
                past["analysis"] for past in json.loads(finding.section or '{"similar": []}')["similar"]
            ]
    assert sum(cluster["stored"] for cluster in cuckoo_ml(home, "clusters", "--json").json) in (
        sum(cluster["stored"] for cluster in activity),
        sum(cluster["stored"] for cluster in activity) - 1,
    )
    assert cuckoo_ml(home, "similar", name).code == 1
    assert cuckoo_ml(home, "refit").code == 0


def model_ids(home: Path) -> list[str]:
    return [model["id"] for model in cuckoo_ml(home, "models", "list", "--json").json]


def _label_file(home: Path, name: str, label: str) -> Path:
    file = home.parent / "labels.tsv"
    file.write_text(f"{name}\t{label}\n", encoding="utf-8")
    return file


def test_a_host_that_runs_uses_the_edited_model_from_the_next_analysis_on(refreshed: DemoHome) -> None:
    home, sample = refreshed.home, refreshed.corpus.new[0]
    results = json.loads(sample.path.read_bytes())
    enricher = Enricher(home)
    name = enricher.enrich(results, "9001")["similar"][0]["analysis"]
    assert cuckoo_ml(home, "forget", name).code == 0
    section = enricher.enrich(results, "9001")
    assert section["status"] == "scored"
    assert section["model"]["id"] == current_id(home / "models")
    assert name not in [past["analysis"] for past in section["similar"]]


def test_after_it_the_reports_of_the_host_are_refreshed(small_demo: DemoHome, tmp_path: Path) -> None:
    storage = host_with_reports(small_demo, tmp_path)
    home = storage / "cuckooml"
    assert cuckoo_ml(home, "refresh", "--reports").code == 0
    name, sha256 = most_mentioned(home)
    assert cuckoo_ml(home, "forget", name).code == 0
    assert cuckoo_ml(home, "refresh", "--reports").code == 0
    for report in storage.glob("analyses/*/reports/report.json"):
        assert sha256 not in [past["sha256"] for past in json.loads(report.read_bytes())["cuckooml"]["similar"]]


def host_with_reports(demo: DemoHome, tmp_path: Path) -> Path:
    """A host's storage folder with twelve analyses that were imported from it, and the home in it."""
    storage = tmp_path / "storage"
    samples = [sample for sample in demo.corpus.fitted if "cape/storage" in str(sample.path)][:12]
    for sample in samples:
        shutil.copytree(sample.path.parents[1], storage / "analyses" / sample.name)
    home = storage / "cuckooml"
    shutil.copytree(demo.home, home, symlinks=True)
    with Store.open(home / "store.db") as store:
        store.forget([sample.name for sample in samples])
    done = cuckoo_ml(home, "import", storage / "analyses")
    assert done.code == 0, done.err
    assert cuckoo_ml(home, "refit").code == 0
    return storage


def test_a_dry_run_says_what_would_go_and_changes_nothing(refreshed: DemoHome) -> None:
    name, sha256 = most_mentioned(refreshed.home)
    before = everything_in(refreshed.home)
    done = cuckoo_ml(refreshed.home, "forget", name, "--dry-run")
    assert done.code == 0
    assert "Would be forgotten: 1 analysis " in done.out
    assert "Models that name them: 2" in done.out
    assert name in done.out
    shown = cuckoo_ml(refreshed.home, "forget", "--sha256", sha256.upper(), "--dry-run", "--json").json
    assert (shown["forgotten"], shown["analyses"]) == (False, [name])
    assert everything_in(refreshed.home) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nobody"], 1, "nobody: no such analysis is stored; nothing was forgotten"),
        (["--sha256", "ab" * 32], 1, "no analysis of this file is stored"),
        (["--sha256", "abc"], 2, "64 hexadecimal digits"),
        (["--before", "last week"], 2, "is no date"),
        ([], 2, "Name analyses, or give one of"),
        (["1", "--before", "2020-01-01"], 2, "Name analyses, or give one of"),
        (["1", "--host-root", "/"], 2, "--host-root goes with --deleted-in-host"),
        (["--deleted-in-host"], 1, "name its folder with --host-root"),
    ],
)
def test_a_mistake_forgets_nothing(own_demo: DemoHome, arguments: list[str], code: int, message: str) -> None:
    with Store.open(own_demo.home / "store.db") as store:
        before = store.count()
    done = cuckoo_ml(own_demo.home, "forget", *arguments)
    assert (done.code, "Traceback" in done.err) == (code, False)
    assert message in done.err
    with Store.open(own_demo.home / "store.db") as store:
        assert store.count() == before


def test_all_analyses_before_a_day_go(own_demo: DemoHome) -> None:
    with Store.open(own_demo.home / "store.db") as store:
        days = sorted(stored.analysed_at or stored.stored_at for stored in store.analyses_in_order())
    middle = days[len(days) // 2][:10]
    expected = sum(day[:10] < middle for day in days)
    assert 0 < expected < len(days)
    done = cuckoo_ml(own_demo.home, "forget", "--before", middle, "--json")
    assert done.json["stored"] == expected
    assert cuckoo_ml(own_demo.home, "forget", "--before", middle, "--json").json["stored"] == 0


def test_what_the_host_has_deleted_goes_and_an_empty_disk_is_no_deletion(demo: DemoHome, tmp_path: Path) -> None:
    storage = host_with_reports(demo, tmp_path)
    home = storage / "cuckooml"
    tasks = sorted(path for path in (storage / "analyses").iterdir())
    for task in tasks[:3]:
        shutil.rmtree(task)
    done = cuckoo_ml(home, "forget", "--deleted-in-host", "--json")
    assert done.code == 0, done.err
    assert done.json["stored"] == 3
    assert sorted(done.json["analyses"]) == sorted(task.name for task in tasks[:3])
    assert cuckoo_ml(home, "forget", "--deleted-in-host", "--host-root", tmp_path, "--json").json["stored"] == 0
    (storage / "analyses").rename(storage / "unmounted")
    (storage / "analyses").mkdir()
    done = cuckoo_ml(home, "forget", "--deleted-in-host")
    assert done.code == 1
    assert "the disk is mounted" in done.err


def test_a_cluster_of_forgotten_analyses_keeps_no_words_of_them(refreshed: DemoHome) -> None:
    home = refreshed.home
    cluster = min(cuckoo_ml(home, "clusters", "--json").json, key=lambda cluster: cluster["size"])
    members = cuckoo_ml(home, "clusters", cluster["id"], "--limit", "500", "--json").json["members"]
    assert cuckoo_ml(home, "clusters", cluster["id"], "--json").json["evidence"]
    assert cuckoo_ml(home, "forget", *(member["analysis"] for member in members)).code == 0
    left = cuckoo_ml(home, "clusters", cluster["id"], "--json").json
    assert (left["evidence"], left["labels"], left["name"], left["members"]) == ([], [], cluster["id"], [])
    for command in (("assess",), ("export", home.parent / "out"), ("atlas", home.parent / "atlas.html")):
        done = cuckoo_ml(home, *command)
        assert done.code == 0, (command, done.err)


def test_a_running_refit_is_waited_for(own_demo: DemoHome) -> None:
    from cuckoo_ml_plugin.engine.model_lock import alone

    name = own_demo.corpus.fitted[0].name
    with alone(Home(own_demo.home)):
        done = cuckoo_ml(own_demo.home, "forget", name)
    assert done.code == 1
    assert "another command is at work on its models" in done.err
    with Store.open(own_demo.home / "store.db") as store:
        assert store.get(name) is not None


# -- retention ---------------------------------------------------------------------------------------------------------
def test_retention_forgets_by_age_and_by_repeats_before_a_refit(own_demo: DemoHome) -> None:
    home = own_demo.home
    sample = own_demo.corpus.fitted[0]
    with Store.open(home / "store.db") as store:
        oldest = store.get(sample.name)
        assert oldest is not None
        behaviour, counts = oldest.unpack()
        now = datetime.now(timezone.utc)
        store.put([_repeat(f"repeat-{days}", behaviour, counts, now - timedelta(days=days)) for days in range(6)])
        store.put([_repeat("ancient", [*behaviour, "mutex:own"], counts, now - timedelta(days=9_000))])
        store.set_labels({"repeat-5": "mine"})
        others = store.count() - 7
    (home / "cuckooml.conf").write_text("[retention]\ndays = 8000\nrepeats = 3\n")
    done = cuckoo_ml(home, "refit", "--if-needed", "--json")
    assert done.code == 0, done.err
    assert "Forgotten, as [retention] says (older than 8,000 days or repeats beyond 3):" in done.err
    with Store.open(home / "store.db") as store:
        kept = {stored.analysis for stored in store.analyses_in_order()}
    assert {name for name in kept if name.startswith("repeat")} == {"repeat-0", "repeat-1", "repeat-5"}
    assert "ancient" not in kept
    assert done.json["forgotten"] == 7 + others - len(kept)
    assert cuckoo_ml(home, "refit", "--json").json["forgotten"] == 0


def test_without_a_retention_setting_everything_is_kept(own_demo: DemoHome) -> None:
    engine = Engine(Home(own_demo.home))
    assert (engine.settings.retention.days, engine.settings.retention.repeats) == (0, 0)
    before = engine.store.count()
    assert cuckoo_ml(own_demo.home, "refit", "--json").json["forgotten"] == 0
    assert engine.store.count() == before


def _repeat(name: str, tokens: list[str], counts: Any, made: datetime) -> AnalysisRecord:
    from cuckoo_ml_plugin.store.packed_behaviour import pack

    return AnalysisRecord(
        analysis=name,
        packed=pack(tokens, counts),
        has_behaviour=True,
        sha256="cd" * 32,
        analysed_at=made.isoformat(timespec="seconds"),
    )


def test_a_section_that_another_program_wrote_does_not_stop_it(refreshed: DemoHome) -> None:
    name, _ = most_mentioned(refreshed.home)
    with closing(sqlite3.connect(refreshed.home / "store.db")) as connection, connection:
        connection.execute("UPDATE cuckooml_finding SET section = '[1, {\"a\": 2}]' WHERE analysis != ?", (name,))
    assert cuckoo_ml(refreshed.home, "forget", name).code == 0
    assert cuckoo_ml(refreshed.home, "anomalies", "--json").code == 0
