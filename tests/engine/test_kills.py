"""A kill before any step that changes a file ends forget, backup and restore: nothing is half done for good.

A child process kills itself before its first, second, ... change, until it is done before that. So every moment between
two changes is met, which a kill after some random time would mostly miss.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.command import cuckoo_ml

from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.database import Database
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import generate

_CHANGES = ("replace", "rename", "mkdir", "rmdir", "unlink", "link", "symlink", "fsync", "truncate")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small home with two models and whole sections."""
    folder = tmp_path_factory.mktemp("kills")
    corpus = generate(folder / "samples", analyses=60)
    for arguments in (("import", *corpus.import_paths), ("refit",), ("refit",), ("refresh",)):
        done = cuckoo_ml(folder / "home", *arguments)
        assert done.code == 0, done.err
    return folder / "home"


def killed_before(number: int, *arguments: object, home: Path) -> bool:
    """Run a command in a child that is killed before its change of this number; False if it was done before that."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = _run_until(number, *arguments, home=home)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the command failed by itself"
    return False


def _run_until(number: int, *arguments: object, home: Path) -> int:
    changes = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*values: Any, **options: Any) -> Any:
            nonlocal changes
            if options.get("writes", True):  # reading transactions change nothing
                changes += 1
                if changes == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return change(*values, **options)

        return counting

    for name in _CHANGES:
        mock.patch.object(os, name, counted(getattr(os, name))).start()
    mock.patch.object(Database, "_transaction", counted(Database._transaction)).start()
    return cuckoo_ml(home, *arguments).code


def numbers() -> Iterator[int]:
    yield from (*range(1, 30), *range(30, 120, 9), *range(120, 2_000, 60))


def copy_of(home: Path, copy: Path) -> Path:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(home, copy, symlinks=True)
    return copy


def works(home: Path) -> bool:
    """Whether the model in force can be read, and every stored analysis too."""
    current = current_id(home / "models")
    assert current is not None
    assert Model.load(home / "models" / current).id == current
    with Store.open(home / "store.db") as store:
        return all(stored.unpack() for stored in store.analyses_in_order()) and store.count() > 50


def test_a_forgetting_killed_at_any_moment_is_completed_by_repeating_it(fitted: Path, tmp_path: Path) -> None:
    model = Model.load(fitted / "models" / "current")
    files = [member.sha256 for _, member in model.members.all()]
    stored = next(member for _, member in model.members.all() if member.sha256 and files.count(member.sha256) == 1)
    assert stored.sha256 is not None
    kills = 0
    for number in numbers():
        home = copy_of(fitted, tmp_path / "home")
        if not killed_before(number, "forget", stored.analysis, home=home):
            break
        kills += 1
        assert works(home)
        with Store.open(home / "store.db") as store:
            remains = store.get(stored.analysis) is not None
        done = cuckoo_ml(home, "forget", stored.analysis)
        assert done.code == (0 if remains else 1), done.err
        assert works(home)
        contents = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
        assert not [path for path in contents if stored.sha256.encode() in path.read_bytes()]
        assert cuckoo_ml(home, "models", "prune").code == 0
        assert len(cuckoo_ml(home, "models", "list", "--json").json) == 2
    assert kills > 10


def test_a_backup_killed_at_any_moment_leaves_the_one_before(fitted: Path, tmp_path: Path) -> None:
    home, file = copy_of(fitted, tmp_path / "home"), tmp_path / "home.tar.gz"
    assert cuckoo_ml(home, "backup", file).code == 0
    before = file.read_bytes()
    kills = 0
    for number in numbers():
        if not killed_before(number, "backup", file, home=home):
            break
        kills += 1
        assert works(home)
        if file.read_bytes() != before:  # killed between the rename and the end
            before = file.read_bytes()
        assert cuckoo_ml(tmp_path / "fresh", "restore", file).code == 0
        assert works(tmp_path / "fresh")
        shutil.rmtree(tmp_path / "fresh")
    assert kills > 5
    assert cuckoo_ml(home, "backup", file).code == 0
    leftovers = [path for path in tmp_path.glob(".unfinished*") if path.is_dir() or path.stat().st_size]
    assert leftovers == [], "the next backup removes what a kill left"


def test_a_restore_killed_at_any_moment_leaves_the_old_home_or_the_new_one(fitted: Path, tmp_path: Path) -> None:
    file = tmp_path / "home.tar.gz"
    assert cuckoo_ml(fitted, "backup", file).code == 0
    kills, outcomes = 0, set()
    for number in numbers():
        for old in tmp_path.glob("home.before*"):
            shutil.rmtree(old)
        home = copy_of(fitted, tmp_path / "home")
        (home / "mark").write_text("the home that was there")
        if not killed_before(number, "restore", file, "--force", home=home):
            break
        kills += 1
        assert works(home)
        marked = [path.parent for path in tmp_path.glob("*/mark")]
        assert len(marked) == 1, "the old home is never deleted"
        outcomes.add(marked[0].name)
    assert kills > 5
    assert outcomes <= {"home", "home.before-restore"}
    assert "home" in outcomes
    assert cuckoo_ml(home, "restore", file, "--force").code == 0
    assert list(tmp_path.glob(".unfinished*")) == [], "the next restore removes what a kill left"


def test_a_restore_into_nothing_that_is_killed_leaves_nothing_or_the_home(fitted: Path, tmp_path: Path) -> None:
    file, home = tmp_path / "home.tar.gz", tmp_path / "new"
    assert cuckoo_ml(fitted, "backup", file).code == 0
    for number in numbers():
        shutil.rmtree(home, ignore_errors=True)
        if not killed_before(number, "restore", file, home=home):
            break
        assert not home.exists() or works(home)
    assert works(home)
