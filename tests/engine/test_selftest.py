"""A home examined in place: a healthy one is ok, and each damage is named with what to do and its exit code."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.command import Done, cuckoo_ml
from support.demo_home import DemoHome
from support.hangs import locked_table
from support.model_facts import facts_of, write_facts
from support.postgresql import new_database, postgresql_server  # noqa: F401 -- a fixture

from cuckoo_ml_plugin.engine import selftest
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.store import inspection

CHECKS = ["store", "model", "findings", "disk", "permissions", "refit", "spool"]


def states(done: Done) -> dict[str, str]:
    return {check["name"]: check["state"] for check in done.json["checks"]}


def message(done: Done, name: str) -> str:
    return next(str(check["message"]) for check in done.json["checks"] if check["name"] == name)


def change(home: Path, statement: str, *values: object) -> int:
    with closing(sqlite3.connect(home / "store.db")) as connection, connection:
        return connection.execute(statement, values).rowcount


def test_a_healthy_home_is_ok_wherever_it_is_named(demo: DemoHome, tmp_path: Path) -> None:
    for done in (
        cuckoo_ml(demo.home, "selftest", "--json"),
        cuckoo_ml(tmp_path / "elsewhere", "selftest", "--home", demo.home, "--json"),
    ):
        assert done.code == 0, done.out
        assert done.json["state"] == "ok"
        assert states(done) == dict.fromkeys(CHECKS, "ok")
        assert message(done, "findings") == "100 stored findings agree with a fresh scoring"
    lines = cuckoo_ml(demo.home, "selftest").out.splitlines()
    assert [line.split(":")[0].split() for line in lines] == [["ok", name] for name in CHECKS]


def test_nothing_stays_beside_the_store_and_nothing_stored_changes(own_demo: DemoHome) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in own_demo.home.rglob("*") if path.is_file()}

    change(own_demo.home, "PRAGMA wal_checkpoint(TRUNCATE)")
    before = files()
    assert cuckoo_ml(own_demo.home, "selftest").code == 0
    assert files() == before


def test_a_place_without_a_home_fails_and_none_is_made(tmp_path: Path) -> None:
    done = cuckoo_ml(tmp_path / "nothing", "selftest")
    assert done.code == 2
    assert "there is no home" in done.err
    assert not (tmp_path / "nothing").exists()


def flipped_byte(home: Path) -> None:
    array = max(
        (home / "models" / str(current_id(home / "models"))).glob("*.npy"), key=lambda path: path.stat().st_size
    )
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)


def truncated_store(home: Path) -> None:
    change(home, "PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(home / "store.db", (home / "store.db").stat().st_size // 2)


def store_that_is_gone(home: Path) -> None:
    for file in home.glob("store.db*"):
        file.unlink()


def altered_cluster(home: Path) -> None:
    assert change(home, "UPDATE cuckooml_finding SET cluster = 'c9999' WHERE cluster IS NOT NULL") > 100


def altered_probability(home: Path) -> None:
    assert change(home, "UPDATE cuckooml_finding SET probability = probability / 2 WHERE cluster IS NOT NULL") > 100


def finding_of_no_cluster_put_into_one(home: Path) -> None:
    assert change(home, "UPDATE cuckooml_finding SET cluster = 'c0' WHERE cluster IS NULL") > 5


def findings_of_another_model(home: Path) -> None:
    assert change(home, "UPDATE cuckooml_finding SET model = 'another'") > 100


def world_writable_folder(home: Path) -> None:
    (home / "models").chmod(0o777)


def file_of_another_user(home: Path) -> None:
    os.chown(home / "models" / str(current_id(home / "models")) / "model.json", os.geteuid() + 4321, -1)


def fitted_long_ago(home: Path) -> None:
    folder = home / "models" / str(current_id(home / "models"))
    write_facts(folder, facts_of(folder) | {"fitted_at": "2020-01-01T00:00:00+00:00"})


def unreadable_in_spool(home: Path) -> None:
    (home / "spool").mkdir(mode=0o700)
    (home / "spool" / f"{1:020d}-{'0' * 16}.unreadable").write_bytes(b"?")


def waiting_in_spool(home: Path) -> None:
    (home / "spool").mkdir(mode=0o700)
    (home / "spool" / f"{1:020d}-{'0' * 16}.analysis").write_bytes(b"?")


@pytest.mark.parametrize(
    ("damage", "check", "state", "said"),
    [
        (flipped_byte, "model", "failed", r"its content is another one.* refit"),
        (truncated_store, "store", "failed", r"is damaged.*restore FILE --force"),
        (store_that_is_gone, "store", "failed", r"is gone.*restore FILE --force"),
        (altered_cluster, "findings", "failed", r"stored findings differ .* refit, which"),
        (altered_probability, "findings", "failed", r"stored findings differ .* refit, which"),
        (finding_of_no_cluster_put_into_one, "findings", "failed", r"stored findings differ .* refit, which"),
        (findings_of_another_model, "findings", "warning", r"of 100 findings are of another model; run .* refresh$"),
        (world_writable_folder, "permissions", "failed", r"models: writable by every user; run chmod -R o-w"),
        pytest.param(
            file_of_another_user,
            "permissions",
            "failed",
            r"model\.json.* sudo chown",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
        ),
        (fitted_long_ago, "refit", "warning", r"days ago; check that a timer runs .* refit --if-needed$"),
        (unreadable_in_spool, "spool", "failed", r"1 file in .* cannot be read"),
        (waiting_in_spool, "spool", "warning", r"1 analysis in .* wait.* to be stored"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_each_damage_is_named_with_what_to_do(
    own_demo: DemoHome, damage: Callable[[Path], None], check: str, state: str, said: str
) -> None:
    damage(own_demo.home)
    done = cuckoo_ml(own_demo.home, "selftest", "--json")
    assert done.code == {"warning": 1, "failed": 2}[state], done.out
    assert states(done)[check] == done.json["state"] == state
    assert re.search(said, message(done, check)), message(done, check)
    healthy = {name for name, its_state in states(done).items() if its_state == "ok"}
    assert {"disk", "refit"} - {check} <= healthy | ({"refit"} if damage is flipped_byte else set())


@pytest.mark.parametrize(("free", "state", "code"), [(2**29, "warning", 1), (2**20, "failed", 2)])
def test_a_disk_that_is_nearly_full_is_named_with_what_to_do(
    demo: DemoHome, monkeypatch: pytest.MonkeyPatch, free: int, state: str, code: int
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: mock.Mock(free=free))
    done = cuckoo_ml(demo.home, "selftest", "--json")
    assert (done.code, done.json["state"]) == (code, state)
    assert states(done) == dict.fromkeys(CHECKS, "ok") | {"disk": state}
    assert re.search(r" GB free; free space, or run .* models prune$", message(done, "disk"))


def test_what_a_refit_is_said_to_mend_it_mends(own_demo: DemoHome) -> None:
    altered_cluster(own_demo.home)
    assert cuckoo_ml(own_demo.home, "selftest").code == 2
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    assert cuckoo_ml(own_demo.home, "selftest").code == 0


def test_a_single_altered_finding_is_found_in_a_home_of_few(own_demo: DemoHome) -> None:
    stays = "SELECT analysis FROM cuckooml_analysis ORDER BY analysis LIMIT 60"
    for table in ("cuckooml_finding", "cuckooml_analysis"):
        change(own_demo.home, f"DELETE FROM {table} WHERE analysis NOT IN ({stays})")
    name = "UPDATE cuckooml_finding SET kin = 'k9999' WHERE analysis = (SELECT min(analysis) FROM cuckooml_finding)"
    assert change(own_demo.home, name) == 1
    done = cuckoo_ml(own_demo.home, "selftest", "--json")
    assert done.code == 2
    assert message(done, "findings").startswith("1 of ")


# -- a store in PostgreSQL ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def filled_database(demo: DemoHome, postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: F811
    """The name of a database with the demo's analyses and findings, of which each story has a copy."""
    home = tmp_path_factory.mktemp("filled") / "home"
    shutil.copytree(demo.home, home, symlinks=True)
    use_store(home, new_database(postgresql_server, "filled"))
    assert cuckoo_ml(home, "import", *demo.corpus.import_paths).code == 0
    assert cuckoo_ml(home, "refresh").code == 0
    return "filled"


@pytest.fixture
def home_on_server(own_demo: DemoHome, postgresql_server: str, filled_database: str) -> Path:  # noqa: F811
    """The demo's home with its store in PostgreSQL."""
    use_store(own_demo.home, new_database(postgresql_server, "own", filled_database))
    return own_demo.home


def use_store(home: Path, url: str) -> None:
    (home / "cuckooml.conf").write_text(f"[store]\nurl = {url}\n", encoding="utf-8")


def on_server(home: Path, *statements: str) -> list[tuple[Any, ...]]:
    """The rows that the last statement returns."""
    import psycopg

    url = Home(home).settings().store.url.replace("+psycopg", "")
    rows: list[tuple[Any, ...]] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
    return rows


def dropped_index(home: Path) -> None:
    on_server(home, "DROP INDEX ix_cuckooml_finding_cluster")


def invalid_index(home: Path) -> None:
    on_server(home, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_cuckooml_analysis_task'::regclass")


def index_that_lacks_a_row(home: Path) -> None:
    ready = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'ix_cuckooml_label_family'::regclass"
    add = "INSERT INTO cuckooml_label SELECT analysis, 'another', 'family' FROM cuckooml_label LIMIT 1"
    on_server(home, ready.format("false"))
    on_server(home, add)
    on_server(home, ready.format("true"))


def dropped_table(home: Path) -> None:
    on_server(home, "DROP TABLE cuckooml_threat_score")


def overwritten_page(home: Path) -> None:
    """A copy of the database by its files, of which the server has nothing in memory, and in one a page is garbage."""
    url = Home(home).settings().store.url
    name = re.findall(r"/([^/?]*)\?", url)[-1]
    server = url.replace(f"/{name}?", "/{database}?")
    copy = new_database(server, "damaged", name, "FILE_COPY")
    [(path,)] = on_server(home, "SELECT pg_relation_filepath('cuckooml_finding')")
    [(number,)] = on_server(home, "SELECT oid FROM pg_database WHERE datname = 'damaged'")
    folder = Path(url.partition("?host=")[2]) / "data" / "base" / str(number)
    with (folder / Path(path).name).open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 8192)
    use_store(home, copy)


def test_a_healthy_store_in_postgresql_is_ok(home_on_server: Path) -> None:
    done = cuckoo_ml(home_on_server, "selftest", "--json")
    assert states(done) == dict.fromkeys(CHECKS, "ok"), done.out
    assert message(done, "findings") == "100 stored findings agree with a fresh scoring"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (dropped_index, r"the index of cuckooml_finding on cluster, probability is missing"),
        (invalid_index, r"the index ix_cuckooml_analysis_task is invalid"),
        (index_that_lacks_a_row, r"ix_cuckooml_label_family leads to (\S+) of (?!\1 )\S+ rows\); .*REINDEX INDEX"),
        (dropped_table, r"the table cuckooml_threat_score is missing"),
        (overwritten_page, r"the table cuckooml_finding cannot be read: invalid page in block 1 .*pg_dump"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_each_damage_of_a_store_in_postgresql_is_named(
    home_on_server: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(home_on_server)
    done = cuckoo_ml(home_on_server, "selftest", "--json")
    assert (done.code, states(done)["store"]) == (2, "failed"), done.out
    assert re.search(said, message(done, "store")), message(done, "store")


def test_a_table_that_another_program_keeps_is_not_waited_for_without_end(
    home_on_server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "_SECONDS", 0.5)
    monkeypatch.setattr(inspection, "_STATEMENT", 0.5)
    with locked_table(Home(home_on_server).settings().store.url):
        done = cuckoo_ml(home_on_server, "selftest", "--json")
    assert (done.code, states(done)["store"]) == (2, "failed")
    assert "statement timeout" in message(done, "store")
