"""What the store knows of other analyses of a file and of a behaviour, and the verdict that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from cuckoo_ml_plugin.behaviour.absence import reason_for_absence
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.finding.reasons import NOVEL
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.finding.verdict import MOST_RUNS, Past, PastAnalysis, verdict_of
from cuckoo_ml_plugin.plumbing.times import day_of
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.store import Store

_MOST_HIDDEN: Final = 1000  # runs among which those are looked for that a reader may see

Shown = Callable[[Iterable[StoredAnalysis]], Collection[str]]
"""The ids, of the given analyses, of which the verdict may tell."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The analysis that a verdict is about: its id, "" where it is not stored, its behaviour, file and day."""

    analysis: str
    behaviour: Behaviour
    sha256: str | None = None
    day: str = ""

    @classmethod
    def of(cls, stored: StoredAnalysis, behaviour: Behaviour) -> Subject:
        """A stored analysis."""
        return cls(stored.analysis, behaviour, stored.sha256, day_of(stored.analysed_at))


def past_of(store: Store | None, finding: Finding, subject: Subject, shown: Shown | None = None) -> Past:
    """What is known of other analyses than the subject; without a store, by the section's similar analyses alone.

    Args:
        finding: its similar analyses are those that may be shown.
        shown: what else may be told of; None for everything.

    Raises:
        StoreError: the store cannot be read.
    """
    behaviour = subject.behaviour
    alike = {
        similar.analysis: PastAnalysis(similar.analysis, similar.sha256, same_behaviour=True)
        for similar in finding.similar
        if similar.similarity >= 1
    }
    runs: dict[str, PastAnalysis] = {}
    known: int | None = None
    nearest: PastAnalysis | None = None
    if store is not None:
        limit = (MOST_RUNS if shown is None else _MOST_HIDDEN) + 1  # itself is among them
        same_file = _others(store, subject, limit, sha256=subject.sha256) if subject.sha256 else []
        same_behaviour = _others(store, subject, limit, digest=behaviour.digest) if behaviour.has_behaviour else []
        listed = list(store.get_many([*alike, *(similar.analysis for similar in finding.similar[:1])]).values())
        found = {stored.analysis: stored for stored in (*same_file, *same_behaviour, *listed)}
        visible = set(found if shown is None else shown(found.values()))
        for stored in found.values():
            if stored.analysis in visible:
                is_alike = stored.digest == behaviour.digest and behaviour.has_behaviour
                past = PastAnalysis(
                    stored.analysis, stored.sha256, day_of(stored.analysed_at), is_alike or stored.analysis in alike
                )
                if past.same_behaviour:
                    alike[past.analysis] = past
                if subject.sha256 and stored.sha256 == subject.sha256:
                    runs[past.analysis] = past
                if finding.similar and past.analysis == finding.similar[0].analysis:
                    nearest = past
        if shown is None and finding.cluster is None and finding.anomaly is None:
            known = max(store.count(with_behaviour=True) - bool(subject.analysis and behaviour.has_behaviour), 0)
    if subject.sha256:
        runs |= {past.analysis: past for past in alike.values() if past.sha256 == subject.sha256}
    return Past(
        runs=list(runs.values()),
        repeats=[past for past in alike.values() if past.analysis not in runs],
        nearest=nearest,
        known=known,
        day=subject.day,
        has_file=subject.sha256 is not None,
        absence="" if behaviour.has_behaviour else reason_for_absence(behaviour),
        is_static=behaviour.is_static,
        is_partial=shown is not None,
    )


def _others(store: Store, subject: Subject, limit: int, **same: str | None) -> list[StoredAnalysis]:
    """Those before the subject; where there are none, those after it."""
    for later in (False, True)[: 2 if subject.day else 1]:
        stored = store.around(subject.day, limit, later=later, **same)
        if others := [known for known in stored if known.analysis != subject.analysis]:
            return others
    return []


def put_verdict(finding: Finding, past: Past) -> None:
    """Give a finding its verdict. A repeat is not anomalous, and nothing about it is novel, whatever its score."""
    if finding.anomaly is not None and past.is_repeat:
        finding.anomaly.anomalous = False
        finding.anomaly.reasons = [reason for reason in finding.anomaly.reasons if reason.kind != NOVEL]
    finding.verdict = verdict_of(finding, past)
