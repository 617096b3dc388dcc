"""What both hosts do with one finished analysis: counts, then store, score and section.

Nothing in here raises: an analysis has to be reported whatever is wrong with the home, the store, the model or the
report. What goes wrong is logged, and said in the section's ``message``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError, StoreError
from cuckoo_ml_plugin.finding.finding import Finding
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.trouble import note
from cuckoo_ml_plugin.plumbing.analysis_ids import Source
from cuckoo_ml_plugin.plumbing.text import clean, printable
from cuckoo_ml_plugin.report import writeback
from cuckoo_ml_plugin.report.labels import Label, best_label, labels_of
from cuckoo_ml_plugin.report.report import Report, report_from_results
from cuckoo_ml_plugin.report.values import mapping, tables
from cuckoo_ml_plugin.store.records import AnalysisRecord, FindingRecord

__all__ = ["Enricher", "failed_section", "put_section"]

STORE_PATIENCE: Final = 5.0  # seconds: an analysis waits for other writers, but its host does not wait for ever
_NEEDS_CALLS: Final = ("distinct_call_pairs",)  # counts that only the call log gives

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Taken:
    """One analysis, extracted once; ``trouble`` says what of the rest did not work."""

    behaviour: Behaviour
    labels: list[Label]
    analysis: str
    stored: bool = False
    trouble: str = ""


class Enricher:
    """Enriches one analysis after the other; opens home, store and model when they are first needed.

    A newly published model is taken up at the next analysis. What could not be opened is tried again with each.
    """

    def __init__(self, home: Path, *, patience: float = STORE_PATIENCE) -> None:
        """``patience``: seconds that an analysis waits for other writers of the store."""
        self._home = Home(Path(home))
        self._patience = patience
        self._engine: Engine | None = None
        self._settings_time: int | None = None

    def counts(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The section as the processing stage leaves it: ``failed`` with a message to that effect, but with the counts.

        The call log is not read, since that is what costs, and the reporting stage has to do it; ``api_calls`` is
        Cuckoo's own count here, and left out where the host keeps none.
        """
        try:
            report = report_from_results(_without_calls(results))
            counts = extract(report).counts
            for name in (*_NEEDS_CALLS, *(() if report.api_counts else ("api_calls", "distinct_apis"))):
                counts.pop(name, None)
            message = "The analysis is not scored yet: that happens when it is reported."
            return Finding("failed", message, counts=counts).section()
        except Exception as error:
            return _failure("The counts could not be taken", error)

    def enrich(
        self, results: Mapping[str, Any], analysis: str, report_path: str | os.PathLike[str] | None = None
    ) -> dict[str, Any]:
        """Store, score and save what is found; the section, JSON-ready.

        ``report_path``: where the host will write this analysis's report.json. With it, a record that was imported from
        that file is replaced, and a later import of the file finds this record instead of making another.
        """
        try:
            report = report_from_results(results)
            taken = _Taken(extract(report), labels_of(report), analysis)
            engine = self._opened()
            self._store(engine, report, taken, report_path)
            finding = self._score(engine, taken)
            section = finding.section()
            if taken.stored and finding.status in ("scored", "no_behaviour"):
                self._save(engine, taken, section)
            if taken.trouble:
                note(self._home.path, f"analysis {analysis}: {taken.trouble}")
                section["message"] = f"{section['message']} {taken.trouble}".strip()[:1000]
            return section
        except Exception as error:
            section = _failure("The analysis could not be scored", error)
            note(self._home.path, f"analysis {analysis}: {section['message']}")
            return section

    def seed(self, section: Mapping[str, Any]) -> dict[str, Any] | None:
        """What goes into ``info.clustering.hdbscan`` with the section; None when the model cannot tell."""
        try:
            return self._opened().seed(section)
        except Exception:  # it was logged when the section was made
            return None

    def _opened(self) -> Engine:
        """The engine, anew when the settings have changed. Raises CuckooMLError."""
        try:
            changed = self._home.settings_file.stat().st_mtime_ns
        except OSError:
            changed = None
        if self._engine is None or changed != self._settings_time:
            self._engine = Engine(self._home, patience=self._patience)
            self._settings_time = changed
        return self._engine

    def _store(self, engine: Engine, report: Report, taken: _Taken, report_path: str | os.PathLike[str] | None) -> None:
        # A size and time that no file has: an import reads the report once it is there, under the same id.
        source = Source(os.path.realpath(report_path), -1, -1) if report_path is not None else None
        record = AnalysisRecord.of(taken.analysis, report, taken.behaviour, taken.labels, source)
        try:
            [taken.analysis] = engine.store.put([record])
            taken.stored = True
        except StoreError as error:
            taken.trouble = f"The analysis was not stored: {error}"
            _LOG.error("%s: %s", taken.analysis, taken.trouble)

    def _score(self, engine: Engine, taken: _Taken) -> Finding:
        """Raises ModelError; StoreError only where there is nothing to say without the store."""
        try:
            return engine.score(taken.behaviour, taken.analysis, engine.label(taken.labels, taken.analysis))
        except StoreError as error:
            if engine.model() is None:
                raise
            if not taken.trouble:
                taken.trouble = f"The store could not be asked: {error}"
                _LOG.error("%s: %s", taken.analysis, taken.trouble)
            best = best_label(taken.labels)
            return engine.score_without_store(taken.behaviour, taken.analysis, best.family if best else None)

    def _save(self, engine: Engine, taken: _Taken, section: dict[str, Any]) -> None:
        record = FindingRecord.of(taken.analysis, section)
        if record is None:
            return
        try:
            engine.store.save_findings([record])
        except StoreError as error:
            taken.trouble = f"The finding was not saved: {error}"
            _LOG.error("%s: %s", taken.analysis, taken.trouble)


def put_section(
    results: MutableMapping[str, Any], section: Mapping[str, Any], seed: Mapping[str, Any] | None = None
) -> None:
    """Put a section, and :meth:`Enricher.seed` of it, into a host's results; never raises."""
    try:
        writeback.put_section(results, section, seed)
    except Exception as error:
        _LOG.error("The section could not be put into the results: %s", error)


def failed_section(message: str) -> dict[str, Any]:
    """The section of an analysis of which nothing can be said, with the reason."""
    return Finding("failed", message).section()


def _failure(what: str, error: Exception) -> dict[str, Any]:
    if isinstance(error, CuckooMLError):
        message = printable(clean(f"{what}: {error}"))
        _LOG.error("%s", message)
    else:
        message = f"{what}: unexpected {type(error).__name__}: {_said(error)}"
        _LOG.exception("%s", message)
    return failed_section(message)


def _said(error: Exception) -> str:
    """What an error says; one that comes from an object in the results may fail at that, too."""
    try:
        return printable(clean(error, 300))
    except Exception:
        return "it does not say what"


def _without_calls(results: Mapping[str, Any]) -> Mapping[str, Any]:
    behavior = mapping(results.get("behavior"))
    processes = [{**process, "calls": None} for process in tables(behavior.get("processes"))]
    return {**results, "behavior": {**behavior, "processes": processes}} if processes else results
