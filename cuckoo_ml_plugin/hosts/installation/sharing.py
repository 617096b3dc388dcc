"""Which Cuckoo Working Directories share the files in one installed package: a list beside these files.

The files are taken away with the last of them. A directory that is gone, or from which the plugin was uninstalled,
does not count.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.installation.cuckoo2 import HOME
from cuckoo_ml_plugin.hosts.installation.host_files import HostFiles
from cuckoo_ml_plugin.hosts.installation.notes import OLD_NAME

_LIST: Final = Path("common") / "cuckooml-cwds.json"


def other_users(package: Path, cwd: Path, files: HostFiles) -> list[str]:
    """The other directories in which the plugin is installed and that use this package."""
    return [user for user in _listed(package, files) if Path(user) != cwd.resolve() and _is_installed(Path(user))]


def is_user(package: Path, cwd: Path, files: HostFiles) -> bool:
    """Whether the list beside the files, which its owner wrote, has this directory."""
    return str(cwd.resolve()) in _listed(package, files)


def add_user(package: Path, cwd: Path, files: HostFiles) -> None:
    """Note that a directory uses the package. Raises InstallError."""
    _write(package, [*other_users(package, cwd, files), str(cwd.resolve())], files)


def remove_user(package: Path, cwd: Path, files: HostFiles) -> None:
    """Note that a directory no longer uses the package. Raises InstallError."""
    _write(package, other_users(package, cwd, files), files)


def _write(package: Path, users: list[str], files: HostFiles) -> None:
    path = package / _LIST
    if not users:
        files.remove(path)
    elif users != _listed(package, files):
        files.write(path, json.dumps(users, indent=1) + "\n")


def _listed(package: Path, files: HostFiles) -> list[str]:
    try:
        users = json.loads(files.read(package / _LIST) or "[]")
    except (ValueError, RecursionError):  # a damaged list is written anew
        return []
    return [user for user in users if isinstance(user, str)] if isinstance(users, list) else []


def _is_installed(cwd: Path) -> bool:
    try:
        return Home(cwd / HOME).notes_file.is_file() or (cwd / HOME / OLD_NAME).is_file()
    except OSError:
        return False
