"""The public API from Python: what the package's root exports, what that costs, and the examples in its docstrings."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo_home import DemoHome
from support.paths import REPOSITORY

import cuckoo_ml_plugin
from cuckoo_ml_plugin.frames.desk import Desk

CLASSES = {
    name: exported for name in cuckoo_ml_plugin.__all__ if inspect.isclass(exported := getattr(cuckoo_ml_plugin, name))
}
ERRORS = {
    name
    for name, error in vars(importlib.import_module("cuckoo_ml_plugin.errors")).items()
    if inspect.isclass(error) and issubclass(error, Exception)
}


def test_the_root_exports_the_public_api_and_nothing_else() -> None:
    assert set(cuckoo_ml_plugin.__all__) == {
        "Assessment", "Behaviour", "Desk", "Finding", "ImportResult", "Label", "__version__", *ERRORS,
    }  # fmt: skip
    assert cuckoo_ml_plugin.__all__ == sorted(cuckoo_ml_plugin.__all__)
    assert set(cuckoo_ml_plugin.__all__) <= set(dir(cuckoo_ml_plugin))
    with pytest.raises(AttributeError, match="has no attribute 'Bureau'"):
        _ = cuckoo_ml_plugin.Bureau


def test_what_methods_of_the_desk_return_is_exported() -> None:
    source = ast.parse(inspect.getsource(Desk))
    returned = {
        part.id
        for method in ast.walk(source)
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and method.returns
        for part in ast.walk(method.returns)
        if isinstance(part, ast.Name)
    }
    known = {"pd", "list", "str", "Path", "Figure"}
    assert returned - known - {"Store"} <= set(CLASSES), "Store stands behind a property, for what has no method"


def test_the_older_address_of_the_desk_stays() -> None:
    api = importlib.import_module("cuckoo_ml_plugin.api")
    assert api.Desk is cuckoo_ml_plugin.Desk


def test_older_names_of_methods_stay() -> None:
    assert Desk.clusters is Desk.cluster_table
    assert Desk.clustering is Desk.cluster_memberships
    assert Desk.cluster is Desk.try_clustering


@pytest.mark.parametrize("module", ["cuckoo_ml_plugin", "cuckoo_ml_plugin.engine.engine", "cuckoo_ml_plugin.web"])
def test_importing_a_room_loads_neither_frames_nor_pandas(module: str) -> None:
    program = f"import sys, json, {module}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert not [name for name in loaded if name.startswith(("cuckoo_ml_plugin.frames", "pandas"))]


def test_no_room_imports_the_root() -> None:
    """Each would otherwise reach the frames through it, as far as import-linter can tell."""
    importers = [
        path.relative_to(REPOSITORY)
        for path in (REPOSITORY / "cuckoo_ml_plugin").rglob("*.py")
        if re.search(r"^ *(from|import) cuckoo_ml_plugin( |$)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert not importers


@pytest.mark.parametrize("name", [*sorted(set(CLASSES) - ERRORS), "CuckooMLError"])
def test_examples_in_docstrings_run(demo: DemoHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each runs in a folder that holds the demo's home, as ``cuckoo-ml --home cuckoo-ml-demo demo`` leaves it."""
    shutil.copytree(demo.home, tmp_path / "cuckoo-ml-demo", symlinks=True)
    (tmp_path / "cuckoo-ml-demo" / "demo").symlink_to(demo.corpus.folder)
    monkeypatch.chdir(tmp_path)
    exported = CLASSES[name]
    examples = doctest.DocTestParser().get_doctest(
        inspect.getdoc(exported) or "", {name: exported}, name, inspect.getsourcefile(exported), 0
    )
    assert examples.examples, f"the docstring of {name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output: list[str] = []
    runner.run(examples, out=output.append)
    assert not runner.failures, "".join(output)
