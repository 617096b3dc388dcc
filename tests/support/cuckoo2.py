"""A real Cuckoo 2.0.7: its Python 2.7 environment, a working directory, and `cuckoo process` of a recorded analysis."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import pytest

from cuckoo_ml_plugin.hosts.installation.cuckoo2 import own_files
from support.command import cuckoo_ml
from support.needs import skip_or_fail
from support.paths import REPOSITORY
from support.time_limits import HANG

VERSION = "2.0.7"
MONGOMOCK = "mongomock==3.23.0"  # the last one for Python 2.7
ENVIRONMENTS = REPOSITORY / ".venv-cuckoo2"  # made once, a minute; not in git
RECORDED = "210"


def find_python2() -> str | None:
    """A Python 2.7 that runs, None where there is none."""
    candidates = [
        shutil.which("python2.7"),
        *map(str, (Path.home() / ".pyenv" / "versions").glob("2.7*/bin/python2.7")),
    ]
    for python in filter(None, candidates):
        if subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0:
            return str(python)
    return None


def python2() -> str:
    """A Python 2.7 that runs; skips where there is none."""
    python = find_python2()
    if python is None:
        skip_or_fail("there is no Python 2.7 (python2.7 on PATH, or one of pyenv's) for Cuckoo 2.0.7")
    return python


def environment() -> Path:
    """The virtual environment with Cuckoo in it, made if need be."""
    folder = ENVIRONMENTS / VERSION
    done = folder / "complete-with-web"
    if done.is_file():
        return folder
    python, tool = python2(), ENVIRONMENTS / "virtualenv"
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "ensurepip", "--user"], capture_output=True, check=True)
    for command in (
        [python, "-m", "pip", "install", "--quiet", "--upgrade", "--target", tool, "virtualenv<20.22"],
        [python, "-m", "virtualenv", "--quiet", folder],
        [folder / "bin" / "pip", "install", "--quiet", f"cuckoo=={VERSION}", MONGOMOCK],
    ):
        environ = (
            {**os.environ, "PYTHONPATH": str(tool)} if "virtualenv" in map(str, command[2:3]) else dict(os.environ)
        )
        made = subprocess.run(list(map(str, command)), env=environ, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr[-3000:]
    done.touch()
    return folder


@dataclass(frozen=True)
class Processed:
    """What `cuckoo process` left behind."""

    report: dict[str, Any]
    log: str

    @property
    def section(self) -> dict[str, Any]:
        section = self.report["cuckooml"]
        assert isinstance(section, dict)
        return section


@dataclass(frozen=True)
class Cuckoo:
    """A working directory of Cuckoo, and the environment that runs it."""

    environment: Path
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "storage" / "cuckooml"

    def add(self, recorded: Path, task: str = RECORDED) -> None:
        """Put a recorded analysis where Cuckoo's machines leave theirs."""
        target = self.folder / "storage" / "analyses" / task
        shutil.copytree(recorded, target, copy_function=shutil.copyfile)
        for path in [target, *target.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        (target / "binary").touch()

    def command(self, *arguments: str) -> list[str]:
        """The command line of Cuckoo's own command in this working directory."""
        program = [self.environment / "bin" / "python", "-W", "ignore", self.environment / "bin" / "cuckoo"]
        return [*map(str, program), "--cwd", str(self.folder), *arguments]

    def clean(self) -> str:
        """Run `cuckoo clean`; returns what it says."""
        done = subprocess.run(self.command("clean"), capture_output=True, text=True, check=True, timeout=HANG)
        return done.stdout + done.stderr

    def start(self, task: str = RECORDED) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("process", "-r", task), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def finish(self, running: subprocess.Popen[str], task: str = RECORDED) -> Processed:
        log = running.communicate(timeout=HANG)[1]
        assert running.returncode == 0, log
        return Processed(json.loads(self.report(task).read_text(encoding="utf-8")), log)

    def process(self, task: str = RECORDED) -> Processed:
        return self.finish(self.start(task), task)

    def report(self, task: str = RECORDED) -> Path:
        return self.folder / "storage" / "analyses" / task / "reports" / "report.json"

    def configure(self, command: Path, timeout: int = HANG) -> None:
        """Set the command and the time limit."""
        self.set_option("command", str(command))
        self.set_option("timeout", str(timeout))

    def set_option(self, name: str, value: str) -> None:
        """Set a key that an admin may set among our lines, which are the last."""
        file = self.folder / "conf" / "reporting.conf"
        host_s, ours, section = file.read_text(encoding="utf-8").partition("[cuckooml]")
        section = re.sub(rf"^{name} =.*$", lambda _: f"{name} = {value}", section, flags=re.MULTILINE)
        file.write_text(host_s + ours + section, encoding="utf-8")

    def install(self, command: Path) -> None:
        """Install with our own command; ``command`` is the ``cuckoo-ml`` that the modules start."""
        self._ours("install", "--python", self.environment, "--refit", "none")
        self.configure(command)

    def uninstall(self) -> None:
        self._ours("uninstall")

    def _ours(self, command: str, *options: object) -> None:
        done = cuckoo_ml(self.home, command, "--host", "cuckoo2", "--root", self.folder, *options)
        assert done.code == 0, done.err

    def remove_leftovers(self) -> None:
        """Remove what an earlier run that was cut off left in the environment, which is kept."""
        [package] = self.environment.glob("lib/python2.7/site-packages/cuckoo")
        for file in own_files(package):
            for path in (file, file.with_suffix(".pyc")):
                path.unlink(missing_ok=True)


def make_cuckoo(folder: Path) -> Cuckoo:
    """A new working directory, without us."""
    cuckoo = Cuckoo(environment(), folder)
    command = [str(cuckoo.environment / "bin" / "cuckoo"), "--cwd", str(folder), "init"]
    subprocess.run(command, capture_output=True, check=True)
    cuckoo.remove_leftovers()
    return cuckoo


def our_command(folder: Path, before: str = "") -> Path:
    """A `cuckoo-ml` of this checkout; ``before``: Python that runs first, when it is a worker."""
    path = folder / f"cuckoo-ml-{len(list(folder.iterdir()))}"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n{before}\n"
        "from cuckoo_ml_plugin.cli import main\nmain()\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


@cache
def lock_environments() -> TextIO:
    """Have the environments to ourselves until this process ends: all runs of the tests install into the same ones."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    lock = (ENVIRONMENTS / "lock").open("w", encoding="utf-8")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


@pytest.fixture(scope="session")
def fresh_cuckoo(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Cuckoo:
    """A working directory with the recorded analysis, which tests copy."""
    lock_environments()
    cuckoo = make_cuckoo(tmp_path_factory.mktemp("cuckoo") / "cwd")
    cuckoo.add(shared_data / "cuckoo2" / RECORDED)
    return cuckoo
