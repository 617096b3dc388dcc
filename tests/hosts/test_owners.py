"""Admins type sudo: what root makes belongs to the host's user, and what that user plants leads root nowhere."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cape_loader import make_cape
from support.demo_home import DemoHome
from support.paths import REPOSITORY

USER = 65534
OTHER = 65533  # neither root nor the host's user
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


def test_roots_commands_leave_a_home_that_its_user_can_go_on_with(cape: Path, small_demo: DemoHome) -> None:
    assert install(cape).returncode == 0
    home, reports = cape / "custom/cuckooml", cape.parent / "reports"
    reports.mkdir()
    for number, sample in enumerate(small_demo.corpus.analyses):
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


@pytest.fixture
def reports(cape: Path, small_demo: DemoHome) -> list[Path]:
    """The reports of the host, packed or not, of its user and of its group, with the demo's home for them."""
    assert install(cape).returncode == 0
    home = cape / "custom/cuckooml"
    shutil.copytree(small_demo.home, home, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("home.id"))
    samples = [sample for sample in small_demo.corpus.fitted if "cape/storage" in str(sample.path)][:3]
    paths = []
    for sample in samples:
        paths.append(cape / "storage/analyses" / sample.name / "reports" / "report.json")
        paths[-1].parent.mkdir(parents=True)
        shutil.copyfile(sample.path, paths[-1])
    packed = paths[-1].with_suffix(".json.gz")
    packed.write_bytes(gzip.compress(paths[-1].read_bytes()))
    paths[-1].unlink()
    paths[-1] = packed
    give(cape)
    os.chown(paths[0], USER, 12)
    paths[0].chmod(0o640)
    paths[1].chmod(0o600)
    return paths


def section_of(path: Path) -> Any:
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw).get("cuckooml")


def access(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid, status.st_mode


def take_apart(home: Path) -> None:
    """What a command of root's then makes anew in the home: settings, the folder of models, files beside the store."""
    (home / "cuckooml.conf").unlink()
    shutil.rmtree(home / "models")
    for path in home.glob("store.db-*"):
        path.unlink()


def test_a_report_that_root_refreshes_keeps_its_owner_and_mode(cape: Path, reports: list[Path]) -> None:
    before = [access(path) for path in reports]
    (cape / "custom/cuckooml/cuckooml.conf").unlink()
    done = command("--home", cape / "custom/cuckooml", "refresh", "--reports", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reports"] == 3
    assert [section_of(path)["status"] for path in reports] == ["scored"] * 3
    assert [access(path) for path in reports] == before
    assert set(owners(cape).values()) == {USER}


def test_a_report_into_which_root_writes_keeps_its_owner_and_mode(cape: Path, reports: list[Path]) -> None:
    home, before = cape / "custom/cuckooml", [access(path) for path in reports]
    done = command("--home", home, "score", "--write", *reports)
    assert done.returncode == 0, done.stderr
    assert [section_of(path)["status"] for path in reports] == ["scored"] * 3
    assert [access(path) for path in reports] == before
    take_apart(home)
    done = command("--home", home, "score", "--write", *reports)
    assert done.returncode == 0, done.stderr
    assert [section_of(path)["status"] for path in reports] == ["no_model"] * 3
    assert (home / "cuckooml.conf").is_file()
    assert (home / "models").is_dir()
    assert set(owners(cape).values()) == {USER}


@pytest.mark.parametrize("owner", [0, OTHER], ids=["of root's", "of another user's"])
def test_a_report_leads_root_to_no_file_of_others(cape: Path, reports: list[Path], owner: int) -> None:
    """Through a link to a folder or to a file, in a refresh and in a score."""
    private = cape.parent / "private"
    private.mkdir(mode=0o755)
    for number, report in enumerate(reports[:2]):
        shutil.copyfile(report, private / f"{number}.json")
    before = {path.name: path.read_bytes() for path in private.iterdir()}
    reports[0].unlink()
    reports[0].symlink_to(private / "0.json")
    folder = reports[1].parent
    shutil.rmtree(folder)
    (private / "1.json").rename(private / "report.json")
    before["report.json"] = before.pop("1.json")
    folder.symlink_to(private)
    for path in (reports[0], folder):
        os.chown(path, USER, USER, follow_symlinks=False)
    for path in (private, *private.iterdir()):
        os.chown(path, owner, owner)
    for arguments in (
        ("refresh", "--reports"), ("score", "--write", *reports), ("score", "--write", cape.parent / "cape"),
    ):  # fmt: skip
        done = command("--home", cape / "custom/cuckooml", *arguments)
        assert done.returncode == 1, done.stderr
        assert "cannot be written (Permission denied)" in done.stdout + done.stderr
        assert {path.name: path.read_bytes() for path in private.iterdir()} == before
    assert section_of(reports[2])["status"] == "scored"


def test_a_report_that_root_left_in_the_way_is_named_with_the_command_that_mends_it(
    cape: Path, reports: list[Path]
) -> None:
    folder = reports[1].parent
    for path in (folder, reports[1]):
        os.chown(path, 0, 0)
    reports[1].chmod(0o644)
    mend = f"sudo chown -hR {USER}:{USER} {folder}"
    for arguments in (("refresh", "--reports"), ("score", "--write", reports[1])):
        done = command("--home", cape / "custom/cuckooml", *arguments)
        assert done.returncode == 1
        assert f"run {mend}" in done.stdout + done.stderr
    subprocess.run(mend.removeprefix("sudo ").split(), check=True)
    assert command("--home", cape / "custom/cuckooml", "refresh", "--reports").returncode == 0
    assert section_of(reports[1])["status"] == "scored"


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


def name_home(cape: Path, home: Path) -> None:
    """What the host's user may write."""
    conf = cape / "custom/conf/reporting.conf.d/cuckooml.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_text(f"[cuckooml]\nenabled = yes\nhome = {home}\n")
    give(cape)


@pytest.mark.parametrize("place", ["private", "private/new", "store.db"])
def test_the_option_home_leads_root_nowhere(cape: Path, place: str) -> None:
    private = cape.parent / "private"
    private.mkdir()
    for folder in (private, cape.parent):
        (folder / "store.db").write_text("root's\n")
    before = owners(cape.parent)
    name_home(cape, cape.parent / place)
    refused = install(cape, "--force")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    command("uninstall", "--host", "cape", "--root", cape, "--force", "--purge")
    assert (private / "store.db").read_text() == (cape.parent / "store.db").read_text() == "root's\n"
    others = {path: owner for path, owner in owners(cape.parent).items() if not path.startswith("cape/")}
    assert others == {path: owner for path, owner in before.items() if not path.startswith("cape/")} | {"cape": USER}


def test_a_home_that_root_moves_where_the_option_names_it_is_its_users_own(cape: Path) -> None:
    """The admin gives the host's user a folder on a disk of root's, as the message says."""
    assert install(cape).returncode == 0
    disk = cape.parent / "disk"
    disk.mkdir(mode=0o755)
    conf = cape / "custom/conf/reporting.conf.d/cuckooml.conf"
    shipped = conf.read_text()
    conf.write_text(shipped.replace("home =", f"home = {disk / 'ml'}"))
    refused = install(cape)
    assert refused.returncode == 1
    mend = f"install -d -o {USER} -g {USER} {disk / 'ml'}"
    assert f"sudo {mend}, set home = {disk / 'ml' / 'home'} and install again" in refused.stderr
    assert (cape / "custom/cuckooml/cuckooml.conf").is_file()
    subprocess.run(mend.split(), check=True)
    shutil.rmtree(cape / "custom/cuckooml")  # then there is nothing to move
    done = install(cape)
    assert done.returncode == 0, done.stderr
    made = owners(disk)
    assert {name for name, owner in made.items() if owner == 0} == {".", "ml-install.json"}
    assert set(made.values()) == {0, USER}
    conf.write_text(shipped.replace("home =", f"home = {disk / 'ml' / 'home'}"))
    (disk / "ml").rename(cape / "custom/cuckooml")
    subprocess.run(mend.split(), check=True)
    done = install(cape)
    assert done.returncode == 0, done.stderr
    assert set(owners(disk / "ml").values()) == set(owners(cape).values()) == {USER}
    assert command("--home", disk / "ml/home", "refit", "--if-needed", user=USER).returncode == 0
    shutil.rmtree(disk / "ml/home")
    assert "is gone" in command("--home", disk / "ml/home", "refit", "--if-needed", user=USER).stderr


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


def test_cuckoos_python_is_remembered_where_root_has_installed_into_it_and_nowhere_else(cape: Path) -> None:
    cwd, packages = cape.parent / "cwd", [cape.parent / name / "cuckoo" for name in ("own", "other")]
    for package in packages:
        for room in ("common", "processing", "reporting"):
            (package / room).mkdir(parents=True)
        python = package.parent / "bin" / "python"
        python.parent.mkdir()
        python.write_text(f"#!/bin/sh\nprintf %s '{package}'\n")
        python.chmod(0o755)
    for name in ("storage", "conf"):
        (cwd / name).mkdir(parents=True)
    for name in ("processing", "reporting"):
        (cwd / "conf" / f"{name}.conf").write_text("[jsondump]\nenabled = yes\n")
    give(cwd)
    arguments = ("--host", "cuckoo2", "--root", cwd)
    done = command("install", *arguments, "--python", packages[0].parent, "--refit", "none")
    assert done.returncode == 0, done.stderr
    notes = cwd / "storage" / "cuckooml-install.json"
    right = notes.read_text()
    ours = packages[0] / "common" / "cuckooml.py"
    shutil.copy(ours, packages[1] / "common" / "cuckooml.py")
    notes.write_text(right.replace(str(packages[0].parent), str(packages[1].parent)))
    refused = command("uninstall", *arguments)
    assert refused.returncode == 1
    assert "name Cuckoo's environment with --python" in refused.stderr
    assert (packages[1] / "common" / "cuckooml.py").exists()
    notes.write_text(right)
    done = command("uninstall", *arguments)
    assert done.returncode == 0, done.stderr
    assert not ours.exists()


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
