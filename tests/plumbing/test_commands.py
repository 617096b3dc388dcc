"""The commands in hints and errors can be pasted into a shell: full paths, the home where it is needed, and quotes."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.home import ENVIRONMENT_VARIABLE, Home
from cuckoo_ml_plugin.plumbing import commands, extras

PACKAGE = Path(commands.__file__).parent.parent
CHECKOUT = {"PYTHONPATH": str(PACKAGE.parent)}  # the program of an older installation would read this one's settings


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python environment of its own, whose folder has a space in its name."""
    folder = tmp_path / "my env" / "bin"
    folder.mkdir(parents=True)
    (folder / "cuckoo-ml").write_text("#!/bin/sh\n")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(sys, "argv", ["manage.py"])
    return folder


def test_a_command_names_the_program_of_this_python_by_its_full_path(installed: Path, tmp_path: Path) -> None:
    command = Home(tmp_path / "a home").command("refit", "--if-needed")
    assert command == f"'{installed}/cuckoo-ml' --home '{tmp_path}/a home' refit --if-needed"
    assert shlex.split(command) == [f"{installed}/cuckoo-ml", "--home", f"{tmp_path}/a home", "refit", "--if-needed"]


def test_the_program_that_was_started_is_the_one_that_is_named(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "bin" / "cuckoo-ml"
    started.parent.mkdir()
    started.touch()
    monkeypatch.setattr(sys, "argv", [str(started), "clusters"])
    assert commands.program() == [str(started)]
    monkeypatch.chdir(started.parent)
    monkeypatch.setattr(sys, "argv", ["cuckoo-ml", "clusters"])  # a bare name says nothing of a folder
    assert commands.program() == [f"{installed}/cuckoo-ml"]


def test_without_the_program_the_package_is_named(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installed / "cuckoo-ml").unlink()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")
    assert commands.program() == [f"{installed}/python", "-m", "cuckoo_ml_plugin"]


def test_the_home_is_left_out_only_where_everybody_finds_it(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    assert "--home" not in Home(tmp_path / ".cuckoo-ml").command("refit")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "set"))  # sudo and cron drop the variable
    assert f"--home {tmp_path}/set" in Home(tmp_path / "set").command("refit")
    assert f"--home {tmp_path}/.cuckoo-ml" in Home(tmp_path / ".cuckoo-ml").command("refit")


def test_a_package_is_installed_for_this_python_with_its_versions(installed: Path) -> None:
    assert commands.install_command("pyarrow>=14.0") == f"'{installed}/python' -m pip install 'pyarrow>=14.0'"


def test_without_pip_the_command_is_uvs(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(commands, "find_spec", lambda name: None if name == "pip" else find(name))
    assert commands.install_command("stix2") == f"uv pip install --python '{installed}/python' stix2"


def test_versions_come_from_the_packages_own_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        "pyarrow>=14.0; extra == 'desk'",
        "psycopg[binary]>=3.1 ; extra == 'x'",
        "fast-hdbscan>=0.3.1",
        "odd (>=2)",
    ]
    monkeypatch.setattr(extras, "requires", lambda name: listed)
    names = ["pyarrow", "psycopg", "fast_hdbscan", "odd", "unknown"]
    assert [extras.requirement(name) for name in names] == [
        "pyarrow>=14.0", "psycopg[binary]>=3.1", "fast-hdbscan>=0.3.1", "odd>=2", "unknown",
    ]  # fmt: skip

    def imported_from_a_folder(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", imported_from_a_folder)
    assert extras.requirement("pyarrow") == "pyarrow"


@pytest.mark.parametrize(
    "module",
    ["pyarrow", "pymisp", "stix2", "openTSNE", "matplotlib", "pandas", "pymongo", "psycopg", "hdbscan", "fast_hdbscan"],
)
def test_every_optional_package_has_versions_and_a_command(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError) as raised:
        extras.optional_package(module, "Things")
    command = str(raised.value).partition("; run ")[2]
    *words, wanted = shlex.split(command)
    assert words in ([sys.executable, "-m", "pip", "install"], ["uv", "pip", "install", "--python", sys.executable])
    assert re.fullmatch(r"[\w-]+(\[binary\])?>=[\d.]+", wanted), wanted


def test_the_command_in_an_error_runs_as_it_is_printed(demo: DemoHome) -> None:
    done = cuckoo_ml(demo.home, "clusters", "c999999")
    assert done.code == 1
    command = done.err.replace("\n", "").partition("all are listed by ")[2].strip()
    listed = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=False, env=CHECKOUT, cwd="/"
    )
    assert listed.returncode == 0, listed.stderr
    assert " clusters" in listed.stdout


def test_no_message_names_a_command_that_only_some_shells_find() -> None:
    """Texts that are printed or raised take commands from ``plumbing.commands``; docstrings may name them shortly.

    The files of Python 2.7 inside Cuckoo serve several of its folders, so they know no command and name none.
    """
    telling = re.compile(r"\b(run|with|use) (`?)cuckoo-ml [a-z]|pip install|;\s+cuckoo-ml [a-z]")
    offending = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        offending += [
            f"{relative}:{node.lineno}: {node.value.strip()[:80]}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and telling.search(node.value)
        ]
    assert not offending
