"""The page of the groups in the making, in both looks, for administrators and for readers of a part."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hostile_values import SCRIPTS
from support.new_family import report_of, write

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import section_for_report
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2, Look
from cuckoo_ml_plugin.web.request import Reader
from cuckoo_ml_plugin.web.site import Addresses, Site

ADDRESSES = Addresses("/cuckooml/", "/analysis/{}/")


@pytest.fixture
def home(own_demo: DemoHome, tmp_path: Path) -> Path:
    """A home with a group of four, whose files have hostile names."""
    for number in range(901, 905):
        done = cuckoo_ml(own_demo.home, "import", write(tmp_path, number, name=SCRIPTS[number - 901]))
        assert done.code == 0, done.err
    return own_demo.home


@pytest.mark.parametrize("look", [CUCKOO2, CAPE])
def test_the_page_shows_the_group_and_nothing_hostile_runs(home: Path, look: Look) -> None:
    [group] = cuckoo_ml(home, "births", "--json").json
    page = Site(Home(home), look, ADDRESSES).page("births", {})
    assert page.status == 200
    assert group["id"] in page.html
    for number in range(901, 905):
        assert f"analysis/?id={number}" in page.html
    for script in SCRIPTS[:4]:
        assert script not in page.html
    assert "<script" not in page.html


def test_without_groups_the_page_says_so(demo: DemoHome) -> None:
    page = Site(Home(demo.home), CAPE, ADDRESSES).page("births", {})
    assert page.status == 200
    assert "No group is in the making." in page.html


def test_a_reader_sees_a_group_by_the_analyses_that_he_may_see(home: Path, tmp_path: Path) -> None:
    def reader(*names: str) -> Reader:
        return Reader(" ".join(names), lambda analyses: [a.analysis for a in analyses if a.analysis in names])

    def page(*names: str) -> str:
        return Site(Home(home), CAPE, ADDRESSES).page("births", {}, reader(*names)).html

    seen = page("901", "902", "903")
    assert "id=902" in seen
    assert "904" not in seen
    assert "No group is in the making." in page("901", "902"), "two of them are too few for him"
    section = Enricher(home).enrich(
        report_of(905), "905", tmp_path / "905.json", lambda analyses: [a.analysis for a in analyses][:0]
    )
    kinds = [reason["kind"] for reason in section["anomaly"]["reasons"]]
    assert "birth" not in kinds, "it counts the analyses of others"
    engine = Engine(Home(home))
    finding = engine.score_stored("905")
    assert finding is not None
    assert finding.anomaly is not None
    assert "birth" in [reason.kind for reason in finding.anomaly.reasons]
    shown = section_for_report(engine, finding.section(), "905")
    assert "birth" not in [reason["kind"] for reason in shown["anomaly"]["reasons"]]
