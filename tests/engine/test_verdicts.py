"""A repeat is called a repeat at every door: the section, the terminal, the panel, the page, and for each tenant."""

from __future__ import annotations

import copy
import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.new_family import report_of

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import nothing, visible_section
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2, Look
from cuckoo_ml_plugin.web.site import Addresses, Site, static_panel

ADDRESSES = Addresses("/cuckooml/", "/analysis/{}/")
DAY = 86_400


def again(report: dict[str, Any], number: int, days: int, sha256: str = "") -> dict[str, Any]:
    """The same report as of another run, some days later, of the same file or of another one."""
    rerun = copy.deepcopy(report)
    rerun["info"] |= {"id": number, "started": report["info"]["started"] + days * DAY}
    if sha256:
        rerun["target"]["file"]["sha256"] = sha256
    return rerun


@pytest.fixture
def home(own_demo: DemoHome) -> Path:
    return own_demo.home


def test_a_novel_file_is_unusual_once_and_known_from_then_on(home: Path, tmp_path: Path) -> None:
    enricher = Enricher(home)
    report = report_of(901)
    first = enricher.enrich(report, "901")
    assert first["verdict"]["kind"] == "unusual"
    assert first["anomaly"]["anomalous"]
    reprocessed = enricher.enrich(report, "901")
    assert reprocessed["verdict"] == first["verdict"], "processing a task again is no news"

    second = enricher.enrich(again(report, 902, 1), "902")
    assert second["verdict"]["kind"] == "same_file"
    day = Engine(Home(home)).store.get("901").analysed_at[:10]  # type: ignore[union-attr,index]
    text = f"This file was analysed before, on {day} (analysis 901), with the same behaviour: in no cluster."
    assert second["verdict"]["text"] == text
    assert second["anomaly"]["score"] == first["anomaly"]["score"], "the score stays; what follows from it does not"
    assert not second["anomaly"]["anomalous"]
    assert "novel_behaviour" not in [reason["kind"] for reason in second["anomaly"]["reasons"]]

    copied = enricher.enrich(again(report, 903, 2, "cd" * 32), "903")
    assert copied["verdict"]["kind"] == "same_behaviour"
    assert not copied["anomaly"]["anomalous"]
    anomalous = {row["analysis"] for row in cuckoo_ml(home, "anomalies", "--json", "--limit", "1000").json}
    assert "901" in anomalous
    assert not {"902", "903"} & anomalous

    path = tmp_path / "902.json"
    path.write_text(json.dumps(again(report, 902, 1)), encoding="utf-8")
    [answer] = cuckoo_ml(home, "score", path, "--json").json
    assert answer["verdict"]["kind"] == "same_file"
    assert "with the same behaviour" in cuckoo_ml(home, "score", path).out


@pytest.mark.parametrize("look", [CUCKOO2, CAPE])
def test_panel_page_and_html_report_have_the_sentence_of_the_section(home: Path, look: Look) -> None:
    enricher = Enricher(home)
    enricher.enrich(report_of(901), "901")
    section = enricher.enrich(again(report_of(901), 902, 1), "902")
    site = Site(Home(home), look, ADDRESSES)
    for html in (site.panel(section), static_panel(section), site.page("analysis", {"id": "902"}).html):
        shown = unescape(html)
        assert "analysed before, on" in shown
        assert "with the same behaviour: in no cluster." in shown
        assert "Unusual" not in shown
        assert shown.count(f"{section['anomaly']['score']:.3f}") <= 2, "the gauge and its name for who cannot see it"


def test_a_section_of_schema_1_gets_a_sentence_from_what_it_says(home: Path) -> None:
    section = Enricher(home).enrich(report_of(901), "901")
    del section["verdict"]
    section["schema"] = 1
    assert "Unusual: no known group behaves like it" in unescape(Site(Home(home), CAPE, ADDRESSES).panel(section))


def test_a_tenant_is_told_of_the_runs_that_he_may_see(home: Path) -> None:
    enricher = Enricher(home)
    enricher.enrich(report_of(901), "901")
    whole = enricher.enrich(again(report_of(901), 902, 1), "902")
    engine = Engine(Home(home))
    blind = visible_section(engine, whole, "902", nothing)
    assert blind["verdict"] == {"kind": "unusual", "text": "Unusual: no known group behaves like it."}
    assert blind["anomaly"]["anomalous"], "that it is a repeat would tell of somebody's file"
    assert "novel_behaviour" in [reason["kind"] for reason in blind["anomaly"]["reasons"]]
    seen = visible_section(engine, whole, "902", lambda analyses: [a.analysis for a in analyses if a.analysis == "901"])
    assert seen["verdict"] == whole["verdict"]
    assert not seen["anomaly"]["anomalous"]


def test_no_sentence_names_a_forgotten_analysis(home: Path) -> None:
    enricher = Enricher(home)
    enricher.enrich(report_of(901), "901")
    enricher.enrich(again(report_of(901), 902, 1), "902")
    done = cuckoo_ml(home, "forget", "901")
    assert done.code == 0, done.err
    stored = Engine(Home(home)).store.findings_of(["902"])["902"].section
    assert "901" not in json.dumps(json.loads(stored).get("verdict") if stored else "")
    page = unescape(Site(Home(home), CAPE, ADDRESSES).page("analysis", {"id": "902"}).html)
    assert "analysis 901" not in page


def test_evidence_says_what_ties_an_analysis_and_what_is_its_own(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    pieces = {"in": [], "out": []}  # type: dict[str, list[Any]]
    for name in engine.store.get_many(str(number) for number in range(1005, 1040)):
        finding = engine.score_stored(name)
        assert finding is not None
        pieces["in" if finding.cluster else "out"] += finding.evidence
    assert {piece.role for piece in pieces["out"]} == {"new"}
    assert "shared" in {piece.role for piece in pieces["in"]}
    assert all(piece.in_cluster >= 0.25 for piece in pieces["in"] if piece.role == "shared")
    assert all(piece.in_cluster < 0.25 for piece in pieces["in"] + pieces["out"] if piece.role == "new")


def test_of_many_runs_those_before_an_analysis_are_counted(tmp_path: Path) -> None:
    engine = Engine(Home(tmp_path / "home").create())
    tokens = ["api:NtClose", "mutex:zebra"]

    def record(number: int, day: str | None) -> AnalysisRecord:
        identity = Identity(node="here", task=str(number), local_task=str(number), started=day or "", sample="ab" * 32)
        return AnalysisRecord(
            str(number), pack(tokens, {}), True, sha256="ab" * 32, analysed_at=day, identity=identity
        )  # fmt: skip

    days = [f"2020-{month:02d}-{day:02d}T10:00:00Z" for month in range(1, 13) for day in range(1, 29)]
    engine.store.put([record(number, day) for number, day in enumerate(days, 1)])

    def text(number: int) -> str:
        finding = engine.score_stored(str(number))
        assert finding is not None
        return finding.verdict.text

    assert text(3) == (
        "This file was analysed 2 times before, last on 2020-01-02 (analysis 2), always with the same behaviour."
    )
    assert text(2) == "This file was analysed before, on 2020-01-01 (analysis 1), with the same behaviour."
    assert text(1).startswith("This file was analysed at least 100 times later, first on 2020-01-02 (analysis 2)")
    assert text(200).startswith("This file was analysed at least 100 times before, last on 2020-08-03 (analysis 199)")
