"""The page of a comparison, on both hosts, with hostile values, and for a reader who sees a part of the analyses."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest
from support.demo_home import DemoHome
from support.hostile_values import SCRIPTS
from web.test_web import ADDRESSES, harmless

from cuckoo_ml_plugin.engine.visibility import HostAnalysis
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2, Look
from cuckoo_ml_plugin.web.request import Reader
from cuckoo_ml_plugin.web.site import Site


def silent(demo: DemoHome) -> str:
    return next(sample.name for sample in demo.corpus.fitted if sample.role == "noise")


@pytest.mark.parametrize("look", [CUCKOO2, CAPE], ids=["cuckoo2", "cape"])
def test_the_analysis_page_leads_to_what_its_kin_do_and_this_run_does_not(demo: DemoHome, look: Look) -> None:
    site, name = Site(Home(demo.home), look, ADDRESSES), silent(demo)
    links = harmless(site.page("analysis", {"id": name}).html).targets
    assert f"/cuckooml/compare/?id={name}" in links
    page = harmless(site.page("compare", {"id": name}).html)
    assert "Did it run to its end?" in page.text
    assert "write files; this run did not." in page.text
    assert any(target.startswith("/cuckooml/clusters/") for target in page.targets)


def test_two_analyses_are_compared(demo: DemoHome) -> None:
    site = Site(Home(demo.home), CUCKOO2, ADDRESSES)
    first, second = [sample.name for sample in demo.corpus.fitted if sample.role == "member"][:2]
    page = harmless(site.page("compare", {"id": first, "with": second}).html)
    assert first in page.text
    assert second in page.text
    assert "In this run alone" in page.text
    for query in ({}, {"id": "nobody"}, {"id": first, "with": "nobody"}):
        assert site.page("compare", query).status == 404


def test_hostile_behaviour_stays_text(own_demo: DemoHome) -> None:
    with Store.open(own_demo.home / "store.db") as store:
        for name in ("first", "second"):
            tokens = sorted({f"mutex:{' '.join(script.split())} {name}" for script in SCRIPTS})
            store.put([AnalysisRecord(name, pack(tokens, {}), True, sha256="ab" * 32, target=SCRIPTS[1])])
    site = Site(Home(own_demo.home), CUCKOO2, ADDRESSES)
    page = harmless(site.page("compare", {"id": "first"}).html)
    assert "alert(" in page.text
    assert "the other runs of the same file" in page.text


def test_a_reader_compares_with_what_he_may_see(demo: DemoHome) -> None:
    site, name = Site(Home(demo.home), CAPE, ADDRESSES), silent(demo)

    def own_alone(analyses: Iterable[HostAnalysis]) -> Collection[str]:
        return [known.analysis for known in analyses if known.analysis == name]

    reader = Reader("own", own_alone)
    page = harmless(site.page("compare", {"id": name}, reader).html)
    assert "no cluster or kin that you may see" in page.text
    other = next(sample.name for sample in demo.corpus.fitted if sample.name != name)
    assert site.page("compare", {"id": other}, reader).status == 404
    assert site.page("compare", {"id": name, "with": other}, reader).status == 404
