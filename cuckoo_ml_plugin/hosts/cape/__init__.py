"""CAPE (Python 3.10 and newer): the engine in its own process, in two modules that CAPE finds by scanning its folders.

The processing stage leaves counts that cost next to nothing. It does not look at the call logs: there they are lazy,
and each pass over one parses it again. The reporting stage has them as plain lists, and the signatures as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cuckoo_ml_plugin.hosts.layout import OwnFile, packaged
from cuckoo_ml_plugin.settings import shipped_conf

if TYPE_CHECKING:
    from cuckoo_ml_plugin.hosts.enrich import Enricher

HOME = Path("storage") / "cuckooml"


def pieces(root: Path) -> list[OwnFile]:
    """The files of an installation in CAPE's folder."""
    found = []
    for kind in ("processing", "reporting"):
        module = packaged("cuckoo_ml_plugin.hosts.cape.modules", f"{kind}.py")
        found.append(OwnFile(root / "modules" / kind / "cuckooml.py", module))
        conf = root / "custom" / "conf" / f"{kind}.conf.d" / "cuckooml.conf"
        found.append(OwnFile(conf, shipped_conf(f"cape/{kind}.conf")))
    return found


def is_root(root: Path) -> bool:
    """Whether a folder is CAPE's."""
    return (root / "lib" / "cuckoo" / "core" / "plugins.py").is_file() and (root / "modules" / "reporting").is_dir()


def counts(results: Any, root: str, home: str | None) -> dict[str, Any]:
    """What the processing module returns."""
    return _enricher(root, home).counts(results)


def enrich(results: Any, task_id: object, root: str, home: str | None, report_path: str | None = None) -> None:
    """Put the section into the results; never raises."""
    from cuckoo_ml_plugin.hosts.enrich import put_section

    enricher = _enricher(root, home)
    section = enricher.enrich(results, str(task_id), report_path)
    put_section(results, section, enricher.seed(section))


_ENRICHERS: dict[Path, Enricher] = {}


def _enricher(root: str, home: str | None) -> Enricher:
    """One for each home and process: opened stores and models are kept for the next analysis."""
    from cuckoo_ml_plugin.hosts.enrich import Enricher

    place = Path(home) if home else Path(root) / HOME
    if place not in _ENRICHERS:
        _ENRICHERS[place] = Enricher(place)
    return _ENRICHERS[place]
