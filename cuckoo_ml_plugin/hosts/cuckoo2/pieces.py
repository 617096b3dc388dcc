"""The pieces of an installation in Cuckoo 2.0.7: modules in its Python 2.7 package, sections in its configuration."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.hosts.cuckoo2 import WEB_SETTINGS, WEB_SETTINGS_FILE, configuration, files_for
from cuckoo_ml_plugin.hosts.layout import Block, OwnFile, Piece, web_block

HOME = Path("storage") / "cuckooml"


def is_root(cwd: Path) -> bool:
    """Whether a folder is a Cuckoo Working Directory."""
    return (cwd / "conf" / "processing.conf").is_file() and (cwd / "storage").is_dir()


def package_of(python: Path | None) -> Path:
    """The folder of the installed package ``cuckoo``.

    Args:
        python: the Python 2.7 environment that holds it, or its interpreter; None for that of the ``cuckoo`` on PATH.

    Raises:
        CuckooMLError: there is none.
    """
    if python is None:
        found = shutil.which("cuckoo")
        if found is None:
            raise CuckooMLError("cuckoo: is not on PATH; name the Python 2.7 environment that holds it with --python.")
        python = Path(found).resolve().parent.parent
    interpreter = python / "bin" / "python" if python.is_dir() else python
    program = "import cuckoo, sys; sys.stdout.write(cuckoo.__path__[0])"
    try:
        done = subprocess.run(
            [str(interpreter), "-c", program], capture_output=True, text=True, check=False, timeout=60, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CuckooMLError(f"{interpreter}: cannot be run ({error}); check --python.") from error
    if done.returncode or not done.stdout:
        raise CuckooMLError(f"{interpreter}: has no package cuckoo; name Cuckoo's environment with --python.")
    return Path(done.stdout)


def pieces(cwd: Path, package: Path, command: str) -> list[Piece]:
    """All pieces; ``command`` is the ``cuckoo-ml`` that the modules start."""
    found: list[Piece] = [OwnFile(target, source.read_text(encoding="utf-8")) for source, target in files_for(package)]
    for name, text in configuration(command).items():
        found.append(Block(cwd / "conf" / name, text, "[cuckooml]"))
    return [*found, *web_block(cwd / WEB_SETTINGS_FILE, WEB_SETTINGS)]
