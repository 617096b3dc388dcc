"""A kill before any step that changes a file ends forget, backup and restore: nothing is half done for good."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import kills
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.store import Store


@pytest.fixture(scope="module")
def fitted(small_demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small home with two models and whole sections."""
    home = tmp_path_factory.mktemp("kills") / "home"
    shutil.copytree(small_demo.home, home, symlinks=True)
    for command in ("refit", "refresh"):
        done = cuckoo_ml(home, command)
        assert done.code == 0, done.err
    return home


def killed_before(number: int, *arguments: object, home: Path) -> bool:
    """Run a command in a child that is killed before its change of this number; False if it was done before that."""
    return kills.killed_before(number, lambda: cuckoo_ml(home, *arguments).code)


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
    met = 0
    for number in numbers():
        home = copy_of(fitted, tmp_path / "home")
        if not killed_before(number, "forget", stored.analysis, home=home):
            break
        met += 1
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
    assert met > 10


def test_a_backup_killed_at_any_moment_leaves_the_one_before(fitted: Path, tmp_path: Path) -> None:
    home, file = copy_of(fitted, tmp_path / "home"), tmp_path / "home.tar.gz"
    assert cuckoo_ml(home, "backup", file).code == 0
    before = file.read_bytes()
    met = 0
    for number in numbers():
        if not killed_before(number, "backup", file, home=home):
            break
        met += 1
        assert works(home)
        if file.read_bytes() != before:  # killed between the rename and the end
            before = file.read_bytes()
        assert cuckoo_ml(tmp_path / "fresh", "restore", file).code == 0
        assert works(tmp_path / "fresh")
        shutil.rmtree(tmp_path / "fresh")
    assert met > 5
    assert cuckoo_ml(home, "backup", file).code == 0
    leftovers = [path for path in tmp_path.glob(".unfinished*") if path.is_dir() or path.stat().st_size]
    assert leftovers == [], "the next backup removes what a kill left"


def test_a_restore_killed_at_any_moment_leaves_the_old_home_or_the_new_one(fitted: Path, tmp_path: Path) -> None:
    file = tmp_path / "home.tar.gz"
    assert cuckoo_ml(fitted, "backup", file).code == 0
    met, outcomes = 0, set()
    for number in numbers():
        for old in tmp_path.glob("home.before*"):
            shutil.rmtree(old)
        home = copy_of(fitted, tmp_path / "home")
        (home / "mark").write_text("the home that was there")
        if not killed_before(number, "restore", file, "--force", home=home):
            break
        met += 1
        assert works(home)
        marked = [path.parent for path in tmp_path.glob("*/mark")]
        assert len(marked) == 1, "the old home is never deleted"
        outcomes.add(marked[0].name)
    assert met > 5
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
