"""The script `cuckoo-ml` as it lies in an environment: which compiled modules it leaves there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
from support.cape_loader import make_cape
from support.paths import REPOSITORY


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment in which nothing is compiled, as uv makes it; what the package needs lies elsewhere."""
    folder = tmp_path / "environment"
    venv.create(folder)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "cuckoo_ml_plugin", packages / "cuckoo_ml_plugin", ignore=ignored)
    shutil.copytree(REPOSITORY / "conf", packages / "cuckoo_ml_plugin" / "conf")
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder


def compiled_by(environment: Path, *arguments: object) -> list[Path]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
    subprocess.run(
        [environment / "bin" / "python", REPOSITORY / "bin" / "cuckoo-ml", *map(str, arguments)],
        env=environ, capture_output=True, check=False, cwd="/",
    )  # fmt: skip
    return sorted(environment.rglob("*.pyc"))


def test_an_examination_compiles_nothing(environment: Path, tmp_path: Path) -> None:
    cape = make_cape(tmp_path / "cape")
    assert compiled_by(environment, "doctor", "--host", "cape", "--root", cape) == []
    assert compiled_by(environment, "install", "--host", "cape", "--root", cape, "--refit", "none") != []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try this")
def test_root_leaves_nothing_in_an_environment_of_another_user(environment: Path) -> None:
    """He could not remove it, and an upgrade of his would stop half-way."""
    os.chown(environment, 65534, 65534)
    assert compiled_by(environment, "clusters", "--help") == []
