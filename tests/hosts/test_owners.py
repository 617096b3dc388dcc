"""Admins type sudo: what root makes belongs to the host's user, and what that user plants leads root nowhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cape_loader import make_cape
from support.demo_home import DemoHome
from support.paths import REPOSITORY

USER = 65534
RUN = "import sys; from cuckoo_ml_plugin.cli import main; main()"
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can try this")


def command(*arguments: object, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """``cuckoo-ml ARGUMENTS`` in a process of its own, as root or as a user who may read where Python lies."""
    python = [sys.executable, "-c", RUN, *map(str, arguments)]
    reading = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    whose = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", *reading] if user else []
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "300", "NUMBA_DISABLE_JIT": "0"}
    return subprocess.run([*whose, *python], capture_output=True, text=True, env=environment, check=False, cwd="/")


@pytest.fixture
def cape() -> Iterator[Path]:
    """CAPE's folder, which belongs to another user than root, where pytest's own folders do not keep him out."""
    with tempfile.TemporaryDirectory(prefix="cuckoo-ml-owners-") as folder:
        Path(folder).chmod(0o755)
        root = make_cape(Path(folder) / "cape")
        give(root)
        yield root


def give(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)


def owners(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.lstat().st_uid for path in (root, *root.rglob("*"))}


def install(cape: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return command("install", "--host", "cape", "--root", cape, "--refit", "none", *more)


def test_roots_commands_leave_a_home_that_its_user_can_go_on_with(cape: Path, demo: DemoHome) -> None:
    assert install(cape).returncode == 0
    home, reports = cape / "custom/cuckooml", cape.parent / "reports"
    reports.mkdir()
    for number, sample in enumerate(demo.corpus.analyses):
        shutil.copy(sample.path, reports / f"{number}.json")
    reports.chmod(0o700)  # only root may read them
    done = command("--home", home, "import", reports)
    assert done.returncode == 0, done.stderr
    done = command("--home", home, "refit")
    assert done.returncode == 0, done.stderr
    assert set(owners(cape).values()) == {USER}
    for path in (home, home / "cuckooml.conf", home / "store.db", home / "models"):
        assert path.stat().st_mode & 0o007 == 0, path
    done = command("--home", home, "refit", user=USER)
    assert done.returncode == 0, done.stderr
    assert command("--home", home, "models", "rollback").returncode == 0
    assert set(owners(cape).values()) == {USER}


def test_a_file_of_roots_in_the_way_is_named_with_the_command_that_mends_it(cape: Path) -> None:
    assert install(cape).returncode == 0
    home = cape / "custom/cuckooml"
    lock = home / "models/.refit.lock"
    lock.touch()
    lock.chmod(0o644)
    checks = json.loads(command("doctor", "--host", "cape", "--root", cape, "--json", user=USER).stdout)
    [check] = [check for check in checks if check["check"] == "home"]
    mend = f"sudo chown -h {USER}:{USER} {lock}"
    assert not check["ok"]
    assert mend in check["said"]
    refused = command("--home", home, "refit", user=USER)
    assert refused.returncode == 1
    assert f"run sudo chown -hR {USER}:{USER} {lock}" in refused.stderr
    subprocess.run(mend.removeprefix("sudo ").split(), check=True)
    assert "sudo" not in command("--home", home, "refit", user=USER).stderr


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("modules/reporting/cuckooml.py", "secret"),
        ("custom/conf/processing.conf.d", "conf.d"),
        ("custom/cuckooml", "."),
        ("custom/cuckooml-install.json", "new"),
    ],
)
def test_links_that_the_hosts_user_plants_lead_root_nowhere(cape: Path, place: str, target: str) -> None:
    """Neither writing nor deleting: a module's place, a folder of ours, the home or the list lead to root's files."""
    private = cape.parent / "private"
    (private / "conf.d").mkdir(parents=True)
    (private / "store.db").write_text("root's\n")
    (private / "secret").write_text("root's\n")
    (cape / place).symlink_to(private / target)
    os.chown(cape / place, USER, USER, follow_symlinks=False)
    for arguments in (("install", "--force", "--refit", "none"), ("uninstall", "--force", "--purge")):
        done = command(arguments[0], "--host", "cape", "--root", cape, *arguments[1:])
        assert "Traceback" not in done.stderr
    assert (private / "secret").read_text() == (private / "store.db").read_text() == "root's\n"
    assert owners(private) == {".": 0, "conf.d": 0, "secret": 0, "store.db": 0}


def test_what_the_list_of_the_installation_says_leads_root_nowhere(cape: Path) -> None:
    assert install(cape).returncode == 0
    precious = cape.parent / "precious"
    precious.mkdir()
    target, aside = precious / "file", precious / "cuckooml.py.before-cuckooml"
    target.write_text("x")
    aside.write_text("y")
    notes = cape / "custom/cuckooml-install.json"
    values = json.loads(notes.read_text())
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of x
    values["pieces"] += [{"path": str(target), "hash": digest}, {"path": "../precious/file", "hash": digest}]
    values["pieces"][0]["aside"] = str(aside)
    values["folders"] += [str(precious), ".."]
    values["units"] = str(precious)
    values["python"] = "/bin/false"
    (precious / "cuckoo-ml-refit.timer").write_text("x")
    notes.write_text(json.dumps(values))
    done = command("uninstall", "--host", "cape", "--root", cape, "--force", "--purge")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in precious.iterdir()} == {target.name, aside.name, "cuckoo-ml-refit.timer"}
    assert not (cape / "modules/reporting/cuckooml.py").exists()


def test_purging_removes_only_what_is_ours(cape: Path) -> None:
    assert install(cape).returncode == 0
    home = cape / "custom/cuckooml"
    elsewhere = cape.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    (home / "notes of an analyst.txt").write_text("mine")
    (home / "models/outside").symlink_to(elsewhere)
    give(home)
    done = command("uninstall", "--host", "cape", "--root", cape, "--purge")
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "kept").read_text() == "kept"
    assert [path.name for path in home.iterdir()] == ["notes of an analyst.txt"]
