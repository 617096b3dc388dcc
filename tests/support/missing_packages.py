"""Packages as if they were not installed: in this process for one story, or in a process of its own for many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest

from support.command import Done
from support.paths import REPOSITORY

Missing = Callable[..., None]
OPTIONAL = ("matplotlib", "openTSNE", "pyarrow", "pandas", "pymisp", "stix2", "pymongo", "psycopg")
"""The packages of the extras ``desk``, ``mongodb`` and ``postgresql``."""

_PROGRAM = """
import dataclasses, json, sys
from pathlib import Path

from support.command import cuckoo_ml
from support.missing_packages import block

names, home, commands = json.loads(sys.stdin.read())
block(names)
answers = [dataclasses.asdict(cuckoo_ml(Path(home), *arguments)) for arguments in commands]
Path(sys.argv[1]).write_text(json.dumps(answers))
"""


class _Blocked(MetaPathFinder):
    """Says of packages, and of all modules in them, that they are not there."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = frozenset(packages)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def block(packages: Sequence[str]) -> None:
    """Make imports of these packages fail in this process, before any of them is imported."""
    assert not {name.partition(".")[0] for name in sys.modules} & set(packages)
    sys.meta_path.insert(0, _Blocked(packages))


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Missing:
    """A function that makes imports of these packages fail until the test ends."""

    def make_missing(*packages: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [_Blocked(packages), *sys.meta_path])

    return make_missing


def run_without(packages: Sequence[str], home: Path, commands: Sequence[Sequence[object]], folder: Path) -> list[Done]:
    """What each command answers in a process that cannot import these packages; ``folder`` takes the answers."""
    asked = json.dumps([list(packages), str(home), [list(map(str, arguments)) for arguments in commands]])
    answers = folder / "answers.json"
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(answers)],
        input=asked, text=True, check=True, cwd=folder, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    return [Done(**answer) for answer in json.loads(answers.read_text())]
