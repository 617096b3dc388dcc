"""What the store keeps of an analysis that has arrived: its record first, then all that follows from its finding."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.engine.births import newcomer_by, note_newcomer
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.past_analyses import Subject
from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.plumbing.times import day_of, today
from cuckoo_ml_plugin.report.labels import Label
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Arrival:
    """A finished analysis; ``sample``: what tells its sample from others, "" where nothing is known."""

    record: AnalysisRecord
    behaviour: Behaviour
    sample: str = ""
    labels: list[Label] = field(default_factory=list)


def put(engine: Engine, arrival: Arrival) -> Subject:
    """Store the record; returns what is stored of it. Raises StoreError."""
    record = arrival.record
    [claim] = engine.store.put_claims([record])
    try:  # the reference of the day, for all processes
        model = engine.model()
        if model is not None:
            engine.recalibration(model).of_day(engine.store, today(), keep=True)
    except Exception as error:
        _LOG.error("The anomaly scores were not recalibrated for this day: %s", error)
    day = day_of(record.analysed_at or claim.identity.started or None)
    return Subject(claim.analysis, arrival.behaviour, record.sha256, day)


def keep_finding(engine: Engine, arrival: Arrival, analysis: str, finding: Finding) -> dict[str, Any]:
    """Keep a finding, and what it says of new groups and of a drift, in one transaction; returns its section.

    The finding gets the reason of its group in the making. Raises StoreError; nothing of it is then stored.
    """
    try:
        model = engine.model()
        newcomer = newcomer_by(engine, finding, arrival.behaviour, analysis, arrival.sample)
        noted = None
        if model is not None:
            noted = engine.recalibration(model).noted(finding, arrival.behaviour, analysis, arrival.sample)
    except Exception as error:
        _LOG.error("What the analysis says of new groups and of a drift was not noted: %s", error)
        model, newcomer, noted = None, None, None

    def work() -> dict[str, Any]:
        if newcomer is not None:
            note_newcomer(engine, finding, analysis, newcomer)
        if model is not None and noted is not None:
            engine.store.note_recent(str(model.facts["fitted_at"]), today(), noted)
        section = finding.section()
        record = FindingRecord.of(analysis, section) if finding.status in ("scored", "no_behaviour") else None
        if record is not None:
            engine.store.save_findings([record])
        return section

    if newcomer is None and noted is None and finding.status not in ("scored", "no_behaviour"):
        return finding.section()
    return engine.store.together(work)


def keep_late(engine: Engine, arrival: Arrival, section: dict[str, Any] | None) -> str:
    """Store an analysis that has waited, as if it had arrived now; returns its id. Raises StoreError.

    Args:
        section: what it got in its time, which is kept where it cannot be scored again.
    """
    subject = put(engine, arrival)
    analysis = subject.analysis
    try:
        finding = engine.score(arrival.behaviour, analysis, engine.label(arrival.labels, analysis), subject)
        keep_finding(engine, arrival, analysis, finding)
    except StoreError:
        raise
    except Exception as error:
        _LOG.error("An analysis that waited was stored with its earlier finding: %s", error)
        record = FindingRecord.of(analysis, section) if section is not None else None
        if record is not None:
            engine.store.save_findings([record])
    return analysis
