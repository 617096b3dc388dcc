"""What both hosts do with one finished analysis: counts first, then storing, scoring and the section.

Nothing here raises: an analysis must be reported whatever is wrong with the home, the store, the model or the report.
An error goes into the log and into the section's ``message``.
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
from cuckoo_ml_plugin.engine.births import notice_birth
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import Visible, visible_finding, with_more_similar
from cuckoo_ml_plugin.errors import CuckooMLError, StoreError
from cuckoo_ml_plugin.finding.section import Finding, failed_section
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts import error_log
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source
from cuckoo_ml_plugin.plumbing.text import MAX_TEXT, display_text
from cuckoo_ml_plugin.plumbing.times import today
from cuckoo_ml_plugin.report import host_signatures
from cuckoo_ml_plugin.report.files import writeback
from cuckoo_ml_plugin.report.identity import identity_of
from cuckoo_ml_plugin.report.labels import Label, best_label, labels_of
from cuckoo_ml_plugin.report.report import Report, report_from_results
from cuckoo_ml_plugin.report.values import mapping, mappings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord

__all__ = ["Enricher", "failed_section", "put_section", "put_signature"]

STORE_PATIENCE: Final = 5.0  # seconds that an analysis waits for other writers of the store
_NEEDS_CALLS: Final = ("distinct_call_pairs",)  # counts that only the call log gives

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _ExtractedAnalysis:
    """What one pass over a report gave, and how far it got; ``problem``: what failed without stopping the rest."""

    behaviour: Behaviour
    labels: list[Label]
    analysis: str = ""  # its id once it is stored: before, the task's number may be another analysis's id
    stored: bool = False
    problem: str = ""


class Enricher:
    """Enriches one analysis after another; opens home, store and model when they are first needed.

    A newly published model is used from the next analysis on. What could not be opened is tried again each time.
    """

    def __init__(self, home: Path, *, patience: float = STORE_PATIENCE) -> None:
        """``patience``: seconds that an analysis waits for other writers of the store."""
        self._home = Home(Path(home))
        self._patience = patience
        self._engine: Engine | None = None
        self._settings_time: int | None = None
        self._tenants_noted: bool | None = None

    def counts(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The section as the processing stage leaves it: the counts, with ``failed`` until the analysis is scored.

        The call log is not read: reading it is expensive, and the reporting stage must do so anyway. ``api_calls`` is
        Cuckoo's own count here; it is left out where the host keeps none.
        """
        try:
            report = report_from_results(_without_calls(results))
            counts = extract(report).counts
            for name in (*_NEEDS_CALLS, *(() if report.api_counts else ("api_calls", "distinct_apis"))):
                counts.pop(name, None)
            message = "The analysis is not scored yet; the reporting stage scores it."
            return Finding(status="failed", message=message, counts=counts).section()
        except Exception as error:
            return _failure("The behaviour could not be counted", error)

    def enrich(
        self,
        results: Mapping[str, Any],
        analysis: str,
        report_path: str | os.PathLike[str] | None = None,
        readers: Visible | None = None,
        *,
        central: bool = False,
    ) -> dict[str, Any]:
        """Store and score the analysis, save its finding, and return the section, JSON-ready.

        Args:
            results: the host's results.
            analysis: the host's id of the task.
            report_path: where the host will write this analysis's report.json. A later import of that file updates this
                record instead of adding one.
            readers: what the readers of the report may see of other analyses, None where there is one tenant. The store
                keeps the whole finding, the section that is returned holds what they may see.
            central: whether the host files its reports under the ids of a central machine.
        """
        try:
            report = report_from_results(results)
            extracted = _ExtractedAnalysis(extract(report), labels_of(report))
            engine = self._opened()
            identity = identity_of(results, node=engine.node, task=analysis, central=central)
            self._store(engine, report, identity, extracted, report_path)
            self._recalibrate(engine, extracted)
            finding = self._score(engine, extracted)
            self._follow(engine, report, identity, extracted, finding)
            section = finding.section()
            if extracted.stored and finding.status in ("scored", "no_behaviour"):
                self._save(engine, extracted, section)
            self._note_tenants(engine, readers is not None)
            if readers is not None:
                section = _for_readers(engine, finding, extracted, readers)
            if engine.loss_of_store:
                extracted.problem = f"{extracted.problem} {engine.loss_of_store}".strip()
                engine.loss_of_store = ""
            loss = self._home.loss()
            if loss is not None:
                extracted.problem = f"{extracted.problem} {loss}".strip()
            if extracted.problem:
                error_log.record(self._home.path, f"analysis {analysis}: {extracted.problem}")
                section["message"] = f"{section['message']} {extracted.problem}".strip()[:1000]
            return section
        except Exception as error:
            section = _failure("The analysis could not be scored", error)
            error_log.record(self._home.path, f"analysis {analysis}: {section['message']}")
            return section

    def seed(self, section: Mapping[str, Any]) -> dict[str, Any] | None:
        """The values for ``info.clustering.hdbscan`` that go with a section; None where the model cannot be read."""
        try:
            return self._opened().seed(section)
        except Exception:  # logged when the section was made
            return None

    def signature(self, section: Mapping[str, Any], *, cape: bool) -> dict[str, Any] | None:
        """The signature that goes with a section; None unless ``[host] signature`` asks for it."""
        try:
            if self._opened().settings.host.signature != "yes":
                return None
            return host_signatures.finding_signature(section, cape=cape)
        except Exception:  # logged when the section was made
            return None

    def _opened(self) -> Engine:
        """The engine, opened again when the settings have changed. Raises CuckooMLError."""
        try:
            changed_at = self._home.settings_file.stat().st_mtime_ns
        except OSError:
            changed_at = None
        if self._engine is None or changed_at != self._settings_time:
            self._engine = Engine(self._home, patience=self._patience)
            self._settings_time = changed_at
        return self._engine

    def _note_tenants(self, engine: Engine, several: bool) -> None:
        """Leave word in the store, for commands that write into reports and cannot ask the host."""
        if self._tenants_noted != several:
            try:
                engine.store.note_tenants(several)
                self._tenants_noted = several
            except StoreError as error:
                _LOG.error("That the host has several tenants was not noted: %s", error)

    def _store(
        self,
        engine: Engine,
        report: Report,
        identity: Identity,
        extracted: _ExtractedAnalysis,
        report_path: str | os.PathLike[str] | None,
    ) -> None:
        # No file has this size and time, so an import reads the report once it is written, under the same id.
        source = Source(os.path.realpath(report_path), -1, -1) if report_path is not None else None
        record = AnalysisRecord.of(identity.task, report, extracted.behaviour, extracted.labels, source, identity)
        try:
            [extracted.analysis] = engine.store.put([record])
            extracted.stored = True
        except StoreError as error:
            extracted.problem = f"The analysis was not stored: {error}"
            _LOG.error("%s", extracted.problem)

    def _score(self, engine: Engine, extracted: _ExtractedAnalysis) -> Finding:
        """The finding. Raises ModelError; StoreError only where there is no model to answer without the store."""
        try:
            return engine.score(
                extracted.behaviour, extracted.analysis, engine.label(extracted.labels, extracted.analysis)
            )
        except StoreError as error:
            if engine.model() is None:
                raise
            if not extracted.problem:
                extracted.problem = f"The store could not be read: {error}"
                _LOG.error("%s", extracted.problem)
            best = best_label(extracted.labels)
            return engine.score_without_store(extracted.behaviour, extracted.analysis, best.family if best else None)

    def _recalibrate(self, engine: Engine, extracted: _ExtractedAnalysis) -> None:
        """Keep the reference of the day for all processes; an error leaves the last one in force."""
        try:
            model = engine.model()
            if model is not None and extracted.stored:
                engine.recalibration(model).of_day(engine.store, today(), keep=True)
        except Exception as error:
            _LOG.error("The anomaly scores were not recalibrated for this day: %s", _error_text(error))

    def _follow(
        self, engine: Engine, report: Report, identity: Identity, extracted: _ExtractedAnalysis, finding: Finding
    ) -> None:
        """Look whether the analysis is one of a new group, and note how unusual it is; an error changes nothing."""
        if not extracted.stored:
            return
        sample = report.sha256 or identity.sample or report.target
        try:
            notice_birth(engine, finding, extracted.behaviour, extracted.analysis, sample)
            model = engine.model()
            if model is not None:
                engine.recalibration(model).note(
                    engine.store, today(), finding, extracted.behaviour, extracted.analysis, sample
                )
        except Exception as error:
            _LOG.error("What the analysis says of new groups and of a drift was not noted: %s", _error_text(error))

    def _save(self, engine: Engine, extracted: _ExtractedAnalysis, section: dict[str, Any]) -> None:
        record = FindingRecord.of(extracted.analysis, section)
        if record is None:
            return
        try:
            engine.store.save_findings([record])
        except StoreError as error:
            extracted.problem = f"The finding was not saved: {error}"
            _LOG.error("%s", extracted.problem)


def _for_readers(
    engine: Engine, finding: Finding, extracted: _ExtractedAnalysis, readers: Visible
) -> dict[str, Any]:  # fmt: skip
    finding = with_more_similar(engine, finding, extracted.behaviour, extracted.analysis, readers)
    return visible_finding(engine, finding, extracted.analysis, readers).section()


def put_signature(results: MutableMapping[str, Any], signature: Mapping[str, Any] | None) -> None:
    """Put :meth:`Enricher.signature` into a host's results, or take an earlier one away; never raises."""
    try:
        host_signatures.put_signature(results, signature)
    except Exception as error:
        _LOG.error("The signature could not be put into the results: %s", error)


def put_section(
    results: MutableMapping[str, Any], section: Mapping[str, Any], seed: Mapping[str, Any] | None = None
) -> None:
    """Put a section, and :meth:`Enricher.seed` of it, into a host's results; never raises."""
    try:
        writeback.put_section(results, section, seed)
    except Exception as error:
        _LOG.error("The section could not be put into the results: %s", error)


def _failure(what: str, error: Exception) -> dict[str, Any]:
    if isinstance(error, CuckooMLError):
        message = display_text(f"{what}: {error}", MAX_TEXT)
        _LOG.error("%s", message)
    else:
        message = f"{what}: unexpected {type(error).__name__}: {_error_text(error)}"
        _LOG.exception("%s", message)
    return failed_section(message)


def _error_text(error: Exception) -> str:
    """The text of an error; an error raised by an object in the results may fail to give one."""
    try:
        return display_text(error, MAX_TEXT)
    except Exception:
        return "it has no readable message"


def _without_calls(results: Mapping[str, Any]) -> Mapping[str, Any]:
    behavior = mapping(results.get("behavior"))
    processes = [{**process, "calls": None} for process in mappings(behavior.get("processes"))]
    return {**results, "behavior": {**behavior, "processes": processes}} if processes else results
