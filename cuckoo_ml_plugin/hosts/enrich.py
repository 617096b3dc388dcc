"""What both hosts do with one finished analysis: counts first, then storing, scoring and the section.

Nothing here raises: an analysis must be reported whatever is wrong with the home, the store, the model or the report.
An error goes into the log and into the section's ``message``.

Nothing here takes longer than ``[host] time_limit`` for both stages of an analysis together. What may hang runs in
threads that are left behind when their share of the time is over. An analysis that the store did not take in time is
scored without it and waits in the spool; the next analysis stores it when the store answers again. Until then the store
is only asked for a moment, so that not each analysis waits in vain.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Final, TypeVar

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.arrivals.keep import Arrival, keep_finding, put
from cuckoo_ml_plugin.engine.arrivals.spool import Spool, SpoolError
from cuckoo_ml_plugin.engine.arrivals.waiting import arrival_of, keep_waiting, store_waiting
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.past_analyses import Subject
from cuckoo_ml_plugin.engine.visibility import Visible, nothing, visible_finding, with_more_similar
from cuckoo_ml_plugin.errors import CuckooMLError, ModelError, StoreError
from cuckoo_ml_plugin.finding.section import Finding, failed_section
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts import error_log
from cuckoo_ml_plugin.plumbing.text import MAX_TEXT, display_text
from cuckoo_ml_plugin.plumbing.time_limit import OverdueError, within
from cuckoo_ml_plugin.report import host_signatures
from cuckoo_ml_plugin.report.files import writeback
from cuckoo_ml_plugin.report.identity import identity_of
from cuckoo_ml_plugin.report.labels import best_label, labels_of
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.report.values import mapping, mappings
from cuckoo_ml_plugin.settings import HostSettings
from cuckoo_ml_plugin.store.database import StoreGoneError

__all__ = ["Enricher", "failed_section", "put_section", "put_signature"]

STORE_PATIENCE: Final = 5.0  # seconds that an analysis waits for other writers of the store
TIME_LIMIT: Final = HostSettings().time_limit
"""Seconds for one analysis, until its home's settings are read."""
_COUNTS_SHARE: Final = 0.5  # of the limit, for the processing stage
_END_SHARE: Final = 0.1  # of the limit, for what follows the section
_STORE_SHARE: Final = 0.6  # of the time that is left, until the analysis is scored without the store
_MOMENT: Final = 0.1  # of the limit: as long is a store waited for that did not answer before
_LATE_SHARE: Final = 0.25  # of the time that is left, for storing analyses that wait
_MOST_LATE: Final = 1.0  # seconds for that
_NEEDS_CALLS: Final = ("distinct_call_pairs",)  # counts that only the call log gives

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Case:
    """An analysis as far as its first step got."""

    counts: dict[str, Any] | None = None
    engine: Engine | None = None
    arrival: Arrival | None = None
    readers: Visible | None = None
    store_hangs: bool = False  # as a process of the host noticed before


@dataclass(slots=True)
class _Outcome:
    """What became of an analysis; ``problem``: what failed without stopping the rest."""

    section: dict[str, Any] | None = None  # as the store keeps it
    shown: dict[str, Any] | None = None  # as the readers of the report may see it
    analysis: str = ""  # its id once it is stored: before, the task's number may be another analysis's id
    stored: bool = False
    complete: bool = False  # whether its finding is stored, too
    problem: str = ""


class Enricher:
    """Enriches one analysis after another; opens home, store and model when they are first needed.

    A newly published model is used from the next analysis on. What could not be opened is tried again each time.
    """

    def __init__(self, home: Path, *, patience: float = STORE_PATIENCE) -> None:
        """``patience``: seconds that an analysis waits for other writers of the store."""
        self._home = Home(Path(home))
        self._spool = Spool(self._home)
        self._patience = patience
        self._engine: Engine | None = None
        self._settings_time: int | None = None
        self._tenants_noted: bool | None = None
        self._limit = TIME_LIMIT
        self._allowed = TIME_LIMIT  # the limit of the analysis at hand, whose host may wait less
        self._spent = 0.0  # seconds of the analysis at hand, in its processing stage
        self._until = 0.0  # when the time of the analysis at hand is over, of time.monotonic()

    def counts(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """The section as the processing stage leaves it: the counts, with ``failed`` until the analysis is scored.

        The call log is not read: reading it is expensive, and the reporting stage must do so anyway. ``api_calls`` is
        Cuckoo's own count here; it is left out where the host keeps none.
        """
        began = time.monotonic()
        try:
            counts = within(_COUNTS_SHARE * self._limit, lambda: _counts_of(results))
            message = "The analysis is not scored yet; the reporting stage scores it."
            return Finding(status="failed", message=message, counts=counts).section()
        except Exception as error:
            return _failure("The behaviour could not be counted", self._late() if _is_late(error) else error)
        finally:
            self._spent = time.monotonic() - began

    def enrich(
        self,
        results: Mapping[str, Any],
        analysis: str,
        report_path: str | os.PathLike[str] | None = None,
        readers: Visible | None = None,
        *,
        central: bool = False,
        seconds: float = inf,
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
            seconds: how long the host waits, where that is less than the limit in the settings.
        """
        began, case, outcome = time.monotonic() - self._spent, _Case(), _Outcome()
        self._spent = 0.0
        self._begin(began, seconds)

        def prepare() -> None:
            self._prepare(case, results, analysis, report_path, readers, central)

        try:
            self._bounded(prepare)
            self._begin(began, seconds)  # the settings are read by now
            engine, arrival = case.engine, case.arrival
            assert engine is not None
            assert arrival is not None
            outcome = self._with_store(case, engine, arrival)
            if outcome.shown is None:
                self._score_without_store(case, arrival, outcome)
            self._keep(case, arrival, outcome)
            section = outcome.shown or failed_section("")
        except Exception as error:
            section = _failure("The analysis could not be scored", self._late() if _is_late(error) else error)
            if case.counts is not None:
                section["counts"] = case.counts
        if outcome.problem:
            section["message"] = f"{section['message']} {outcome.problem}".strip()[:1000]
        if outcome.problem or section["status"] == "failed":
            self._record(f"analysis {analysis}: {section['message']}")
        return section

    def seed(self, section: Mapping[str, Any]) -> dict[str, Any] | None:
        """The values for ``info.clustering.hdbscan`` that go with a section; None where the model cannot be read."""
        try:
            return self._at_the_end(lambda: self._opened().seed(section))
        except Exception:  # logged when the section was made
            return None

    def signature(self, section: Mapping[str, Any], *, cape: bool) -> dict[str, Any] | None:
        """The signature that goes with a section; None unless ``[host] signature`` asks for it."""

        def signature() -> dict[str, Any] | None:
            if self._opened().settings.host.signature != "yes":
                return None
            return host_signatures.finding_signature(section, cape=cape)

        try:
            return self._at_the_end(signature)
        except Exception:  # logged when the section was made
            return None

    def store_waiting(self) -> int:
        """Store one or some analyses that wait in the spool, for an idle moment; returns how many. Never raises."""
        try:
            engine = within(self._limit, self._opened)
            done = within(self._limit, lambda: store_waiting(engine, _MOST_LATE), lambda: self._give_up(engine))
            return done.stored
        except Exception as error:
            _LOG.error("What waits in the spool was not stored: %s", _error_text(error))
            return 0

    @property
    def waits(self) -> bool:
        """Whether an analysis waits in the spool. Never raises."""
        try:
            return within(self._limit, lambda: self._spool.count() > 0)
        except OverdueError:
            return False

    # -- the steps ----------------------------------------------------------------------------------------------------

    def _prepare(
        self,
        case: _Case,
        results: Mapping[str, Any],
        analysis: str,
        report_path: str | os.PathLike[str] | None,
        readers: Visible | None,
        central: bool,
    ) -> None:
        """Read the analysis, then the home; each part is noted at once, for the case that the next one hangs."""
        report = report_from_results(results)
        behaviour = extract(report)
        case.counts = behaviour.counts
        engine = self._opened()
        identity = identity_of(results, node=engine.node, task=analysis, central=central)
        path = os.fspath(report_path) if report_path is not None else None
        case.arrival = arrival_of(report, behaviour, labels_of(report), identity, path)
        case.readers = readers
        case.store_hangs = self._spool.store_hangs
        case.engine = engine

    def _with_store(self, case: _Case, engine: Engine, arrival: Arrival) -> _Outcome:
        """Store and score. Where the store does not answer in time, the outcome has no section."""
        moment = _MOMENT * self._limit
        seconds = min(_STORE_SHARE * self._left(), moment if case.store_hangs else inf)
        began, outcome = time.monotonic(), _Outcome()
        try:
            within(
                seconds,
                lambda: self._store_and_score(engine, arrival, case.readers, outcome),
                lambda: self._give_up(engine),
            )
        except OverdueError:
            outcome = replace(outcome, section=None, shown=None)  # its thread may go on with the other one
            what = "scored by the store" if outcome.stored else "stored"
            outcome.problem = f"The analysis was not {what}: that did not end within {seconds:.2g} seconds" + (
                ", after the store had not answered before." if case.store_hangs else "."
            )
            _LOG.error("%s", outcome.problem)
        if not outcome.stored and time.monotonic() - began >= moment / 2:
            self._bounded(self._spool.note_hang)
        return outcome

    def _store_and_score(self, engine: Engine, arrival: Arrival, readers: Visible | None, outcome: _Outcome) -> None:
        """Store, score and follow; what the store refuses is left out. Raises ModelError and what is unexpected."""
        subject = None
        try:
            subject = put(engine, arrival)
            outcome.analysis, outcome.stored = subject.analysis, True
        except StoreError as error:
            outcome.problem = f"The analysis was not stored: {error}"
            _LOG.error("%s", outcome.problem)
            if isinstance(error, StoreGoneError):
                self._engine = None  # the next analysis begins a new store
        try:
            finding = engine.reading(lambda: _scored(engine, arrival, outcome.analysis, subject))
        except StoreError as error:
            if not outcome.problem:
                outcome.problem = f"The store could not be read: {error}"
                _LOG.error("%s", outcome.problem)
            return
        except ModelError:
            if outcome.stored:
                raise
            return
        if outcome.stored:
            try:
                outcome.section = keep_finding(engine, arrival, outcome.analysis, finding)
                outcome.complete = True
            except StoreError as error:
                outcome.problem = f"The finding was not saved: {error}"
                _LOG.error("%s", outcome.problem)
            self._note_tenants(engine, readers is not None)
        outcome.section = outcome.section or finding.section()
        shown = outcome.section
        if readers is not None:
            shown = _for_readers(engine, finding, arrival, outcome.analysis, readers)
        outcome.shown = shown

    def _score_without_store(self, case: _Case, arrival: Arrival, outcome: _Outcome) -> None:
        """Score by the model alone; where that fails, too, the section says so and the analysis can still be kept."""
        engine = self._engine or case.engine
        assert engine is not None

        def score() -> Finding:
            if engine.model() is None:  # how many are stored and needed, only the store knows
                raise StoreError("there is no model yet, and without the store nothing else says what it is like.")
            best = best_label(arrival.labels)
            return engine.score_without_store(arrival.behaviour, outcome.analysis, best.family if best else None)

        try:
            finding = within(_STORE_SHARE * self._left(), score)
            outcome.section = finding.section()
            if case.readers is not None:  # what they may see, only the store can tell
                finding = visible_finding(None, finding, outcome.analysis, nothing)
            outcome.shown = finding.section()
        except Exception as error:
            outcome.shown = _failure("The analysis could not be scored", self._late() if _is_late(error) else error)
            outcome.shown["counts"] = arrival.behaviour.counts

    def _keep(self, case: _Case, arrival: Arrival, outcome: _Outcome) -> None:
        """Let wait what is not stored with its finding; else the store answers, and takes what waits."""
        engine = self._engine or case.engine
        assert engine is not None

        def keep() -> str:
            try:
                keep_waiting(self._spool, arrival, outcome.section)
            except SpoolError as error:
                return f" It could not be kept for later either: {error}; import its report."
            return " It waits in the home and is stored as soon as the store answers."

        def store_others() -> str:
            if case.store_hangs:
                self._spool.note_answer()
            store_waiting(engine, min(_MOST_LATE, _LATE_SHARE * self._left()))
            return ""

        try:
            if outcome.complete:
                within(self._left(), store_others, lambda: self._give_up(engine))
            else:
                outcome.problem += self._bounded(keep)
            losses = [engine.loss_of_store, self._bounded(self._home.loss)]
            engine.loss_of_store = ""
            outcome.problem = " ".join(filter(None, [outcome.problem, *losses]))
        except OverdueError:
            if not outcome.complete:
                outcome.problem += " It could not be kept for later in time; import its report."

    # -- the time -----------------------------------------------------------------------------------------------------

    def _begin(self, began: float, seconds: float) -> None:
        """Let the time of an analysis have begun at a moment; ``seconds``: how long its host waits."""
        self._allowed = min(self._limit, seconds)
        self._until = began + (1.0 - _END_SHARE) * self._allowed

    def _left(self) -> float:
        return max(self._until - time.monotonic(), 0.0)

    def _bounded(self, work: Callable[[], T]) -> T:
        """Raises OverdueError, and what the work raises."""
        return within(self._left(), work)

    def _at_the_end(self, work: Callable[[], T]) -> T:
        """Do what follows the section, in half of the share for it each. Raises OverdueError."""
        return within(max(self._left(), _END_SHARE / 2 * self._allowed), work)

    def _give_up(self, engine: Engine) -> None:
        engine.cut()
        self._engine = engine.again()  # a thread that was left behind may still use the other one

    def _late(self) -> CuckooMLError:
        return CuckooMLError(f"it did not end within the time limit of {self._limit:g} seconds ([host] time_limit).")

    def _record(self, line: str) -> None:
        """Put a line into the log of the home, if its file system answers."""
        with suppress(OverdueError):
            self._at_the_end(lambda: error_log.record(self._home.path, line))

    def _opened(self) -> Engine:
        """The engine, opened again when the settings have changed. Raises CuckooMLError."""
        try:
            changed_at = self._home.settings_file.stat().st_mtime_ns
        except OSError:
            changed_at = None
        if self._engine is None or changed_at != self._settings_time:
            self._engine = Engine(self._home, patience=self._patience)
            self._settings_time = changed_at
            self._limit = self._engine.settings.host.time_limit
        return self._engine

    def _note_tenants(self, engine: Engine, several: bool) -> None:
        """Leave word in the store, for commands that write into reports and cannot ask the host."""
        if self._tenants_noted != several:
            try:
                engine.store.note_tenants(several)
                self._tenants_noted = several
            except StoreError as error:
                _LOG.error("That the host has several tenants was not noted: %s", error)


def _scored(engine: Engine, arrival: Arrival, analysis: str, subject: Subject | None) -> Finding:
    label = engine.label(arrival.labels, analysis)
    return engine.score(arrival.behaviour, analysis, label, subject)


def _for_readers(
    engine: Engine, finding: Finding, arrival: Arrival, analysis: str, readers: Visible
) -> dict[str, Any]:  # fmt: skip
    finding = with_more_similar(engine, finding, arrival.behaviour, analysis, readers)
    return visible_finding(engine, finding, analysis, readers).section()


def _counts_of(results: Mapping[str, Any]) -> dict[str, int | float]:
    report = report_from_results(_without_calls(results))
    counts = extract(report).counts
    for name in (*_NEEDS_CALLS, *(() if report.api_counts else ("api_calls", "distinct_apis"))):
        counts.pop(name, None)
    return counts


def _is_late(error: Exception) -> bool:
    return isinstance(error, OverdueError)


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
