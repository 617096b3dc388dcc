"""Refresh: the findings of past analyses from the model in force, in the store, the reports and the host's MongoDB.

Whatever is up to date is skipped, so that an interrupted refresh resumes where it stopped. The finding in the store is
therefore written last, after the report and the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import ReportError, StoreError
from cuckoo_ml_plugin.report.decode import MAX_UNPACKED
from cuckoo_ml_plugin.report.writeback import write_section
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.finding_record import FindingRecord

Progress = Callable[[int, int], None]
_BATCH = 200
_REPORT_NAMES = ("report.json", "report.json.gz")


@dataclass(slots=True)
class RefreshResult:
    """How much a refresh looked at and changed; ``failed`` lists analyses that it could not refresh, with reasons."""

    model: str
    looked_at: int = 0
    findings: int = 0
    reports: int = 0
    documents: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


class Documents(Protocol):
    """A host's database of reports."""

    def put(self, analysis: str, section: Mapping[str, Any], seed: Mapping[str, Any], model: str) -> bool:
        """Set the section of an analysis unless that model wrote it already; True if anything changed."""


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
    if not result.failed:
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
        reports = [path for path in _reports(stored, analyses) if _model_of(path) != result.model]
        if up_to_date and not reports and documents is None:
            return
        finding = engine.score_stored(stored.analysis)
        if finding is None:  # it has been forgotten in the meantime
            return
        section = finding.section()
        seed = engine.seed(section)
        for path in reports:
            write_section(path, section, seed)
            result.reports += 1
        if documents is not None:
            result.documents += documents.put(stored.analysis, section, seed, result.model)
    except (ReportError, StoreError, OSError) as error:
        result.failed.append((stored.analysis, str(error)))
        return
    record = FindingRecord.of(stored.analysis, section)
    if record is not None and not up_to_date:
        yield record


def _reports(stored: StoredAnalysis, analyses: Path | None) -> Iterator[Path]:
    """The reports of an analysis in the host's folder."""
    if analyses is None or not stored.analysis.isdecimal():
        return
    for name in _REPORT_NAMES:
        path = analyses / stored.analysis / "reports" / name
        if path.is_file():
            yield path


class _Model(msgspec.Struct):
    id: str | None = None


class _Section(msgspec.Struct):
    model: _Model | None = None


class _Written(msgspec.Struct):
    cuckooml: _Section | None = None


def _model_of(path: Path) -> str | None:
    """The id of the model that wrote the section of a report; None without a section, or when it cannot be read."""
    import gzip

    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(path) as file:
                raw = file.read(MAX_UNPACKED)
        section = msgspec.json.decode(raw, type=_Written).cuckooml
    except (OSError, EOFError, ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return section.model.id if section and section.model else None
