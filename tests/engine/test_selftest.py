"""A home examined in place: a healthy one is ok, and each damage is named with what to do and its exit code."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from support.command import Done, cuckoo_ml
from support.demo_home import DemoHome
from support.model_facts import facts_of, write_facts

from cuckoo_ml_plugin.model.folder import current_id

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
