"""CAPE (Python 3.10 and newer): the engine in its own process, in two modules that CAPE finds by scanning its folders.

The processing stage leaves counts that cost next to nothing. It does not look at the call logs: there they are lazy,
and each pass over one parses it again. The reporting stage has them as plain lists, and the signatures as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cuckoo_ml_plugin.hosts.layout import Block, OwnFile, Piece, packaged, web_block
from cuckoo_ml_plugin.settings import shipped_conf

if TYPE_CHECKING:
    from cuckoo_ml_plugin.hosts.enrich import Enricher

HOME = Path("storage") / "cuckooml"
ADD_SERVICE = 'CUSTOM_SERVICES = [*CUSTOM_SERVICES, "cuckooml"]'
HTML_REPORTS = ("report.html", "summary-report.html")
WEB_SETTINGS_FILE = Path("web") / "web" / "local_settings.py"
WEB_SETTINGS = """\
try:
    from cuckoo_ml_plugin.hosts.cape.web.settings import install as install_cuckooml

    install_cuckooml(globals())
except Exception as error:  # the web interface starts without us
    import logging

    logging.getLogger("cuckooml").error("cuckoo-ml-plugin is not in the web interface: %s", error)
"""
"""What belongs at the end of ``WEB_SETTINGS_FILE``."""


def pieces(root: Path) -> list[Piece]:
    """The pieces of an installation in CAPE's folder."""
    found: list[Piece] = []
    for kind in ("processing", "reporting"):
        module = packaged("cuckoo_ml_plugin.hosts.cape.modules", f"{kind}.py")
        found.append(OwnFile(root / "modules" / kind / "cuckooml.py", module))
        conf = root / "custom" / "conf" / f"{kind}.conf.d" / "cuckooml.conf"
        found.append(OwnFile(conf, shipped_conf(f"cape/{kind}.conf")))
    found.append(_services(root / "custom" / "analysis_services.py"))
    return [*found, *web_block(root / WEB_SETTINGS_FILE, WEB_SETTINGS)]


def _services(path: Path) -> Piece:
    """What makes CAPE's analysis view fetch our section: a file of ours, or lines in the admin's own."""
    ours = packaged("cuckoo_ml_plugin.hosts.cape.modules", "analysis_services.py")
    try:
        theirs = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return OwnFile(path, ours)
    if theirs.startswith(ours.splitlines()[0]):
        return OwnFile(path, ours)
    return Block(path, f"{ADD_SERVICE}\n", ADD_SERVICE)


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


def complete_html(results: Any, reports: str) -> None:
    """Put the panel into the HTML reports in a folder, where there are any. Raises OSError."""
    names = [name for name in HTML_REPORTS if (Path(reports) / name).is_file()]
    if names and isinstance(results.get("cuckooml"), dict):
        from cuckoo_ml_plugin.web.static_report import put_into

        for name in names:
            put_into(Path(reports) / name, results["cuckooml"])


_ENRICHERS: dict[Path, Enricher] = {}


def _enricher(root: str, home: str | None) -> Enricher:
    """One for each home and process: opened stores and models are kept for the next analysis."""
    from cuckoo_ml_plugin.hosts.enrich import Enricher

    place = Path(home) if home else Path(root) / HOME
    if place not in _ENRICHERS:
        _ENRICHERS[place] = Enricher(place)
    return _ENRICHERS[place]
