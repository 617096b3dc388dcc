"""The model of a day: its anomaly scores follow a drift of what is known (``model/drift.py``).

The reference of a day rests on the analyses of earlier days, each sample once, without groups in the making: what comes
in groups is news, and no sign that the known has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.model.drift import (
    PLACED,
    RECENT,
    has_drifted,
    recent_reference,
    typical_unusualness,
    unusualness_at,
    with_reference,
)
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.sources import source_of
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.settings import ScoringSettings
from cuckoo_ml_plugin.store.between_refits.recent import RecentAnalysis
from cuckoo_ml_plugin.store.store import Store

_MOST_READ: Final = 2_000  # recent analyses, repeats of samples included
_MAX_SAMPLE: Final = 4096  # characters
_SCORE_ALONE: Final = ScoringSettings(similar=0, evidence=0)


class Recalibration:
    """A model, and what it is on the latest day for which it was asked."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.latest = model
        self._day = ""
        self._found: tuple[str, NDArray[np.float64]] | None = None  # a day, and its reference that is not kept
        self._typical: dict[str, float] | None = None

    def of_day(self, store: Store, day: str, *, keep: bool = False) -> Model:
        """The model of a day (``2026-11-23``). Raises StoreError.

        ``keep``: whether to keep the day's reference for all processes, which those of a host do. Others write nothing.
        """
        if day != self._day:
            fit = str(self.model.facts["fitted_at"])
            reference = store.reference_of_day(fit, day)
            is_kept = keep or reference is not None
            if reference is None:
                reference = self._reference(store, fit, day)
                if keep:
                    reference = store.keep_reference(fit, day, reference)
            self.latest = with_reference(self.model, reference) if len(reference) else self.model
            self._day = day if is_kept else ""
        return self.latest

    def _reference(self, store: Store, fit: str, day: str) -> NDArray[np.float64]:
        """The reference (r,) of a day; it rests on earlier days, so that one look at them is enough."""
        if self._found is None or self._found[0] != day:
            recent = list(each_sample_once(store.recent_before(fit, day, _MOST_READ)))
            self._found = day, reference_by(self.model, recent, store.sent_by_submitter)
        return self._found[1]

    def noted(self, finding: Finding, behaviour: Behaviour, analysis: str, sample: str) -> RecentAnalysis | None:
        """How unusual a scored analysis is, to be noted in the store; None where there is nothing to note.

        Raises ModelError.
        """
        if finding.status != "scored" or finding.anomaly is None or not len(self.model.detector.reference):
            return None
        score = finding.anomaly.score
        if self.latest is not self.model:
            plain = self.model.score(behaviour, analysis=analysis, scoring=_SCORE_ALONE)
            if plain.anomaly is None:
                return None
            score = plain.anomaly.score
        cluster = finding.cluster.id if finding.cluster else None
        return noted_of(self.model, self._typical_of_clusters(), analysis, sample, score, cluster)

    def _typical_of_clusters(self) -> dict[str, float]:
        if self._typical is None:
            self._typical = typical_of_clusters(self.model)
        return self._typical


def typical_of_clusters(model: Model) -> dict[str, float]:
    """The median unusualness of each cluster's fitted analyses, by the cluster's id."""
    return {
        cluster.id: float(value) for cluster, value in zip(model.clusters, typical_unusualness(model), strict=False)
    }


def noted_of(
    model: Model, typical: dict[str, float], analysis: str, sample: str, score: float, cluster: str | None
) -> RecentAnalysis:
    """What is noted of an analysis with this anomaly score by the model of the fit, and in this cluster."""
    value = float(unusualness_at(model, np.array([score]))[0])
    excess = round(value - typical[cluster], 6) if cluster in typical else None  # equal ones must compare as equal
    return RecentAnalysis(
        analysis=analysis,
        sample=storable(sample or f"analysis:{analysis}", _MAX_SAMPLE),
        unusualness=value,
        cluster=cluster,
        excess=excess,
    )


def each_sample_once(recent: Iterable[RecentAnalysis]) -> Iterator[RecentAnalysis]:
    """The analyses without those whose sample came before in the list."""
    seen: set[str] = set()
    for analysis in recent:
        if analysis.sample not in seen:
            seen.add(analysis.sample)
            yield analysis


def reference_by(
    model: Model, recent: list[RecentAnalysis], sent: Callable[[], Mapping[str, int]] = dict
) -> NDArray[np.float64]:
    """The reference (r,) that recent analyses give, the newest first; empty where the fit's own holds.

    A drift must also show without the source that sent most of what is more unusual than before.

    Args:
        sent: says how many of all stored analyses each submitter sent; asked only where there is a drift, as it counts
            the whole store.
    """
    placed = [r for r in recent if r.cluster is not None and r.excess is not None][:PLACED]
    if not has_drifted(_excesses(placed)):
        return np.zeros(0)
    sent_by = sent()
    sources = [source_of(r.submitter, r.day, sent_by) for r in placed]
    stranger = Counter(source for r, source in zip(placed, sources, strict=True) if r.excess and r.excess > 0)
    del stranger["", ""]  # of what has neither submitter nor day, each file stands for itself
    strongest = max(stranger, key=lambda source: (stranger[source], source), default=None)
    elsewhere = [r for r, source in zip(placed, sources, strict=True) if source != strongest]
    if not has_drifted(_excesses(elsewhere)):
        return np.zeros(0)
    return recent_reference(model, [r.unusualness for r in recent[:RECENT]])


def _excesses(placed: Iterable[RecentAnalysis]) -> list[tuple[str, float]]:
    return [(r.cluster, r.excess) for r in placed if r.cluster is not None and r.excess is not None]
