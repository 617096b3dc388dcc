"""The most alike past analyses are named from the first stored analysis on, with a model and without one."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.behaviour.likeness import likeness, token_sets
from cuckoo_ml_plugin.engine import similar_analyses as module
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import visible_finding, with_more_similar
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.analysis_ids import order_key
from cuckoo_ml_plugin.report.report import read_report
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_samples import perturb

BASE = [f"{kind}:{number}" for kind in ("api", "reg_read", "mutex", "string") for number in range(25)]


def behaviour(*tokens: str) -> Behaviour:
    return Behaviour(sorted(tokens), {})


def put(engine: Engine, behaviours: dict[str, Behaviour]) -> None:
    engine.store.put([AnalysisRecord(name, pack(b.tokens, {}), True) for name, b in behaviours.items()])


def names(finding: Finding) -> list[str]:
    return [past.analysis for past in finding.similar]


def by_likeness(one: Behaviour, others: dict[str, Behaviour]) -> list[tuple[float, str, str]]:
    """Likeness, digest and id of each, as they are to be listed."""
    own = token_sets(one.joined)
    alike = [(likeness(own, token_sets(other.joined)), other.digest, name) for name, other in others.items()]
    return sorted(alike, key=lambda row: (-round(row[0], 6), row[1], order_key(row[2])))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine without a model."""
    return Engine(Home(tmp_path / "home").create())


def test_the_second_analysis_of_a_home_names_the_first(engine: Engine) -> None:
    first, second = behaviour("api:NtClose", "mutex:zebra"), behaviour("api:NtClose", "mutex:lion")
    put(engine, {"1": first})
    alone = engine.score(first, "1", None)
    assert (alone.status, alone.similar) == ("no_model", []), "an analysis is not similar to itself"
    assert alone.behash is not None
    put(engine, {"2": second, "3": first})
    finding = engine.score(second, "2", None)
    assert finding.status == "no_model"
    assert [(past.analysis, past.similarity, past.cluster) for past in finding.similar] == [
        ("1", 0.4142, None), ("3", 0.4142, None),
    ]  # fmt: skip
    assert [(past.analysis, past.similarity) for past in engine.score(first, "1", None).similar] == [
        ("3", 1.0), ("2", 0.4142),
    ]  # fmt: skip
    assert engine.score(behaviour("domain:nothing.shared"), "", None).similar == []
    silent = engine.score(behaviour("file_size:4096"), "", None)
    assert (silent.similar, silent.behash is None) == ([], False)
    assert engine.score(behaviour(), "", None).behash is None, "nothing is known"


def test_the_most_alike_come_first_in_whatever_order_they_were_stored(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 40)
    rng = Random(3)
    origins = [BASE, [f"{token} other" for token in BASE]]
    corpus = {
        str(n): behaviour(*perturb(rng.choice(origins), rng, others=origins, dropped=rng.random())) for n in range(300)
    }
    corpus |= {f"again{n}": corpus[str(n)] for n in range(3)}
    backwards = Engine(Home(tmp_path / "backwards").create())
    put(engine, dict(list(corpus.items())[:150]))
    engine.score(corpus["0"], "0", None)  # what comes later is read later
    put(engine, dict(list(corpus.items())[150:]))
    put(backwards, dict(reversed(corpus.items())))
    for name in ("0", "7", "250"):
        expected = by_likeness(corpus[name], {other: b for other, b in corpus.items() if other != name})[:5]
        for home in (engine, backwards):
            finding = home.score(corpus[name], name, None)
            assert names(finding) == [row[2] for row in expected]
            assert [past.similarity for past in finding.similar] == [round(row[0], 4) for row in expected]


def test_forgotten_analyses_are_never_named_even_if_they_were_the_nearest(engine: Engine) -> None:
    near = {f"near{n}": behaviour(*BASE, f"mutex:near{n}") for n in range(60)}
    far = {"far": behaviour(*BASE[:80]), "again": behaviour(*BASE[:80])}
    put(engine, near | far)
    assert set(names(engine.score(behaviour(*BASE), "", None))) <= set(near)
    engine.store.erase(set(near))
    assert names(engine.score(behaviour(*BASE), "", None)) == ["again", "far"]
    engine.store.erase({"again"})
    put(engine, {"near7": near["near7"]})
    assert names(engine.score(behaviour(*BASE), "", None)) == ["near7", "far"]


def test_a_store_that_is_replaced_is_read_anew(engine: Engine, tmp_path: Path) -> None:
    put(engine, {"1": behaviour("api:a"), "2": behaviour("api:b")})
    engine.store.close()
    shutil.copy(engine.home.store_file, tmp_path / "older.db")
    put(engine, {"3": behaviour("api:c")})
    assert names(engine.score(behaviour("api:c", "api:d"), "", None)) == ["3"]
    engine.store.close()
    for path in engine.home.path.glob("store.db*"):
        path.unlink()
    shutil.copy(tmp_path / "older.db", engine.home.store_file)
    put(engine, {"4": behaviour("api:c", "mutex:new"), "5": behaviour("api:e")})
    assert names(engine.score(behaviour("api:c", "api:d"), "", None)) == ["4"]


def test_a_process_keeps_the_newest_behashes_of_a_large_store(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BEHASHES", 20)
    monkeypatch.setattr(module, "_PAGE", 7)
    for first in range(0, 60, 4):
        put(engine, {str(n): behaviour("api:a", f"mutex:{n:02}") for n in range(first, first + 4)})
        found = {int(name) for name in names(engine.score(behaviour("api:a"), "", None))}
        assert found
        assert min(found) > first - 26
    (shelf,) = [shelf for name, shelf in module._SHELVES.items() if name == engine.store.name]
    assert len(shelf._table) <= 25


def test_a_damaged_behaviour_is_passed_over(engine: Engine) -> None:
    from sqlalchemy import update

    from cuckoo_ml_plugin.store.tables import analysis

    put(engine, {"1": behaviour("api:a", "api:b"), "2": behaviour("api:a")})
    damage = update(analysis).where(analysis.c.analysis == "1").values(behaviour=b"\x00")
    engine.store._db.write(lambda connection: connection.execute(damage))
    assert names(engine.score(behaviour("api:a", "api:c"), "", None)) == ["2"]


def test_readers_see_what_they_may_see_also_from_further_down_the_list(engine: Engine) -> None:
    put(engine, {f"theirs{n}": behaviour(*BASE, f"mutex:{n}") for n in range(40)})
    put(engine, {"ours": behaviour(*BASE[:70])})
    own = behaviour(*BASE)
    finding = engine.score(own, "", None)
    assert "ours" not in names(finding)
    for visible in (["ours"], []):
        wide = with_more_similar(engine, finding, own, "", lambda _, visible=visible: visible)  # type: ignore[misc]
        shown = visible_finding(engine, wide, "", lambda _, visible=visible: visible)  # type: ignore[misc]
        assert names(shown) == visible
        assert "5 similar analyses of other tenants are left out" in shown.message
        assert shown.behash == finding.behash


# -- with a model ------------------------------------------------------------------------------------------------------
def test_the_similarity_is_the_likeness_of_the_stored_behaviours(demo: DemoHome) -> None:
    engine = Engine(Home(demo.home))
    sets = {stored.analysis: token_sets(joined) for stored, joined, _ in engine.store.iter_behaviours()}
    checked = 0
    for analysis in list(sets)[::7]:
        finding = engine.score_stored(analysis)
        assert finding is not None
        assert finding.similar == sorted(finding.similar, key=lambda past: -past.similarity)
        for past in finding.similar:
            assert past.similarity == round(likeness(sets[analysis], sets[past.analysis]), 4), (analysis, past)
            checked += 1
    assert checked > 100


def test_what_was_stored_after_the_fit_is_named_like_what_was_stored_before(own_demo: DemoHome) -> None:
    newcomers = [sample for sample in own_demo.corpus.new if sample.role == "new"]
    engine = Engine(Home(own_demo.home))
    variant = extract(read_report(newcomers[0].path))
    later = behaviour(*variant.tokens[1:], "mutex:a later variant")
    before = engine.score(variant, "", None)
    engine.store.put([AnalysisRecord("later", pack(later.tokens, {}), True)])
    after = engine.score(variant, "", None)
    assert after.similar[0].analysis == "later"
    assert after.similar[0].similarity == round(likeness(token_sets(variant.joined), token_sets(later.joined)), 4)
    assert after.similar[1:] == before.similar[:4]
    assert "later" not in names(engine.score(later, "later", None))


def test_without_a_model_commands_name_the_most_alike(demo: DemoHome, tmp_path: Path) -> None:
    home = tmp_path / "home"
    variants = [sample for sample in demo.corpus.fitted if sample.family == demo.corpus.fitted[0].family][:3]
    done = cuckoo_ml(home, "import", *(sample.path for sample in variants))
    assert done.code == 0, done.err
    listed = cuckoo_ml(home, "similar", variants[0].name, "--json").json
    assert {past["analysis"] for past in listed} == {sample.name for sample in variants[1:]}
    scored = cuckoo_ml(home, "score", variants[0].path)
    assert scored.code == 0
    assert variants[1].name in scored.out
    assert "There is no model yet" in scored.out
