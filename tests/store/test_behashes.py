"""The store keeps one behash for each behaviour that an analysis shows, on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import update
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures

from cuckoo_ml_plugin.behaviour.behash import behash
from cuckoo_ml_plugin.plumbing.hashes import joined_tokens
from cuckoo_ml_plugin.store import tables as schema
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store

FIRST, SECOND = ("api:NtClose", "mutex:zebra"), ("api:NtOpenFile",)


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty store."""
    return str(request.getfixturevalue("postgresql_url") if request.param == "postgresql" else tmp_path / "store.db")


def record(name: str, *tokens: str) -> AnalysisRecord:
    return AnalysisRecord(name, pack(tokens, {}), bool(tokens))


def behashes(store: Store) -> list[bytes]:
    return [stored.behash for stored in store.behashes_from(0, 100)]


def of(*tokens: str) -> bytes | None:
    return behash(joined_tokens(list(tokens)))


def test_a_behaviour_has_one_behash_as_long_as_an_analysis_shows_it(location: str) -> None:
    with Store.open(location) as store:
        store.put([record("1", *FIRST), record("2", *FIRST), record("3", *SECOND), record("4")])
        assert behashes(store) == [of(*FIRST), of(*SECOND)], "of a silent analysis there is none"
        store.forget(["1"])
        assert behashes(store) == [of(*FIRST), of(*SECOND)]
        store.forget(["2"])
        assert behashes(store) == [of(*SECOND)]
        store.put([record("3", *FIRST)])
        assert behashes(store) == [of(*FIRST)], "analysis 3 shows something else now"
        store.put([record("5", *SECOND)])
        numbers = [stored.number for stored in store.behashes_from(0, 100)]
        assert numbers == sorted(numbers)
        assert [stored.digest for stored in store.behashes_from(numbers[1], 100)] == [pack(SECOND, {}).digest]
        assert len(store.behashes_from(0, 1)) == 1


def test_what_was_stored_after_a_moment_and_the_newest_are_found(location: str) -> None:
    with Store.open(location) as store:
        assert store.first_behash_since(datetime(2000, 1, 1)) == 1
        store.put([record(str(number), f"api:{number}") for number in range(5)])
        between = datetime.now(timezone.utc)
        numbers = [stored.number for stored in store.behashes_from(0, 100)]
        assert store.first_behash_since(between) > numbers[-1]
        store.put([record("new", "mutex:new")])
        assert store.behashes_from(store.first_behash_since(between), 9) == store.behashes_from(numbers[-1] + 1, 9)
        assert store.first_behash_since(between - timedelta(days=1)) == numbers[0]
        newest = store.behashes_from(store.first_of_newest_behashes(2), 100)
        assert [stored.digest for stored in newest] == [pack([name], {}).digest for name in ("api:4", "mutex:new")]
        assert len(store.behashes_from(store.first_of_newest_behashes(6), 100)) == 6


def test_an_older_store_gets_the_behashes_that_it_lacks(location: str) -> None:
    with Store.open(location) as store:
        records = [record(str(number), f"api:{number}", "mutex:x") for number in range(600)]
        store.put([*records, record("silent"), record("again", *FIRST), record("damaged", *SECOND)])
        before = {stored.digest: stored.behash for stored in store.behashes_from(0, 1000)}
        assert store.fill_behashes() == 0, "a new store lacks none"
        damaged = schema.analysis.c.analysis == "damaged"
        store._db.write(schema.behash.drop)
        store._db.write(lambda c: c.execute(update(schema.analysis).where(damaged).values(behaviour=b"\x00\xff")))
        store._db.write(lambda c: c.execute(update(schema.meta).values(value="4")))
    with Store.open(location) as store:
        assert store.behashes_from(0, 1) == []
        assert store.fill_behashes() == 601
        after = {stored.digest: stored.behash for stored in store.behashes_from(0, 1000)}
        del before[pack(SECOND, {}).digest]
        assert after == before
        assert store.fill_behashes() == 0
        now = datetime.now(timezone.utc)
        assert store.behashes_from(store.first_behash_since(now), 1) == [], "they are as old as their analyses"


def test_behaviours_and_the_analyses_that_show_them_are_found_by_digest(location: str) -> None:
    with Store.open(location) as store:
        store.put([record(str(number), *FIRST) for number in (10, 9, 2)] + [record("3", *SECOND)])
        first, second = pack(FIRST, {}).digest, pack(SECOND, {}).digest
        assert store.joined_tokens_of([first, "nobody's"]) == {first: joined_tokens(FIRST)}
        shown = store.showing([first, second, "nobody's"], 2)
        assert {digest: [stored.analysis for stored in analyses] for digest, analyses in shown.items()} == {
            first: ["2", "9"], second: ["3"],
        }  # fmt: skip
