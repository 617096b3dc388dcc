"""One analysis inside CAPE: counts in the processing stage, everything else in the reporting stage.

In the processing stage the call logs are lazy, and each pass over a log parses it again, so only the counts that cost
next to nothing are taken there. In the reporting stage the logs are plain lists, and the signatures are known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cuckoo_ml_plugin.plumbing.time_limit import OverdueError, within

if TYPE_CHECKING:
    from cuckoo_ml_plugin.engine.visibility import HostAnalysis, Visible
    from cuckoo_ml_plugin.hosts.enrich import Enricher

HOME: Final = Path("custom") / "cuckooml"
"""The home, from CAPE's folder: where neither CAPE's clean-up nor its git touches anything."""
OLD_HOME: Final = Path("storage") / "cuckooml"
"""Where earlier versions had the home; ``cleaners.py --clean`` deletes it."""
_HTML_REPORTS: Final = ("report.html", "summary-report.html")

_NO_HOME: Final = "The home of cuckoo-ml could not be looked up in time: its file system does not answer."

_enrichers: dict[Path, Enricher] = {}


def counts(results: Any, root: str, home: str | None) -> dict[str, Any]:
    """The section as the processing module returns it: the counts, not scored yet. Never raises."""
    from cuckoo_ml_plugin.hosts.enrich import failed_section

    try:
        enricher = _enricher(root, home)
    except OverdueError:
        return failed_section(_NO_HOME)
    return enricher.counts(results)


def enrich(results: Any, task: Any, root: str, home: str | None, report_path: str | None = None) -> None:
    """Put the section, as the readers of the report may have it, into the results; never raises.

    ``task``: as CAPE gives it to its modules, or its id alone, as modules that an earlier version installed do.
    """
    from cuckoo_ml_plugin.hosts.cape.access import has_tenants, visible_to_readers_of
    from cuckoo_ml_plugin.hosts.cape.central import files_under_central_ids
    from cuckoo_ml_plugin.hosts.enrich import failed_section, put_section, put_signature

    try:
        enricher = _enricher(root, home)
    except OverdueError:
        put_section(results, failed_section(_NO_HOME))
        return
    facts = task if isinstance(task, Mapping) else {"id": task}
    readers = _when_asked(lambda: visible_to_readers_of(facts)) if has_tenants() else None
    section = enricher.enrich(results, str(facts["id"]), report_path, readers, central=files_under_central_ids())
    put_section(results, section, enricher.seed(section))
    put_signature(results, enricher.signature(section, cape=True))


def _when_asked(find_out: Callable[[], Visible]) -> Visible:
    """What readers may see, found out in CAPE's database when it is first asked: in the time that an analysis has."""
    known: list[Visible] = []

    def visible(analyses: Iterable[HostAnalysis]) -> Collection[str]:
        if not known:
            known.append(find_out())
        return known[0](analyses)

    return visible


def complete_html(results: Any, reports: str) -> None:
    """Put the panel into each HTML report in the folder ``reports``. Raises OSError."""
    names = [name for name in _HTML_REPORTS if (Path(reports) / name).is_file()]
    if names and isinstance(results.get("cuckooml"), dict):
        from cuckoo_ml_plugin.web.static_report import put_into

        for name in names:
            put_into(Path(reports) / name, results["cuckooml"])


def home_of(root: Path, named: str | None = None) -> Path:
    """The home of a CAPE: the one that its option ``home`` names, else that in its place.

    Until ``install`` has moved an earlier home there, the earlier one is used.
    """
    from cuckoo_ml_plugin.home import home_in_use

    return home_in_use(*(root / place for place in (named, HOME, OLD_HOME) if place))


def _enricher(root: str, home: str | None) -> Enricher:
    """The enricher of a home; each process keeps it, with its open store and model, for the next analysis.

    Raises OverdueError where the file system of the home does not answer.
    """
    from cuckoo_ml_plugin.hosts.enrich import TIME_LIMIT, Enricher

    folder = within(TIME_LIMIT / 2, lambda: home_of(Path(root), home))
    if folder not in _enrichers:
        _enrichers[folder] = Enricher(folder)
    return _enrichers[folder]
