"""After a refit: what the model in force says of past analyses, into the store, their reports and the host's MongoDB.

What is up to date is passed over, so that an interrupted refresh goes on where it was: an analysis counts as done in
the store last, after its report and its document.
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
_NAMES = ("report.json", "report.json.gz")


@dataclass(slots=True)
class Refreshed:
    """What a refresh did; ``failed``: analysis and reason."""

    model: str
    looked_at: int = 0
    findings: int = 0
    reports: int = 0
    documents: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


class Documents(Protocol):
    """A host's database of reports."""

    def put(self, analysis: str, section: Mapping[str, Any], seed: Mapping[str, Any], model: str) -> bool:
        """Set the section of an analysis unless it is of that model already; whether anything was changed."""


def refresh(
    engine: Engine,
    *,
    analyses: Path | None = None,
    documents: Documents | None = None,
    progress: Progress | None = None,
) -> Refreshed:
    """Bring everything up to date with the model in force.

    Args:
        analyses: the host's ``storage/analyses``, to write into the reports as well; None for the store alone.
        documents: the host's database, to write into as well.

    Raises:
        ModelError: there is no model; StoreError: the store refuses. What concerns one analysis is in ``failed``.
    """
    model = engine.require_model().id
    done = Refreshed(model)
    total = engine.store.count()
    stored = engine.store.analyses_in_order(behaviours=False)
    everything = analyses is not None or documents is not None
    while batch := list(islice(stored, _BATCH)):
        known = engine.store.findings_of([one.analysis for one in batch])
        records: list[FindingRecord] = []
        for one in batch:
            finding = known.get(one.analysis)
            current = finding is not None and finding.model == model and bool(finding.section)
            if not current or everything:
                records += _refresh_one(engine, one, current, analyses, documents, done)
            done.looked_at += 1
        done.findings += engine.store.save_findings(records)
        if progress is not None:
            progress(done.looked_at, total)
    if not done.failed:
        engine.store.note_model_of_findings(model)
    return done


def _refresh_one(
    engine: Engine,
    stored: StoredAnalysis,
    current: bool,
    analyses: Path | None,
    documents: Documents | None,
    done: Refreshed,
) -> Iterator[FindingRecord]:
    try:
        reports = [path for path in _reports(stored, analyses) if _model_of(path) != done.model]
        if current and not reports and documents is None:
            return
        finding = engine.score_stored(stored.analysis)
        if finding is None:  # forgotten meanwhile
            return
        section = finding.section()
        seed = engine.seed(section)
        for path in reports:
            write_section(path, section, seed)
            done.reports += 1
        if documents is not None:
            done.documents += documents.put(stored.analysis, section, seed, done.model)
    except (ReportError, StoreError, OSError) as error:
        done.failed.append((stored.analysis, str(error)))
        return
    record = FindingRecord.of(stored.analysis, section)
    if record is not None and not current:
        yield record


def _reports(stored: StoredAnalysis, analyses: Path | None) -> Iterator[Path]:
    """The report of an analysis in the host's tree, if it is there."""
    if analyses is None or not stored.analysis.isdecimal():
        return
    for name in _NAMES:
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
    """The model of the section in a report, None when it has none (or cannot be told)."""
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
