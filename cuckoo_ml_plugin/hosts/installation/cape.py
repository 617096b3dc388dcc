"""The pieces of an installation in CAPE: two modules, their configuration, and what its web interface imports.

All lie where CAPE's git has no file of its own: a tracked file that we change would stop the admin's ``git pull``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.hosts.cape.analysis import HOME, OLD_HOME
from cuckoo_ml_plugin.hosts.installation.pieces import Block, OldBlock, OwnFile, Piece, packaged_text, with_home_line
from cuckoo_ml_plugin.settings import shipped_conf

__all__ = ["HOME", "OLD_HOME", "SERVICES_FILE", "is_root", "pieces"]

SERVICES_FILE: Final = Path("custom") / "analysis_services.py"
_TRACKED_SETTINGS: Final = Path("web") / "web" / "local_settings.py"
_MODULES: Final = "cuckoo_ml_plugin.hosts.cape.modules"
_ADD_SERVICE: Final = 'CUSTOM_SERVICES = [*CUSTOM_SERVICES, "cuckooml"]'
_MARK: Final = "cuckoo-ml install"  # in the first line of our file of services, in each version


def is_root(root: Path) -> bool:
    """Whether a folder is CAPE's."""
    return (root / "lib" / "cuckoo" / "core" / "plugins.py").is_file() and (root / "modules" / "reporting").is_dir()


def option_files(root: Path) -> list[Path]:
    """The files in which CAPE looks for the option ``home``, in its order: a later one overrides an earlier one."""
    files = [root / "conf" / "default" / "reporting.conf.default"]
    for folder in (root / "conf", root / "custom" / "conf"):
        files += [folder / "reporting.conf", *sorted((folder / "reporting.conf.d").glob("*.conf"))]
    return files


def pieces(root: Path, home_line: str = "") -> list[Piece]:
    """All pieces for the CAPE in the folder ``root``; ``home_line``: the line with which the admin names the home."""
    modules_and_conf: list[Piece] = []
    for kind in ("processing", "reporting"):
        module = packaged_text(_MODULES, f"{kind}.py")
        modules_and_conf.append(OwnFile(root / "modules" / kind / "cuckooml.py", module))
        conf = root / "custom" / "conf" / f"{kind}.conf.d" / "cuckooml.conf"
        modules_and_conf.append(OwnFile(conf, with_home_line(shipped_conf(f"cape/{kind}.conf"), home_line)))
    return [*modules_and_conf, _services(root / SERVICES_FILE), OldBlock(root / _TRACKED_SETTINGS)]


def _services(path: Path) -> Piece:
    """What adds our part to CAPE's web interface: a file of ours, or lines in the admin's own file."""
    ours = packaged_text(_MODULES, "analysis_services.py")
    try:
        current = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return OwnFile(path, ours)
    if _MARK in current.partition("\n")[0]:
        return OwnFile(path, ours)
    start = ours.index("try:")  # the rest, which adds panel and pages, stands in both
    return Block(path, f"{_ADD_SERVICE}\n{ours[start:]}", _ADD_SERVICE)
