"""An analysis opens nothing, waits for no disk and is two transactions; connections are kept and survive forks."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from support.demo_home import DemoHome
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures
from support.time_limits import HANG

from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.store.store import Store


def waits_for_disk(connection: Connection) -> bool:
    """Whether a commit on this connection ends only when it is on the disk."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    question = "PRAGMA synchronous" if connection.dialect.name == "sqlite" else "SHOW synchronous_commit"
    cursor = raw.cursor()
    cursor.execute(question)
    [answer] = cursor.fetchone() or [None]
    cursor.close()
    return answer not in (1, "off")  # 1: NORMAL, which in WAL waits only where the log is written into the store


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How many connections are opened, how many transactions write, and how many of these wait for the disk."""
    counts: Counter[str] = Counter()

    def connected(*_: Any) -> None:
        counts["connections"] += 1

    def executed(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement == "BEGIN IMMEDIATE" or "pg_advisory_xact_lock" in statement:
            counts["writes"] += 1
            counts["waits for the disk"] += waits_for_disk(connection)

    listeners: list[tuple[str, Callable[..., None]]] = [("connect", connected), ("before_cursor_execute", executed)]
    for name, listener in listeners:
        event.listen(Engine, name, listener)
    try:
        yield counts
    finally:
        for name, listener in listeners:
            event.remove(Engine, name, listener)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_an_analysis_opens_no_connection_and_is_at_most_two_transactions_that_write(
    own_demo: DemoHome, database: str, request: pytest.FixtureRequest
) -> None:
    home = own_demo.home
    if database == "postgresql":
        url = request.getfixturevalue("postgresql_url")
        (home / "cuckooml.conf").write_text(f"[store]\nurl = {url}\n[host]\ntime_limit = {HANG}\n", encoding="utf-8")
    results = json.loads(own_demo.corpus.new[0].path.read_text(encoding="utf-8"))
    with counted() as counts:
        enricher = Enricher(home)
        for number in range(2):  # opens everything, and makes the reference of the day
            enricher.enrich(results | {"info": results["info"] | {"id": number}}, f"80{number}")
        assert counts["connections"]
        counts.clear()
        log = (home / "store.db-wal").stat().st_ino if database == "sqlite" else 0
        for number in range(2, 7):
            section = enricher.enrich(results | {"info": results["info"] | {"id": number}}, f"80{number}")
            assert (section["status"], section["message"]) == ("scored", "")
        assert counts["connections"] == 0
        assert 0 < counts["writes"] <= 2 * 5
        assert counts["waits for the disk"] == 0
        if database == "sqlite":  # its removal would write all of it into the store, and wait for the disk
            assert (home / "store.db-wal").stat().st_ino == log


def test_what_follows_from_a_finding_is_stored_with_it_or_not_at_all(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:

        def fails() -> None:
            store.note_tenants(True)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            store.together(fails)
        assert not store.has_tenants()
        store.together(lambda: store.note_tenants(True))
        assert store.has_tenants()


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a forked process that does the work."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(70)
    return os.waitpid(pid, 0)[1]


def test_a_fork_inherits_no_connection_and_both_sides_go_on(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = Store.open(file)
    store.note_tenants(True)
    assert open_files(file)

    def child() -> None:
        assert not open_files(file)
        store.note_tenants(False)
        assert not store.has_tenants()

    assert in_child(child) == 0
    assert not store.has_tenants()
    store.note_tenants(True)
    assert in_child(lambda: store.note_tenants(False)) == 0
    assert not store.has_tenants()
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def open_files(file: Path) -> list[str]:
    """The files of a store that this process has open."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return [path for link in links if os.path.lexists(link) and (path := os.readlink(link)).startswith(str(file))]


def test_a_server_that_was_restarted_is_connected_to_again(
    postgresql_url: str,  # noqa: F811
) -> None:
    import psycopg

    store = Store.open(postgresql_url)
    store.note_tenants(True)
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
    assert store.has_tenants()
    with psycopg.connect(postgresql_url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
    store.note_tenants(False)
    assert not store.has_tenants()
