"""A section names past analyses for ever; a page links to those that are still stored, and never to another sample."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2, Look
from cuckoo_ml_plugin.web.request import Reader
from cuckoo_ml_plugin.web.site import Addresses, Site, static_panel

ADDRESSES = Addresses("/cuckooml/", "/analysis/{}/")


def row_of(html: str, analysis: str) -> str:
    """The row of a table that names an analysis."""
    rows: list[str] = [row for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL) if f"<bdi>{analysis}</bdi>" in row]
    assert len(rows) == 1, f"{analysis} stands in {len(rows)} rows"
    return rows[0]


@pytest.fixture
def host(demo: DemoHome, tmp_path: Path) -> tuple[Path, Path]:
    """The home and the ``storage/analyses`` of a host with the demo's tasks."""
    [source] = {sample.path.parents[2] for sample in demo.corpus.fitted if "cape/storage" in str(sample.path)}
    storage = tmp_path / "storage" / "analyses"
    shutil.copytree(source, storage)
    home = tmp_path / "home"
    for arguments in (("import", storage), ("refit",)):
        done = cuckoo_ml(home, *arguments)
        assert done.code == 0, done.err
    return home, storage


def section_of(home: Path, analysis: str) -> dict[str, Any]:
    finding = Engine(Home(home)).score_stored(analysis)
    assert finding is not None
    section: dict[str, Any] = finding.section()
    return section


@pytest.mark.parametrize("look", [CAPE, CUCKOO2], ids=["cape", "cuckoo2"])
def test_what_the_host_has_deleted_is_said_wherever_it_is_listed(host: tuple[Path, Path], look: Look) -> None:
    home, storage = host
    with Store.open(home / "store.db") as store:
        anomaly = store.anomalies(limit=1)[0].finding.analysis
        member, *others = [found.finding.analysis for found in store.cluster_members("c0", limit=9)]
    section = section_of(home, member)
    similar = section["similar"][0]["analysis"]
    for name in {anomaly, member, similar}:
        shutil.rmtree(storage / name)
    site = Site(Home(home), look, ADDRESSES, storage)
    pages = {
        similar: [site.panel(section), site.similar(section)],
        member: [site.page("clusters/c0", {}).html],
        anomaly: [site.page("anomalies", {"days": "all"}).html],
    }
    for name, drawn in pages.items():
        for html in drawn:
            row = row_of(html, name)
            assert "no longer at the host" in row
            assert f'href="/cuckooml/analysis/?id={name}"' in row, "our own page still has it"
            assert f"/analysis/{name}/" not in row
    still = next(name for name in others if name not in pages)
    row = row_of(site.page("clusters/c0", {}).html, still)
    assert ("no longer" in row, f'href="/analysis/{still}/"' in row) == (False, True)


@pytest.mark.parametrize("look", [CAPE, CUCKOO2], ids=["cape", "cuckoo2"])
def test_a_forgotten_analysis_is_no_link_also_after_another_sample_has_its_id(
    host: tuple[Path, Path], demo: DemoHome, tmp_path: Path, look: Look
) -> None:
    home, storage = host
    with Store.open(home / "store.db") as store:
        section = section_of(home, store.cluster_members("c0", limit=1)[0].finding.analysis)
    gone, kept = section["similar"][0], next(
        past for past in section["similar"] if past["sha256"] != section["similar"][0]["sha256"]
    )  # fmt: skip
    name = gone["analysis"]
    section["similar"] = [gone, kept]
    site = Site(Home(home), look, ADDRESSES, storage)
    for html in (site.panel(section), site.similar(section)):
        assert f'href="/analysis/{name}/"' in row_of(html, name)
        assert "no longer" not in html

    def not_linked() -> None:
        drawn = Site(Home(home), look, ADDRESSES, storage)
        for html in (drawn.panel(section), drawn.similar(section)):
            row = row_of(html, name)
            assert "no longer stored" in row
            assert ("/analysis/" in row, "2031-05-06" in row, "stranger.exe" in row) == (False,) * 3
            assert f'href="/analysis/{kept["analysis"]}/"' in row_of(html, kept["analysis"])

    other = json.loads(demo.corpus.new[0].path.read_bytes())
    other["info"]["started"], other["target"]["file"]["name"] = "2031-05-06 07:08:09", "stranger.exe"
    assert cuckoo_ml(home, "forget", name).code == 0
    not_linked()
    (tmp_path / f"{name}.json").write_text(json.dumps(other))
    assert cuckoo_ml(home, "import", tmp_path / f"{name}.json").code == 0
    with Store.open(home / "store.db") as store:
        stored = store.get(name)
        assert stored is not None
        assert stored.sha256 not in (None, gone["sha256"])
    not_linked()
    page = Site(Home(home), look, ADDRESSES, storage).page("analysis", {"id": name})
    assert (page.status, "stranger.exe" in page.html) == (200, True), "the other sample has a page of its own"

    # Whoever may see the other sample is told nothing of the one that had its id.
    everything = Reader("all", lambda analyses: [known.analysis for known in analyses])
    of_reader = Site(Home(home), look, ADDRESSES, storage).panel(section, "999", everything)
    assert gone["sha256"] not in of_reader
    assert f"<bdi>{name}</bdi>" not in of_reader
    assert f"<bdi>{kept['analysis']}</bdi>" in of_reader
    assert "/analysis/" not in static_panel(section), "a report that stands alone leads nowhere"


def test_without_a_store_nothing_is_linked_and_nothing_is_said_to_be_gone(demo: DemoHome, tmp_path: Path) -> None:
    section = section_of(demo.home, demo.corpus.fitted[0].name)
    assert section["similar"]
    home = tmp_path / "home"
    home.mkdir()
    (home / "store.db").write_bytes(b"no database at all" * 100)
    html = Site(Home(home), CAPE, ADDRESSES, tmp_path).panel(section)
    assert section["similar"][0]["analysis"] in html
    assert ("/analysis/" in html, "no longer" in html) == (False, False)
