"""What counts is samples: a sample that is run again is listed once, counted once, and new by when it was first run."""

from __future__ import annotations

import copy
import json
import socket
from datetime import datetime, timedelta, timezone
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.new_family import report_of

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import visible_finding, with_more_similar
from cuckoo_ml_plugin.finding.section import Finding, SimilarAnalysis
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2, Look
from cuckoo_ml_plugin.web.request import Reader
from cuckoo_ml_plugin.web.site import Addresses, Site

ADDRESSES = Addresses("/cuckooml/", "/analysis/{}/")
TOKENS = [f"mutex:{number}" for number in range(20)]
NODE = socket.gethostname()
OURS, THEIRS = "ab" * 32, "cd" * 32


def run_of(name: str, sha256: str | None, day: str, tokens: list[str], *, url: str = "") -> AnalysisRecord:
    sample = f"url:{url}" if url else sha256 or ""
    identity = Identity(node=NODE, task=name, local_task=name, started=f"{day}T10:00:00", sample=sample)
    return AnalysisRecord(
        name, pack(sorted(tokens), {}), True, sha256=sha256, target=url or f"{(sha256 or 'x')[:2]}.exe",
        analysed_at=f"{day}T10:00:00", identity=identity,
    )  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine without a model: a file with three runs, another with two, a URL with three."""
    engine = Engine(Home(tmp_path / "home").create())
    runs = [
        run_of("1", OURS, "2020-01-01", TOKENS),
        run_of("2", OURS, "2020-01-02", TOKENS[:12]),
        run_of("3", OURS, "2020-01-03", TOKENS),
        run_of("4", THEIRS, "2020-01-04", TOKENS[:15]),
        run_of("5", THEIRS, "2020-01-05", TOKENS[:18]),
        *(run_of(str(n), None, f"2020-02-0{n}", TOKENS[:10], url="http://a.example/") for n in (6, 7, 8)),
    ]
    engine.store.put(runs)
    return engine


def scored(engine: Engine, analysis: str) -> Finding:
    finding = engine.score_stored(analysis)
    assert finding is not None
    return finding


def facts(past: SimilarAnalysis) -> tuple[object, ...]:
    return past.analysis, past.same_file, past.date, past.name, past.runs


def test_similar_lists_a_sample_once_with_its_best_run_and_how_many_there_are(engine: Engine) -> None:
    finding = scored(engine, "3")
    assert [facts(past) for past in finding.similar] == [
        ("1", True, "2020-01-01", "ab.exe", 2),
        ("5", False, "2020-01-05", "cd.exe", 2),
        ("6", False, "2020-02-06", "http://a.example/", 3),
    ], "the run itself is none of the other runs of its file"
    engine.store.put([run_of("3", OURS, "2020-01-03", TOKENS)])
    assert scored(engine, "3").similar == finding.similar, "processing a run again is no news"
    assert facts(scored(engine, "7").similar[0])[0] == "6"
    assert scored(engine, "7").similar[0].runs == 2
    shown = cuckoo_ml(engine.home.path, "similar", "3").out
    assert "same file" in shown
    assert "2020-01-05" in shown
    assert "cd.exe" in shown
    panel = unescape(Site(engine.home, CAPE, ADDRESSES).page("analysis", {"id": "3"}).html)
    assert "2020-01-01" in panel
    assert "same file" in panel
    assert "3 runs" in panel


def test_a_reader_is_told_of_the_runs_that_he_may_see(engine: Engine) -> None:
    stored = engine.store.get("3")
    assert stored is not None

    def seen_by(*names: str) -> list[tuple[object, ...]]:
        def visible(analyses: Any) -> list[str]:
            return [known.analysis for known in analyses if known.analysis in names]

        wide = with_more_similar(engine, scored(engine, "3"), engine.behaviour_of(stored), "3", visible)
        return [facts(past) for past in visible_finding(engine, wide, "3", visible).similar]

    assert seen_by("2", "3", "4", "5") == [
        ("5", False, "2020-01-05", "cd.exe", 2), ("2", True, "2020-01-02", "ab.exe", 1),
    ]  # fmt: skip
    assert seen_by("3", "4") == [("4", False, "2020-01-04", "cd.exe", 1)], "also of what is not its sample's best run"
    assert seen_by("3") == []


# -- counts ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def rerun(own_demo: DemoHome, tmp_path: Path) -> tuple[DemoHome, str, Path]:
    """The demo's home with the file of one member run three more times, its cluster, and the folder of these runs."""
    sizes = {brief["id"]: brief["size"] for brief in cuckoo_ml(own_demo.home, "clusters", "--json").json}
    cluster = max(sizes, key=lambda name: sizes[name])
    [member] = cuckoo_ml(own_demo.home, "clusters", cluster, "--limit", "1", "--json").json["members"]
    path = next(sample.path for sample in own_demo.corpus.fitted if sample.name == member["analysis"])
    report = json.loads(path.read_bytes())
    for number in range(3):
        again = copy.deepcopy(report)
        again["info"] |= {"id": 7000 + number, "started": f"2019-05-0{number + 1} 10:00:00"}
        folder = tmp_path / "again" / str(7000 + number) / "reports"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(again), encoding="utf-8")
    done = cuckoo_ml(own_demo.home, "import", tmp_path / "again")
    assert done.code == 0, done.err
    return own_demo, cluster, tmp_path / "again"


@pytest.mark.parametrize("look", [CUCKOO2, CAPE])
def test_runs_of_a_known_sample_make_a_cluster_no_larger(rerun: tuple[DemoHome, str, Path], look: Look) -> None:
    demo, cluster, _ = rerun
    before = cuckoo_ml(demo.home, "clusters", cluster, "--limit", "1000", "--json").json
    assert cuckoo_ml(demo.home, "refit").code == 0
    after = cuckoo_ml(demo.home, "clusters", cluster, "--limit", "1000", "--json").json
    assert after["samples"] == before["samples"] == before["stored_samples"] == after["stored_samples"]
    assert (after["size"], after["stored"]) == (before["size"] + 3, before["size"] + 3)
    assert len(after["members"]) == after["stored_samples"]
    assert sorted(member["runs"] for member in after["members"])[-1] == 4
    said = f"{after['samples']} samples, {after['size']} runs"
    assert said in cuckoo_ml(demo.home, "clusters", cluster).out

    site = Site(Home(demo.home), look, ADDRESSES)
    page = unescape(site.page(f"clusters/{cluster}", {}).html)
    assert f"<strong>{after['samples']}</strong> samples ({after['size']} runs) behave alike" in page
    assert f"fitted on {said}" in page
    assert f"{after['size']} runs" in unescape(site.page("", {}).html)
    everything = Reader("all", lambda analyses: [known.analysis for known in analyses])
    reader = unescape(site.page(f"clusters/{cluster}", {}, everything).html)
    assert f"<strong>{after['samples']}</strong> samples ({after['size']} runs) behave alike" in reader

    other = next(m["analysis"] for m in after["members"] if m["runs"] == 1)
    finding = scored(Engine(Home(demo.home)), other)
    assert finding.cluster is not None
    assert (finding.cluster.samples, finding.cluster.size) == (after["samples"], after["size"])
    assert finding.cluster.name in [past.cluster_name for past in finding.similar]
    hashes = [past.sha256 for past in finding.similar]
    assert len(set(hashes)) == len(hashes)
    assert said in unescape(site.panel(finding.section()))


def test_new_is_what_was_first_analysed_in_the_last_days_whenever_it_was_stored(own_demo: DemoHome) -> None:
    engine = Engine(Home(own_demo.home))
    week = datetime.now(timezone.utc) - timedelta(days=7)

    def new() -> int:
        return sum(activity.new for activity in engine.store.cluster_activity(week).values())

    def anomalies() -> list[str]:
        return [row["analysis"] for row in cuckoo_ml(own_demo.home, "anomalies", "--days", "7", "--json").json]

    present = new()  # of the demo's own days
    enricher = Enricher(own_demo.home)
    enricher.enrich(report_of(901), "901")  # a report of 2024, stored now
    assert new() == present
    assert "901" not in anomalies()
    recent = report_of(902)
    recent["info"]["started"] = int(datetime.now(timezone.utc).timestamp()) - 3600
    for _ in range(2):  # processed twice
        enricher.enrich(recent, "902")
        assert new() == present + 1
    again = copy.deepcopy(report_of(901))
    again["info"] |= {"id": 903, "started": recent["info"]["started"]}
    enricher.enrich(again, "903")
    assert new() == present + 1, "a known file that is run again is not new"
    activity = engine.store.cluster_activity(week)[None]
    assert activity.runs - activity.samples >= 1


def test_a_birth_counts_samples_and_shows_the_runs_beside_them(own_demo: DemoHome) -> None:
    enricher = Enricher(own_demo.home)
    for number in range(901, 905):
        enricher.enrich(report_of(number), str(number))
    again = report_of(904)
    again["info"] |= {"id": 905, "started": again["info"]["started"] + 86_400}
    enricher.enrich(again, "905")
    [group] = cuckoo_ml(own_demo.home, "births", "--json").json
    assert (group["samples"], group["runs"]) == (4, 5)
    page = Site(Home(own_demo.home), CAPE, ADDRESSES).page("births", {}).html
    assert "id=904" in page
    assert "id=905" not in page, "the sample is listed once"
    assert "2 runs" in page
