"""Refresh: the findings of past analyses from the model in force, in the store, the reports and the host's MongoDB.

Whatever is up to date is skipped, so that an interrupted refresh resumes where it stopped. The finding in the store is
therefore written last, after the report and the document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypedDict

import msgspec

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import section_for_report
from cuckoo_ml_plugin.errors import ReportError, StoreError
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity
from cuckoo_ml_plugin.report.files.decode import MAX_UNPACKED
from cuckoo_ml_plugin.report.files.writeback import write_section
from cuckoo_ml_plugin.report.identity import identity_of
from cuckoo_ml_plugin.report.values import mapping
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.finding_record import FindingRecord

Progress = Callable[[int, int], None]
_BATCH = 200
_REPORT_NAMES = ("report.json", "report.json.gz")


@dataclass(slots=True)
class RefreshResult:
    """How much a refresh looked at and changed.

    ``failed`` lists analyses that it could not refresh, with reasons. ``other_runs`` lists those whose number
    in the host now belongs to another run, because the host's ids began again: that run's report is left alone.
    """

    model: str
    looked_at: int = 0
    findings: int = 0
    reports: int = 0
    documents: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    other_runs: list[tuple[str, str]] = field(default_factory=list)  # analysis, what bears its number instead


class Documents(Protocol):
    """A host's database of reports."""

    def put(
        self, identity: Identity, section: Mapping[str, Any], seed: Mapping[str, Any], model: str
    ) -> DocumentChange:
        """Set the section of an analysis unless that model wrote it already. Raises StoreError."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """How many documents got a section; ``other_run``: the only ones with the analysis's number are of another run."""

    changed: int = 0
    other_run: bool = False


def refresh(
    engine: Engine,
    *,
    analyses: Path | None = None,
    documents: Documents | None = None,
    progress: Progress | None = None,
) -> RefreshResult:
    """Bring the findings of all stored analyses up to date with the model in force.

    Args:
        analyses: the host's ``storage/analyses``, whose reports are refreshed too; None for no reports.
        documents: the host's database, which is refreshed too; None for none.
        progress: called with the number of analyses looked at and of all.

    Raises:
        ModelError: there is no model.
        StoreError: the store cannot be read or written. A problem with one analysis goes into ``failed`` instead.
    """
    model = engine.require_model().id
    result = RefreshResult(model)
    total = engine.store.count()
    stored = engine.store.analyses_in_order(behaviours=False)
    beyond_store = analyses is not None or documents is not None
    while batch := list(islice(stored, _BATCH)):
        findings = engine.store.findings_of([analysis.analysis for analysis in batch])
        records: list[FindingRecord] = []
        for analysis in batch:
            finding = findings.get(analysis.analysis)
            up_to_date = finding is not None and finding.model == model and bool(finding.section)
            if not up_to_date or beyond_store:
                records += _refresh_analysis(engine, analysis, up_to_date, analyses, documents, result)
            result.looked_at += 1
        result.findings += engine.store.save_findings(records)
        if progress is not None:
            progress(result.looked_at, total)
    if not result.failed and current_id(engine.home.models) == model:  # a refit may have published another
        engine.store.note_model_of_findings(model)
    return result


def _refresh_analysis(
    engine: Engine,
    stored: StoredAnalysis,
    up_to_date: bool,
    analyses: Path | None,
    documents: Documents | None,
    result: RefreshResult,
) -> Iterator[FindingRecord]:
    """Refresh the reports and the document of one analysis; yield its record unless the store is up to date."""
    try:
        reports = _reports(engine, stored, analyses, result)
        if up_to_date and not reports and documents is None:
            return
        finding = engine.score_stored(stored.analysis)
        if finding is None:  # it has been forgotten in the meantime
            return
        section = finding.section()
        seed = engine.seed(section)
        shown = section_for_report(engine, section, stored.analysis)
        for path in reports:
            is_own = write_section(path, shown, seed, lambda report: identity_of(report).is_of_run(stored.identity))
            result.reports += is_own
        if documents is not None:
            change = documents.put(stored.identity, shown, seed, result.model)
            result.documents += change.changed
            if change.other_run:
                result.other_runs.append((stored.analysis, f"the document of task {stored.task} in MongoDB"))
    except (ReportError, StoreError, OSError) as error:
        result.failed.append((stored.analysis, str(error)))
        return
    record = FindingRecord.of(stored.analysis, section)
    if record is not None and not up_to_date:
        yield record


def _reports(engine: Engine, stored: StoredAnalysis, analyses: Path | None, result: RefreshResult) -> list[Path]:
    """The reports of an analysis in the host's folder that another model wrote, or none.

    A report counts only if it states the start and the sample of the analysis. A folder holds the analyses of its own
    node, and on the main machine of a distributed CAPE those that were fetched from others.
    """
    if analyses is None:
        return []
    at_home = stored.node in ("", engine.node)
    fetched = stored.task if stored.task != stored.local_task else ""
    folders = {number for number in (stored.local_task if at_home else "", fetched) if number.isdecimal()}
    paths = [analyses / number / "reports" / name for number in sorted(folders) for name in _REPORT_NAMES]
    reports = {path: _read_brief(path) for path in paths if path.is_file()}
    own = {path: brief for path, brief in reports.items() if brief is None or brief.identity.is_of_run(stored.identity)}
    if reports and not own:
        result.other_runs.append((stored.analysis, str(next(iter(reports)))))
    return [path for path, brief in own.items() if brief is None or brief.model != result.model]


@dataclass(frozen=True, slots=True)
class _Brief:
    """What a report states of its run, and the id of the model that wrote its section."""

    identity: Identity
    model: str | None


class _Model(TypedDict, total=False):
    id: Any


class _Section(TypedDict, total=False):
    model: _Model | None


class _Info(TypedDict, total=False):
    started: Any


class _File(TypedDict, total=False):
    name: Any
    sha256: Any


class _Target(TypedDict, total=False):
    url: Any
    file: _File | None


class _UrlAnalysis(TypedDict, total=False):
    url: Any


class _Sections(TypedDict, total=False):
    """The parts of a report that are read; msgspec skips the rest."""

    info: _Info | None
    target: _Target | None
    url_analysis: _UrlAnalysis | None
    cuckooml: _Section | None


def _read_brief(path: Path) -> _Brief | None:
    """What refresh looks at in a report; None where nothing can read it, and so nothing can be written either."""
    import gzip

    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(path) as file:
                raw = file.read(MAX_UNPACKED)
        sections = mapping(_sections(raw))
    except (OSError, EOFError, ValueError, RecursionError):
        return None
    model = mapping(mapping(sections.get("cuckooml")).get("model")).get("id")
    return _Brief(identity_of(sections), model if isinstance(model, str) else None)


def _sections(raw: bytes) -> Any:
    """The sections; what msgspec refuses is read as :func:`write_section` reads it. Raises ValueError."""
    try:
        return msgspec.json.decode(raw, type=_Sections)
    except msgspec.MsgspecError:
        return json.loads(raw.decode("utf-8", "surrogateescape"))
