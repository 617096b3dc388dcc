"""What goes into the store and comes out of it, with every outside value made harmless at the door.

Names and texts come from malware and from file systems: PostgreSQL refuses NUL characters, UTF-8 refuses lone
surrogates, and nothing bounds a string's length but us.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import (
    Source,
    clean_id,
)
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.report.labels import first_by_source
from cuckoo_ml_plugin.report.threat_scores import ThreatScore
from cuckoo_ml_plugin.store.packed_behaviour import Counts, DamagedBlobError, Packed, pack, unpack, unpack_joined

MAX_TAGS = 20
MAX_SECTION = 256 * 1024

_SHA256 = re.compile(r"[0-9a-f]{64}")


def clean_score(one: ThreatScore) -> ThreatScore:
    """A threat score whose names every database takes."""
    return ThreatScore(storable(one.provider, 40), storable(one.kind, 10), storable(one.indicator), float(one.score))


def seen_at(stored: StoredAnalysis) -> str:
    """When an analysis was made (in UTC, where its host wrote no zone), or stored when its host did not say."""
    try:
        return utc_text(datetime.fromisoformat(stored.analysed_at)) if stored.analysed_at else stored.stored_at
    except (ValueError, OverflowError):
        return stored.stored_at


def finite(value: float | None) -> float | None:
    """The number, or None for one that no database and no JSON holds, or that is none."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


class BehaviourLike(Protocol):
    """What the store needs of a behaviour."""

    @property
    def tokens(self) -> Sequence[str]: ...
    @property
    def counts(self) -> Mapping[str, int | float]: ...
    @property
    def has_behaviour(self) -> bool: ...
    @property
    def scores(self) -> Sequence[ThreatScore]: ...


class ReportLike(Protocol):
    """What the store needs of a report."""

    host: str
    host_version: str
    sha256: str | None
    target: str
    analysed_at: str | None
    machine: str
    tags: list[str]
    submitter: str


class LabelLike(Protocol):
    """What the store needs of a label."""

    @property
    def family(self) -> str: ...
    @property
    def source(self) -> str: ...


@dataclass(slots=True)
class AnalysisRecord:
    """One analysis on its way into the store, its behaviour packed already (in the process that read it)."""

    analysis: str
    packed: Packed
    has_behaviour: bool
    host: str = ""
    host_version: str = ""
    sha256: str | None = None
    target: str = ""
    analysed_at: str | None = None
    machine: str = ""
    tags: list[str] = field(default_factory=list)
    submitter: str = ""
    labels: dict[str, str] = field(default_factory=dict)  # source -> family
    scores: list[ThreatScore] = field(default_factory=list)
    source: Source | None = None

    @classmethod
    def of(
        cls,
        analysis: str,
        report: ReportLike,
        behaviour: BehaviourLike,
        labels: Iterable[LabelLike] = (),
        source: Source | None = None,
    ) -> AnalysisRecord:
        """Pack a behaviour with what its report says about the analysis; every text is cleaned and bounded."""
        sha256 = (report.sha256 or "").lower()
        families: dict[str, str] = {}
        for label in labels:
            families.setdefault(label.source, storable(label.family, 100))  # the first of a source, as best_label does
        return cls(
            analysis=clean_id(analysis),
            packed=pack(behaviour.tokens, behaviour.counts),
            has_behaviour=bool(behaviour.has_behaviour),
            host=storable(report.host, 50),
            host_version=storable(report.host_version, 50),
            sha256=sha256 if _SHA256.fullmatch(sha256) else None,
            target=storable(report.target),
            analysed_at=storable(report.analysed_at, 40) if report.analysed_at else None,
            machine=storable(report.machine, 100),
            tags=[storable(tag, 100) for tag in report.tags[:MAX_TAGS]],
            submitter=storable(report.submitter, 100),
            labels=families,
            scores=[clean_score(one) for one in behaviour.scores],
            source=source,
        )


@dataclass(slots=True)
class StoredAnalysis:
    """One analysis as the store has it. ``labels``: source -> family. The behaviour is there only when asked for."""

    number: int
    analysis: str
    host: str
    host_version: str
    sha256: str | None
    target: str
    analysed_at: str | None
    machine: str
    tags: list[str]
    submitter: str
    source_path: str | None
    digest: str
    token_count: int
    has_behaviour: bool
    stored_at: str
    labels: dict[str, str] = field(default_factory=dict)
    blob: bytes | None = None

    @property
    def label(self) -> str | None:
        """The family from the source that counts most: the analyst, then the host, then VirusTotal."""
        return first_by_source(self.labels)

    def unpack(self) -> tuple[list[str], Counts]:
        """Tokens and counts. Raises StoreError that names the analysis when they are damaged."""
        try:
            return unpack(self._packed())
        except DamagedBlobError as error:
            raise self._damaged(error) from error

    def unpack_joined(self) -> tuple[bytes, Counts]:
        """Tokens as UTF-8 with line breaks between, and counts; faster. Raises StoreError as :meth:`unpack` does."""
        try:
            return unpack_joined(self._packed())
        except DamagedBlobError as error:
            raise self._damaged(error) from error

    def _packed(self) -> bytes:
        if self.blob is None:
            raise ValueError("read without its behaviour")
        return self.blob

    def _damaged(self, error: DamagedBlobError) -> StoreError:
        return StoreError(
            f"The stored behaviour of analysis {self.analysis} is damaged ({error}): import its report again."
        )


@dataclass(slots=True)
class FindingRecord:
    """The latest finding of one analysis. ``section``: the whole report section as JSON text, or ""."""

    analysis: str
    model: str
    cluster: str | None
    probability: float | None
    outlier_score: float | None
    anomaly_score: float | None
    anomalous: bool
    section: str = ""
    scored_at: str = ""

    @classmethod
    def of(cls, analysis: str, section: Mapping[str, Any]) -> FindingRecord | None:
        """The record of a report section; None for one that no model gave."""
        model, cluster, anomaly = section["model"], section["cluster"], section["anomaly"]
        if model is None:
            return None
        return cls(
            analysis=analysis,
            model=model["id"],
            cluster=cluster["id"] if cluster else None,
            probability=cluster["probability"] if cluster else None,
            outlier_score=anomaly["outlier_score"] if anomaly else None,
            anomaly_score=anomaly["score"] if anomaly else None,
            anomalous=bool(anomaly and anomaly["anomalous"]),
            section=json.dumps(section),
        )


@dataclass(slots=True)
class FoundAnalysis:
    """A finding with what a list shows of its analysis."""

    finding: FindingRecord
    sha256: str | None
    target: str
    analysed_at: str | None
    stored_at: str
    label: str | None
