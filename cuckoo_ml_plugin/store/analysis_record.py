"""One analysis on its way into the store, and as the store has it.

Names and texts come from malware and from file systems: PostgreSQL refuses NUL characters, UTF-8 refuses lone
surrogates, and no format limits the length of a string. Each value is made harmless here, before it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source, clean_id
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.report.labels import first_by_source
from cuckoo_ml_plugin.report.threat_scores import ThreatScore
from cuckoo_ml_plugin.store.packed_behaviour import Counts, DamagedBlobError, Packed, pack, unpack, unpack_joined

MAX_TAGS = 20
MAX_REMARK = 1000  # characters, as many as a section's message has
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    @property
    def remark(self) -> str: ...


class ReportLike(Protocol):
    """What the store needs of a report."""

    @property
    def host(self) -> str: ...
    @property
    def host_version(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def target(self) -> str: ...
    @property
    def analysed_at(self) -> str | None: ...
    @property
    def machine(self) -> str: ...
    @property
    def tags(self) -> list[str]: ...
    @property
    def submitter(self) -> str: ...
    @property
    def identity(self) -> Identity: ...


class LabelLike(Protocol):
    """What the store needs of a label."""

    @property
    def family(self) -> str: ...
    @property
    def source(self) -> str: ...


@dataclass(slots=True)
class AnalysisRecord:
    """One analysis on its way into the store. Its behaviour is packed by the process that read the report."""

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
    remark: str = ""  # what the report lacks, or why it shows no behaviour
    source: Source | None = None
    identity: Identity = field(default_factory=Identity)

    @classmethod
    def of(
        cls,
        analysis: str,
        report: ReportLike,
        behaviour: BehaviourLike,
        labels: Iterable[LabelLike] = (),
        source: Source | None = None,
        identity: Identity | None = None,
    ) -> AnalysisRecord:
        """Pack a behaviour with what its report says of the analysis; every text is made storable and bounded.

        ``identity``: what a host knows of it; by default, what the report states.
        """
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
            scores=[_storable_score(score) for score in behaviour.scores],
            remark=storable(behaviour.remark, MAX_REMARK),
            source=source,
            identity=identity or report.identity,
        )


def _storable_score(score: ThreatScore) -> ThreatScore:
    """A threat score whose names every database takes."""
    return ThreatScore(
        storable(score.provider, 40), storable(score.kind, 10), storable(score.indicator), float(score.score)
    )


@dataclass(slots=True)
class StoredAnalysis:
    """One analysis as the store has it. ``labels``: source -> family. ``blob`` is read only when it is asked for."""

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
    node: str = ""  # what it is known by, see analysis_ids.Identity
    task: str = ""
    local_task: str = ""
    sample: str = ""
    remark: str = ""  # what its report lacks, or why it shows no behaviour; only its report can say it
    labels: dict[str, str] = field(default_factory=dict)
    blob: bytes | None = None  # the packed behaviour

    @property
    def identity(self) -> Identity:
        """What the analysis is known by."""
        return Identity(self.node, self.task, self.local_task, "", self.analysed_at or "", self.sample)

    @property
    def label(self) -> str | None:
        """The family that the source of the highest precedence names: the analyst, the host or VirusTotal."""
        return first_by_source(self.labels)

    def is_of_file(self, sha256: str | None) -> bool:
        """Whether it is of the file with this SHA-256; of None, which names no file, every analysis is.

        A section keeps ids. One that was forgotten since may have become another sample's.
        """
        return sha256 is None or self.sha256 == sha256.lower()

    def unpack(self) -> tuple[list[str], Counts]:
        """Tokens and counts. Raises StoreError, which names the analysis, when they are damaged."""
        try:
            return unpack(self._packed())
        except DamagedBlobError as error:
            raise self._damaged(error) from error

    def unpack_joined(self) -> tuple[bytes, Counts]:
        """Tokens as UTF-8 with line breaks between them, and counts; faster than :meth:`unpack`. Raises StoreError."""
        try:
            return unpack_joined(self._packed())
        except DamagedBlobError as error:
            raise self._damaged(error) from error

    def _packed(self) -> bytes:
        if self.blob is None:
            raise ValueError("this analysis was read without its behaviour")
        return self.blob

    def _damaged(self, error: DamagedBlobError) -> StoreError:
        return StoreError(
            f"The stored behaviour of analysis {self.analysis} is damaged ({error}): import its report again."
        )


def sample_key(analysis: str, sha256: str | None, sample: str) -> str:
    """What tells the sample of an analysis from others: SHA-256, else URL; without both it is a sample of its own."""
    return sha256 or sample or f"run:{analysis}"


def seen_at(stored: StoredAnalysis) -> str:
    """When an analysis was made, in UTC; when it was stored, if its host did not say.

    A time without a zone is taken as UTC.
    """
    try:
        return utc_text(datetime.fromisoformat(stored.analysed_at)) if stored.analysed_at else stored.stored_at
    except (ValueError, OverflowError):
        return stored.stored_at
