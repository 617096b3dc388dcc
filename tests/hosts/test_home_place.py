"""The home outlives the host's clean-up; one that is gone or was replaced is noticed; an examination writes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.cape_analysis import analyse, cape_sample
from support.cape_loader import make_cape
from support.command import Done, cuckoo_ml
from support.demo_home import DemoHome
from support.old_installation import install_the_old_way
from support.paths import REPOSITORY
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures
from support.time_limits import HANG

from cuckoo_ml_plugin.plumbing.files import exchange
from cuckoo_ml_plugin.store.database import parse_url
from cuckoo_ml_plugin.store.store import Store

REAL, PYTHON = os.environ.get("CAPE_ROOT"), os.environ.get("CAPE_PYTHON", "")
needs_cape = pytest.mark.skipif(not (REAL and PYTHON), reason="no CAPE_ROOT and CAPE_PYTHON")
GIT = ("git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false")


@pytest.fixture
def cape(tmp_path: Path) -> Path:
    return make_cape(tmp_path / "cape")


def run(command: str, root: Path, *arguments: object) -> Done:
    more = ("--refit", "none") if command == "install" else ()
    return cuckoo_ml(root / "unused", command, "--host", "cape", "--root", root, *arguments, *more)


def said(root: Path, check: str, *more: object) -> str:
    return next(str(row["said"]) for row in run("doctor", root, "--json", *more).json if row["check"] == check)


def state(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder with its mode, size and time."""
    facts = {str(path): path.lstat() for path in (root, *root.rglob("*"))}
    return {path: (fact.st_mode, fact.st_size, fact.st_mtime_ns) for path, fact in facts.items()}


@contextmanager
def unfinished_log(store: Path) -> Iterator[None]:
    """As long as this lasts, the last analyses are in the log beside the store."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE of_a_writer (number INTEGER)")
        connection.commit()
        yield


def test_a_home_that_is_gone_or_replaced_is_said_by_all_that_use_it(cape: Path, demo: DemoHome) -> None:
    assert run("install", cape).code == 0
    home = cape / "custom/cuckooml"
    assert analyse(cape, cape_sample(demo))[0]["cuckooml"]["status"] == "no_model"
    assert cuckoo_ml(home, "refit", "--if-needed").code == 0
    shutil.rmtree(home)
    assert "the home that was installed here is gone" in said(cape, "home")
    gone = cuckoo_ml(home, "refit", "--if-needed")
    assert gone.code == 1
    assert "is gone" in " ".join(gone.err.split())
    message = analyse(cape, cape_sample(demo))[0]["cuckooml"]["message"]
    assert "was replaced by another" in message
    assert "was replaced by another" in said(cape, "home")
    replaced = cuckoo_ml(home, "refit", "--if-needed")
    assert replaced.code == 1
    assert "restore FILE" in " ".join(replaced.err.split())
    assert run("install", cape).code == 0, "to go on with the new one"
    assert "cuckooml" in said(cape, "home")
    assert cuckoo_ml(home, "refit", "--if-needed").code == 0
    shutil.rmtree(home)
    assert run("uninstall", cape).code == 0
    assert not list(cape.rglob("*cuckooml*"))


def test_a_home_moves_whole_to_a_disk_of_its_own(cape: Path, demo: DemoHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where storage/ is another file system, a rename is refused, so the home is copied, compared and then removed."""
    assert run("install", cape).code == 0
    shutil.rmtree(cape / "custom/cuckooml")
    old, new = cape / "storage/cuckooml", cape / "custom/cuckooml"
    shutil.copytree(demo.home, old, symlinks=True)

    def refuse(path: Path, other: Path) -> bool:
        if path == new:
            raise OSError(18, "Invalid cross-device link")
        return exchange(path, other)

    monkeypatch.setattr("cuckoo_ml_plugin.hosts.installation.moving.exchange", refuse)
    with Store.open(demo.home / "store.db") as store:
        analyses = store.count()
    done = run("install", cape)
    assert done.code == 0, done.err
    assert old.resolve() == new
    assert [path for room in ("custom", "storage") for path in (cape / room).glob(".*")] == []
    with Store.open(new / "store.db") as store:
        assert store.count() == analyses
    assert cuckoo_ml(new, "models", "list", "--json").json == cuckoo_ml(demo.home, "models", "list", "--json").json


def test_an_old_home_is_used_until_install_moves_it(cape: Path, demo: DemoHome) -> None:
    assert run("install", cape).code == 0
    old, new = cape / "storage/cuckooml", cape / "custom/cuckooml"
    new.rename(old)
    assert analyse(cape, cape_sample(demo))[0]["cuckooml"]["status"] == "no_model"
    assert not new.exists()
    assert "the host's clean-up deletes this place" in said(cape, "home")
    assert run("install", cape).code == 0
    with Store.open(new / "store.db") as store:
        assert store.count() == 1


def test_an_examination_writes_nothing(cape: Path, demo: DemoHome) -> None:
    before = state(cape)
    assert run("doctor", cape).code == 1
    assert state(cape) == before, "nothing is installed"
    assert run("install", cape).code == 0
    home = cape / "custom/cuckooml"
    before = state(cape)
    assert "not begun" in said(cape, "store")
    assert state(cape) == before, "the home has no store yet"
    shutil.copytree(demo.home, home, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("home.id"))
    with Store.open(home / "store.db") as store:
        stored = store.count()
    before = state(cape)
    assert f"writable; {stored:,} analyses" in said(cape, "store")
    assert state(cape) == before
    with unfinished_log(home / "store.db"):
        before = state(cape)
        assert f"writable; {stored:,} analyses" in said(cape, "store")
        assert state(cape) == before, "a writer is at work"
    shutil.rmtree(home)
    before = state(cape)
    assert "is gone" in said(cape, "home")
    assert state(cape) == before, "the home is gone"


def test_an_examination_makes_no_tables_in_postgresql(
    cape: Path,
    postgresql_url: str,  # noqa: F811
) -> None:
    from sqlalchemy import create_engine, inspect

    assert run("install", cape).code == 0
    settings = cape / "custom/cuckooml/cuckooml.conf"
    settings.write_text(f"[store]\nurl = {postgresql_url}\n")
    assert "not begun" in said(cape, "store")
    engine = create_engine(parse_url(postgresql_url))
    assert not [name for name in inspect(engine).get_table_names() if name.startswith("cuckooml")]
    engine.dispose()


def test_one_of_two_working_directories_is_uninstalled_and_the_other_works(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    package = environment / "lib" / "cuckoo"
    for folder in (environment / "bin", *(package / name for name in ("common", "processing", "reporting"))):
        folder.mkdir(parents=True)
    python = environment / "bin" / "python"
    python.write_text(f"#!/bin/sh\nprintf %s '{package}'\n")
    python.chmod(0o755)
    cwds = [tmp_path / name for name in ("one", "two", "three")]
    for cwd in cwds:
        for room in ("conf", "storage"):
            (cwd / room).mkdir(parents=True)
        for name in ("processing", "reporting"):
            (cwd / "conf" / f"{name}.conf").write_text("[jsondump]\nenabled = yes\n")
        arguments = ("--host", "cuckoo2", "--root", cwd)
        done = cuckoo_ml(cwd, "install", *arguments, "--python", environment, "--refit", "none")
        assert done.code == 0, done.err

    def uninstall(cwd: Path) -> str:
        done = cuckoo_ml(cwd, "uninstall", "--host", "cuckoo2", "--root", cwd)  # the environment is remembered
        assert done.code == 0, done.err
        assert "cuckooml" not in (cwd / "conf" / "reporting.conf").read_text()
        return " ".join(done.out.split())

    assert "also serves" in uninstall(cwds[0])
    assert (package / "reporting" / "cuckooml.py").is_file()
    shutil.rmtree(cwds[1])  # and is never uninstalled
    assert "also serves" not in uninstall(cwds[2])
    assert not list(package.rglob("*cuckooml*"))


@pytest.fixture(scope="module")
def real_cape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the real CAPE under git, as an admin has it."""
    root = tmp_path_factory.mktemp("real") / "CAPE"
    shutil.copytree(str(REAL), root, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "CAPE")):
        subprocess.run([*GIT, *arguments], cwd=root, check=True, capture_output=True)
    return root


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run([*GIT, *arguments], cwd=root, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_cape
def test_capes_clean_up_leaves_what_was_learnt_and_git_pull_works(
    real_cape: Path, demo: DemoHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    upstream = real_cape.parent / "upstream"
    git(real_cape.parent, "clone", "-q", str(real_cape), str(upstream))
    settings = upstream / "web/web/local_settings.py"
    settings.write_text(settings.read_text() + "\n# changed upstream\n")
    git(upstream, "commit", "-q", "-a", "-m", "upstream")
    assert run("install", real_cape).code == 0
    changed = [line for line in git(real_cape, "status", "--porcelain").splitlines() if not line.startswith("??")]
    assert changed == []
    git(real_cape, "pull", "-q", str(upstream), "HEAD")
    assert "# changed upstream" in (real_cape / "web/web/local_settings.py").read_text()

    fresh = run("doctor", real_cape, "--python", PYTHON, "--json")
    assert [check for check in fresh.json if not check["ok"]] == []
    assert fresh.code == 0, "a right installation without analyses is no failure"
    home = real_cape / "custom/cuckooml"
    shutil.copytree(demo.home, home, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("home.id"))
    with Store.open(home / "store.db") as store:
        before = store.count()
        labelled = store.get_many(sorted(demo.corpus.labels))
        own = sorted(labelled)[0]
        store.set_labels({own: "an analyst's own"})
    notes = real_cape / "custom/cuckooml-install.json"
    installed = notes.read_bytes()
    before_cleaning = run("doctor", real_cape, "--python", PYTHON, "--json").json
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "CAPE_AS_ROOT": "1"}
    (real_cape / "storage" / "analyses" / "7").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "utils/cleaners.py", "--clean"], cwd=real_cape, env=environment,
        capture_output=True, text=True, check=False, timeout=HANG,
    )  # fmt: skip
    assert not (real_cape / "storage" / "analyses" / "7").exists(), done.stderr[-2000:]
    with Store.open(home / "store.db") as store:
        assert store.count() == before
        label = store.get(own)
    assert label is not None
    assert label.label == "an analyst's own"
    assert notes.read_bytes() == installed
    assert cuckoo_ml(home, "models", "list", "--json").json
    assert cuckoo_ml(home, "refit", "--if-needed").code == 0
    after_cleaning = run("doctor", real_cape, "--python", PYTHON, "--json").json
    assert [check for check in before_cleaning if not check["ok"]] == []
    assert [(check["check"], check["ok"]) for check in after_cleaning] == [
        (check["check"], check["ok"]) for check in before_cleaning
    ]
    assert run("uninstall", real_cape, "--purge").code == 0
    assert git(real_cape, "status", "--porcelain") == ""


@needs_cape
def test_an_installation_of_an_older_version_no_longer_stops_git_pull(
    real_cape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It put lines into a file that CAPE's git tracks; upstream changes that file, and the page that ours extends."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    upstream = real_cape.parent / "newer upstream"
    git(real_cape.parent, "clone", "-q", str(real_cape), str(upstream))
    changed = ("web/web/local_settings.py", "web/templates/analysis/report.html")
    for name in changed:
        path = upstream / name
        path.write_text(f"{path.read_text()}{'# ' if name.endswith('.py') else ''}newer upstream\n")
    git(upstream, "commit", "-q", "-a", "-m", "newer upstream")
    install_the_old_way(real_cape)
    pull = (*GIT, "pull", "-q", str(upstream), "HEAD")
    aborted = subprocess.run(pull, cwd=real_cape, check=False, capture_output=True, text=True)
    assert "local_settings.py" in aborted.stderr
    assert aborted.returncode != 0
    assert run("install", real_cape).code == 0
    modified = [line for line in git(real_cape, "status", "--porcelain").splitlines() if not line.startswith("??")]
    assert modified == []
    assert (real_cape / "custom/cuckooml/cuckooml.conf").is_file()
    assert (real_cape / "storage/cuckooml").resolve() == real_cape / "custom/cuckooml"
    git(real_cape, *pull[len(GIT) :])
    assert all("newer upstream" in (real_cape / name).read_text() for name in changed)
    checks = run("doctor", real_cape, "--python", PYTHON, "--json")
    assert [check for check in checks.json if not check["ok"]] == []
    assert run("uninstall", real_cape, "--purge").code == 0
    assert git(real_cape, "status", "--porcelain") == ""
