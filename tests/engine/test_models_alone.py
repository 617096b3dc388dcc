"""Whatever changes the models runs alone; and nothing that happened to them, or to the clock, stops a refit."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import xxhash
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.model_facts import facts_of, write_facts

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.model_lock import alone, refuse_if_busy
from cuckoo_ml_plugin.errors import BusyError
from cuckoo_ml_plugin.fit import refit as refits
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.store.store import Store

HOLDER = """
import sys, pathlib
from cuckoo_ml_plugin.engine.model_lock import alone
from cuckoo_ml_plugin.home import Home
home = Home(pathlib.Path(sys.argv[2]))
sys.argv[:] = ["/usr/bin/cuckoo-ml", "refit", "--if-needed"]
with alone(home):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_is_refused_hears_who_is_at_work_and_a_refits_folder_stays(own_demo: DemoHome, tmp_path: Path) -> None:
    home = own_demo.home
    assert cuckoo_ml(home, "refit").code == 0
    assert cuckoo_ml(home, "backup", tmp_path / "home.tar.gz").code == 0
    unfinished = home / "models" / ".unfinished-20300101-000000-000-00000000"
    analysis = own_demo.corpus.fitted[0].name
    refused: list[tuple[object, ...]] = [
        ("refit",), ("models", "prune"), ("models", "rollback"), ("forget", analysis),
        ("restore", tmp_path / "home.tar.gz", "--force"),
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, "--home", str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        unfinished.mkdir()
        (unfinished / "rows.columns.npy").write_bytes(b"half a model")
        for command in refused:
            done = cuckoo_ml(home, *command)
            message = " ".join(done.err.split())
            assert done.code == 1, command
            assert f"at work on its models (cuckoo-ml refit --if-needed, process {holder.pid}, since 20" in message
            assert (unfinished / "rows.columns.npy").exists()
        holder.kill()
    assert cuckoo_ml(home, "models", "prune").code == 0
    assert not unfinished.exists()


def test_the_lock_is_that_of_the_home_which_a_restore_has_just_put_there(
    own_demo: DemoHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, lock = Home(own_demo.home), fcntl.flock
    exchanged: list[bool] = []

    def exchange_and_lock(file: Any, how: int) -> None:
        """The home is exchanged after the lock's file was opened and before it is locked."""
        if not exchanged:
            exchanged.append(True)
            home.path.rename(tmp_path / "before")
            shutil.copytree(tmp_path / "before", home.path, symlinks=True)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", exchange_and_lock)
    with alone(home), pytest.raises(BusyError):
        refuse_if_busy(home)
    refuse_if_busy(home)


def test_a_killed_refit_goes_on_with_its_findings_where_it_was(own_demo: DemoHome) -> None:
    home = own_demo.home
    saved: list[int] = []
    save = Store.save_findings

    def saving(store: Store, findings: Any) -> int:
        some = list(findings)
        saved.append(len(some))
        if len(saved) == 1:
            save(store, some[:200])
            raise KeyboardInterrupt
        return save(store, some)

    with mock.patch.object(Store, "save_findings", saving):
        assert cuckoo_ml(home, "refit").code == 1
        assert "An interrupted refit was completed" in cuckoo_ml(home, "refit", "--if-needed").err
    assert sum(saved[1:]) == saved[0] - 200
    with Store.open(home / "store.db") as store:
        model = current_id(home / "models")
        assert model is not None
        assert len(store.scored_by(model)) == saved[0]


def test_a_clock_that_jumps_back_stops_nothing(own_demo: DemoHome) -> None:
    home = own_demo.home
    with (
        mock.patch("cuckoo_ml_plugin.store.store.now_text", return_value="2020-01-01T00:00:00.000000Z"),
        mock.patch.object(refits, "datetime", mock.Mock(now=lambda _: _long_ago())),
    ):
        new = [analysis.path for analysis in own_demo.corpus.new]
        assert cuckoo_ml(home, "import", *new, *new).code == 0
        assert "No refit. 6 new analyses" in cuckoo_ml(home, "refit", "--if-needed").out
        first = current_id(home / "models")
        with mock.patch("cuckoo_ml_plugin.fit.fit_model.datetime", mock.Mock(now=lambda _: _long_ago())):
            assert cuckoo_ml(home, "refit").code == 0
        second = current_id(home / "models")
        assert [model["id"] for model in cuckoo_ml(home, "models", "list", "--json").json] == [first, second]
        assert "No refit. 0 new analyses" in cuckoo_ml(home, "refit", "--if-needed").out
    assert cuckoo_ml(home, "models", "rollback").code == 0
    assert current_id(home / "models") == first


def _long_ago() -> Any:
    from datetime import datetime, timezone

    return datetime(2020, 1, 1, tzinfo=timezone.utc)


EVIL: list[tuple[str, Any]] = [
    ("clustering.labels", 10**6), ("kin.labels", 10**6), ("kin.labels", -7), ("kin.level", np.nan),
    ("members.starts", 2**40), ("members.offsets", -5), ("members.text", 0), ("rows.columns", 2**30),
    ("fitted_scores.all", np.inf),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), EVIL)
def test_wrong_values_under_right_checksums_never_stop_the_refit_that_mends_them(
    own_demo: DemoHome, name: str, value: Any
) -> None:
    folder = (own_demo.home / "models" / "current").resolve()
    array = np.load(folder / f"{name}.npy")
    array[: max(len(array) - 1, 1)] = value
    np.save(folder / f"{name}.npy", array)
    facts = facts_of(folder)
    facts["arrays"][name]["checksum"] = xxhash.xxh3_128_hexdigest(array.reshape(-1).view(np.uint8).data)
    write_facts(folder, facts)
    done = cuckoo_ml(own_demo.home, "refit", "--if-needed")
    assert done.code == 0, done.err
    assert "no readable model" in done.err
    assert cuckoo_ml(own_demo.home, "score", own_demo.corpus.new[0].path, "--json").json[0]["status"] == "scored"


def copied_as_a_folder(models: Path) -> None:
    target = (models / "current").resolve()
    (models / "current").unlink()
    shutil.copytree(target, models / "current")


def copied_as_the_only_folder(models: Path) -> None:
    target = (models / "current").resolve()
    (models / "current").unlink()
    target.rename(models / "current")


def an_absolute_link(models: Path) -> None:
    target = (models / "current").resolve()
    (models / "current").unlink()
    (models / "current").symlink_to(target)


def a_link_into_the_home_that_was_copied(models: Path) -> None:
    target = (models / "current").resolve()
    (models / "current").unlink()
    (models / "current").symlink_to(Path("/another/home/models") / target.name)


@pytest.mark.parametrize(
    "change",
    [copied_as_a_folder, copied_as_the_only_folder, an_absolute_link, a_link_into_the_home_that_was_copied],
    ids=lambda change: change.__name__,
)
def test_current_works_however_it_was_copied_and_a_refit_makes_it_a_link_again(
    own_demo: DemoHome, change: Callable[[Path], None]
) -> None:
    models = own_demo.home / "models"
    before = current_id(models)
    change(models)
    assert current_id(models) == before
    assert cuckoo_ml(own_demo.home, "score", own_demo.corpus.new[0].path, "--json").json[0]["status"] == "scored"
    engine = Engine(Home(own_demo.home))
    assert engine.model() is engine.model(), "it is loaded once"
    with ExitStack() as stack:
        stack.enter_context(alone(Home(own_demo.home)))
    assert os.readlink(models / "current") == before, "it has no path, so that it may be copied"
    assert [path.name for path in models.iterdir() if path.is_dir() and not path.is_symlink()] == [before]
    assert cuckoo_ml(own_demo.home, "models", "prune").code == 0
    assert cuckoo_ml(own_demo.home, "score", own_demo.corpus.new[0].path, "--json").json[0]["status"] == "scored"
