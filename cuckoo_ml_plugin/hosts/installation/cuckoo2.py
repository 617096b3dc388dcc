"""The pieces of an installation in Cuckoo 2.0.7: files in its Python 2.7 package, sections in its configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.hosts.installation.pieces import (
    Block,
    OwnFile,
    Piece,
    packaged_text,
    web_settings_block,
    with_home_line,
)
from cuckoo_ml_plugin.plumbing.ownership import identity_of
from cuckoo_ml_plugin.settings import shipped_conf

HOME: Final = Path("storage") / "cuckooml"
"""The home, from the Cuckoo Working Directory."""
WEB_SETTINGS_FILE: Final = Path("web") / "local_settings.py"
_WEB_SETTINGS_MODULE: Final = "cuckoo.web.cuckooml.settings"
_CONFIGURATIONS: Final = ("processing.conf", "reporting.conf")
_INTERPRETER_SECONDS: Final = 60
_SOURCES: Final = "cuckoo_ml_plugin.hosts.cuckoo2"
# Where each file of hosts/cuckoo2 belongs in Cuckoo's installed package.
_FILES: Final = {
    "client.py": "common/cuckooml.py",
    "processing_cuckooml.py": "processing/cuckooml.py",
    "reporting_cuckooml.py": "reporting/cuckooml.py",
    **{
        f"web/{name}": f"web/cuckooml/{name}"
        for name in (
            "__init__.py",
            "settings.py",
            "urls.py",
            "views.py",
            "templatetags/__init__.py",
            "templatetags/cuckooml.py",
            "templates/cuckooml/page.html",
            "templates/components/primary-nav.html",
            "templates/analysis/pages/nav-sidebar.html",
            "templates/analysis/pages/summary/_archive.html",
            "templates/analysis/pages/summary/_file.html",
            "templates/analysis/pages/summary/_url.html",
        )
    },
}


def is_root(cwd: Path) -> bool:
    """Whether a folder is a Cuckoo Working Directory."""
    return (cwd / "conf" / "processing.conf").is_file() and (cwd / "storage").is_dir()


def package_of(python: Path | None, as_owner_of: Path | None = None) -> Path:
    """The folder of the installed package ``cuckoo``.

    Args:
        python: the Python 2.7 environment that holds it, or its interpreter; None for that of the ``cuckoo`` on PATH.
        as_owner_of: a folder whose owner runs it, if this is root: what the host's user can write is not run by root.

    Raises:
        CuckooMLError: there is none.
    """
    if python is None:
        cuckoo = shutil.which("cuckoo")
        if cuckoo is None:
            raise CuckooMLError("cuckoo: is not on PATH; name the Python 2.7 environment that holds it with --python.")
        python = Path(cuckoo).resolve().parent.parent
    interpreter = python / "bin" / "python" if python.is_dir() else python
    command = [str(interpreter), "-B", "-c", "import cuckoo, sys; sys.stdout.write(cuckoo.__path__[0])"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_INTERPRETER_SECONDS, cwd="/",
            **identity_of(as_owner_of),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CuckooMLError(f"{interpreter}: cannot be run ({error}); check --python.") from error
    if done.returncode or not done.stdout:
        raise CuckooMLError(f"{interpreter}: has no package cuckoo; name Cuckoo's environment with --python.")
    return Path(done.stdout)


def option_files(cwd: Path) -> list[Path]:
    """The file in which Cuckoo looks for the option ``home``."""
    return [cwd / "conf" / "reporting.conf"]


def pieces(cwd: Path, package: Path | None, command: str, home_line: str = "") -> list[Piece]:
    """All pieces.

    Args:
        cwd: the Cuckoo Working Directory.
        package: Cuckoo's installed package, as :func:`package_of` finds it; None where it is gone.
        command: the ``cuckoo-ml`` that the modules start.
        home_line: the line with which the admin names the home.
    """
    return [
        *(OwnFile(target, content) for target, content in (own_files(package) if package else {}).items()),
        *(Block(cwd / "conf" / name, text, "[cuckooml]") for name, text in _configuration(command, home_line).items()),
        *web_settings_block(cwd / WEB_SETTINGS_FILE, _WEB_SETTINGS_MODULE),
    ]


def own_files(package: Path) -> dict[Path, str]:
    """The files that belong into Cuckoo's installed package, each with its content."""
    return {package / target: packaged_text(_SOURCES, source) for source, target in _FILES.items()}


def _configuration(command: str, home_line: str) -> dict[str, str]:
    """The section ``[cuckooml]`` for each file in ``$CWD/conf``. Raises SettingsError where the package lacks one."""
    sections = {}
    for name in _CONFIGURATIONS:
        section = with_home_line(shipped_conf(f"cuckoo2/{name}"), home_line)
        sections[name] = re.sub(r"^command =.*$", lambda _: f"command = {command}", section, flags=re.MULTILINE)
    return sections
