"""The pieces of an installation in CAPE: two modules, their configuration, and the lines for its web interface."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.hosts.cape.analysis import HOME
from cuckoo_ml_plugin.hosts.installation.pieces import Block, OwnFile, Piece, packaged_text, web_settings_block
from cuckoo_ml_plugin.settings import shipped_conf

__all__ = ["HOME", "WEB_SETTINGS_FILE", "is_root", "pieces"]

WEB_SETTINGS_FILE: Final = Path("web") / "web" / "local_settings.py"
_WEB_SETTINGS_MODULE: Final = "cuckoo_ml_plugin.hosts.cape.web.settings"
_MODULES: Final = "cuckoo_ml_plugin.hosts.cape.modules"
_ADD_SERVICE: Final = 'CUSTOM_SERVICES = [*CUSTOM_SERVICES, "cuckooml"]'


def is_root(root: Path) -> bool:
    """Whether a folder is CAPE's."""
    return (root / "lib" / "cuckoo" / "core" / "plugins.py").is_file() and (root / "modules" / "reporting").is_dir()


def pieces(root: Path) -> list[Piece]:
    """All pieces for the CAPE in the folder ``root``."""
    modules_and_conf: list[Piece] = []
    for kind in ("processing", "reporting"):
        module = packaged_text(_MODULES, f"{kind}.py")
        modules_and_conf.append(OwnFile(root / "modules" / kind / "cuckooml.py", module))
        conf = root / "custom" / "conf" / f"{kind}.conf.d" / "cuckooml.conf"
        modules_and_conf.append(OwnFile(conf, shipped_conf(f"cape/{kind}.conf")))
    services = _services(root / "custom" / "analysis_services.py")
    return [*modules_and_conf, services, *web_settings_block(root / WEB_SETTINGS_FILE, _WEB_SETTINGS_MODULE)]


def _services(path: Path) -> Piece:
    """What makes CAPE's analysis page fetch our section: a file of ours, or a line in the admin's own file."""
    ours = packaged_text(_MODULES, "analysis_services.py")
    try:
        current = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return OwnFile(path, ours)
    if "cuckoo-ml install" in current.partition("\n")[0]:  # so the first line says in each version
        return OwnFile(path, ours)
    return Block(path, f"{_ADD_SERVICE}\n", _ADD_SERVICE)
