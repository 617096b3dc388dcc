"""A piece of behaviour leads to the analyses that show it, from panel and pages and in a terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine as DatabaseEngine
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hostile_values import SCRIPTS
from web.test_web import ADDRESSES, any_member, harmless, scored

from cuckoo_ml_plugin.engine.visibility import HostAnalysis
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web.render import CAPE, CUCKOO2, Look
from cuckoo_ml_plugin.web.request import Reader
from cuckoo_ml_plugin.web.site import Site


@pytest.mark.parametrize("look", [CUCKOO2, CAPE], ids=["cuckoo2", "cape"])
def test_each_piece_of_evidence_in_the_panel_leads_to_the_analyses_that_share_it(demo: DemoHome, look: Look) -> None:
    site, name = Site(Home(demo.home), look, ADDRESSES), any_member(demo)
    section = scored(demo, name)
    page = harmless(site.panel(section))
    targets = [urlsplit(target) for target in page.targets if target.startswith("/cuckooml/behaviour/")]
    assert len(targets) == len(section["evidence"])
    with Store.open(demo.home / "store.db") as store:
        tokens = {stored.analysis: set(stored.unpack()[0]) for stored in store.analyses_in_order()}
    for target in targets:
        query = dict(parse_qsl(target.query))
        shown = harmless(site.page("behaviour", query).html)
        showing = {known for known, own in tokens.items() if f"{query['kind']}:{query['value']}" in own}
        assert name in showing
        assert f" {len(showing)} analys" in shown.text
        listed = {target.rpartition("=")[2] for target in shown.targets if target.startswith("/cuckooml/analysis/")}
        assert listed == showing or len(showing) > 50


def test_the_newest_come_first_a_page_at_a_time(own_demo: DemoHome) -> None:
    with Store.open(own_demo.home / "store.db") as store:
        store.put([
            AnalysisRecord(f"m{i:03}", pack([f"mutex:shared-by-many {i % 7}", "mutex:shared-by-many"], {}), True,
                           analysed_at=f"2026-0{1 + i % 9}-01 10:00:00")
            for i in range(120)
        ])  # fmt: skip
    answer = cuckoo_ml(own_demo.home, "seen", "mutex:Shared-by-MANY", "--json", "--limit", 1000).json
    days = [row["day"] for row in answer["analyses"]]
    assert len(days) == answer["count"] == 120
    assert days == sorted(days, reverse=True)
    site = Site(Home(own_demo.home), CUCKOO2, ADDRESSES)
    listed = []
    for number in (1, 2, 3):
        page = site.page("behaviour", {"kind": "mutex", "value": "shared-by-many", "page": str(number)})
        listed += [target.rpartition("=")[2] for target in harmless(page.html).targets if "analysis/?id=" in target]
    assert listed == [row["analysis"] for row in answer["analyses"]]


def test_what_is_no_behaviour_is_said_and_what_nobody_shows_too(demo: DemoHome) -> None:
    done = cuckoo_ml(demo.home, "seen", "nothing")
    assert done.code == 1
    assert "write KIND:VALUE, such as mutex:name" in " ".join(done.err.split())
    assert cuckoo_ml(demo.home, "seen", "mutex:nobody has it", "--json").json["analyses"] == []
    site = Site(Home(demo.home), CAPE, ADDRESSES)
    assert site.page("behaviour", {}).status == 404
    assert site.page("behaviour", {"kind": "<b>", "value": SCRIPTS[0]}).status == 404
    assert "No stored analysis shows it." in harmless(
        site.page("behaviour", {"kind": "mutex", "value": SCRIPTS[0]}).html
    ).text  # fmt: skip


def test_a_hostile_value_leads_to_its_analyses_and_stays_text(own_demo: DemoHome) -> None:
    values = [" ".join(script.split()) for script in SCRIPTS]
    with Store.open(own_demo.home / "store.db") as store:
        tokens = sorted({f"mutex:{value}" for value in values})
        store.put([AnalysisRecord("hostile", pack(tokens, {}), True, target=SCRIPTS[1])])
    site = Site(Home(own_demo.home), CUCKOO2, ADDRESSES)
    for token in tokens:
        page = harmless(site.page("behaviour", {"kind": "mutex", "value": token.partition(":")[2]}).html)
        assert "/cuckooml/analysis/?id=hostile" in page.targets, token


def test_a_reader_is_shown_none_of_the_analyses_of_others(demo: DemoHome) -> None:
    section = scored(demo, any_member(demo))
    query = {key: section["evidence"][0][key] for key in ("kind", "value")}
    own = any_member(demo)

    def own_alone(analyses: Iterable[HostAnalysis]) -> Collection[str]:
        return [known.analysis for known in analyses if known.analysis == own]

    page = harmless(Site(Home(demo.home), CAPE, ADDRESSES).page("behaviour", query, Reader("own", own_alone)).html)
    assert "1 analysis of 1 sample that you may see" in page.text
    assert [target for target in page.targets if "analysis/?id=" in target] == [f"/cuckooml/analysis/?id={own}"]


def test_a_comparison_with_a_group_reads_its_members_together(demo: DemoHome) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    name = any_member(demo)
    site = Site(Home(demo.home), CUCKOO2, ADDRESSES)
    event.listen(DatabaseEngine, "before_cursor_execute", note)
    try:
        page = harmless(site.page("compare", {"id": name}).html)
    finally:
        event.remove(DatabaseEngine, "before_cursor_execute", note)
    members = int(page.text.partition(" analyses")[0].split()[-1])
    behaviours = [statement for statement in statements if ".behaviour" in statement]
    assert members >= 15
    assert len(behaviours) <= 4, "not one for each member"


@pytest.mark.parametrize("status", ["no_behaviour", "scored"])
def test_a_score_of_nothing_is_no_clean_bill_where_nothing_ran(demo: DemoHome, status: str) -> None:
    section = scored(demo, any_member(demo)) | {"status": status}
    section["threat_scores"] = {
        "joint": 0.0,
        "providers": [{"provider": "nothing-found", "score": 0.0, "indicators": 1}],
        "disagreements": [],
    }
    page = harmless(Site(Home(demo.home), CUCKOO2, ADDRESSES).panel(section))
    assert ("nothing-found" in page.text) == (status == "scored")
    assert "0.00" not in page.text.rpartition("Model ")[0]
