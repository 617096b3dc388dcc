"""How unusual an analysis is: a calibrated anomaly score, computed with NumPy alone.

Two questions are asked about an analysis and the fitted analyses nearest to it:

* *distance*: how far are they? The mean logarithm of the distances to the ten nearest in the space that the embedding
  explains (the unit vector times the share of the behaviour's length that it explains, so that what no component knows
  counts as no evidence). The logarithm is the local intrinsic-dimension view of k-nearest-neighbour distance
  (Ramaswamy et al., SIGMOD 2000): one near neighbour weighs more than the ninth far one.
* *missing*: how much of what they do in common does this one not do? A naive Bayes estimate over the same neighbours.

Each answer becomes its rank among the fitted analyses, the two ranks are averaged, and the average becomes its own
rank: the share of the fitted corpus that is less unusual. Fitting (``anomaly_fit.py``) scores every reference analysis
as if it had not been there, so that a new analysis is compared with like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

CANDIDATES = 20
"""Nearest analyses looked at, by the distance of their unit vectors (with multiplicity)."""
NEIGHBOURS = 10
"""Of these, how many decide (with multiplicity)."""
SOFTENING = 0.05
"""Added to a distance before its logarithm: repeats at distance 0 are as near as near gets."""
PRIOR = 2.0
"""Weight, in neighbours, of the corpus in the estimate of what neighbours do."""
MISSING_PRIOR = 5.0
"""Added to the expected behaviour, so that a few missing tokens of a small behaviour say little."""
SMOOTHING = 0.1
"""Added to the number of analyses that show a token."""
DECIMALS = 6
"""Scores are compared rounded: equal behaviours must tie, whatever the order of a sum was."""


@dataclass(frozen=True, slots=True)
class AnomalyScore:
    """The anomaly score of one analysis, and what explains it. All values are finite.

    Attributes:
        score: share of the fitted corpus that is strictly less unusual, in [0, 1].
        distance: distance to the nearest fitted analysis, in the explained space.
        distance_rank: share of the corpus whose neighbours are nearer, in [0, 1] (ties count half).
        missing: share of its neighbours' common behaviour that it does not show, in [0, 1].
        missing_rank: share of the corpus that misses less, in [0, 1] (ties count half).
        unseen: share of its tokens that no fitted analysis has, in [0, 1].
    """

    score: float
    distance: float
    distance_rank: float
    missing: float
    missing_rank: float
    unseen: float


@dataclass(frozen=True, slots=True)
class AnomalyDetector:
    """What fitting leaves behind; n fitted points (identical behaviours are one), v tokens, c of them common.

    Attributes:
        multiplicities: (n,) analyses that each point stands for.
        explained: (n,) share of each point's length that the embedding explains, in [0, 1].
        column_map: (v,) position of a token among the common ones, -1 when it is not one of them.
        frequencies: (c,) analyses that show each common token.
        row_starts, row_columns: the points' common tokens, as in a CSR matrix ((n + 1,) and (entries,)).
        reference_distance, reference_missing, reference_score: ascending, leave-one-out, one per reference analysis.
        analyses: all that the points stand for.
        background: see ``background_of``.
    """

    multiplicities: NDArray[np.int64]
    explained: NDArray[np.float32]
    column_map: NDArray[np.int32]
    frequencies: NDArray[np.int64]
    row_starts: NDArray[np.int64]
    row_columns: NDArray[np.int32]
    reference_distance: NDArray[np.float64]
    reference_missing: NDArray[np.float64]
    reference_score: NDArray[np.float64]
    analyses: int
    background: float

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> AnomalyDetector:
        """The detector that ``arrays`` was taken from (memory-mapped arrays stay mapped).

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not belong together.
        """
        fields = {name: arrays[name] for name in _ARRAYS}
        n, starts = len(fields["multiplicities"]), fields["row_starts"]
        if len(fields["explained"]) != n or len(starts) != n + 1 or int(starts[-1]) != len(fields["row_columns"]):
            raise ValueError("The anomaly arrays of the model do not belong together; run cuckoo-ml refit.")
        analyses = int(fields["multiplicities"].sum())
        return cls(**fields, analyses=analyses, background=background_of(fields["frequencies"], analyses))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that ``from_arrays`` needs, by name."""
        return {name: getattr(self, name) for name in _ARRAYS}

    def score(
        self,
        vector: Floats,
        explained: float,
        columns: Integers,
        tokens: int,
        neighbours: Integers,
        neighbour_vectors: Floats,
    ) -> AnomalyScore:
        """Score one analysis that is not among the fitted.

        Args:
            vector: (d,) its unit vector.
            explained: length of its weighted behaviour that the embedding explains, over its whole length.
            columns: the columns of those of its tokens that the model knows.
            tokens: how many tokens it has, known or not.
            neighbours: (k,) indices of the fitted points nearest to ``vector``, nearest first; k >= 20 when there are.
            neighbour_vectors: (k, d) their unit vectors.
        """
        unseen = float(min(max(1.0 - len(columns) / tokens, 0.0), 1.0)) if tokens else 0.0
        if not tokens or not len(neighbours):
            return AnomalyScore(0.0, 0.0, 0.0, 0.0, 0.0, unseen)
        weights = clipped(self.multiplicities[neighbours], CANDIDATES)
        own = np.asarray(vector, np.float64) * explained
        others = np.asarray(neighbour_vectors, np.float64) * self.explained[neighbours, None]
        distances = np.sqrt(((others - own) ** 2).sum(axis=1))
        mean_log = mean_log_distance(distances, weights)
        missing = self._missing(columns, neighbours, clipped(weights, NEIGHBOURS))
        distance_rank = _middle_rank(self.reference_distance, mean_log)
        missing_rank = _middle_rank(self.reference_missing, missing)
        score = _strict_rank(self.reference_score, (distance_rank + missing_rank) / 2)
        if not len(columns):  # nothing that it does was ever seen: there is no evidence that it is like anything
            score = 1.0
        nearest = float(distances[weights > 0].min())
        return AnomalyScore(score, nearest, distance_rank, missing, missing_rank, unseen)

    def _missing(self, columns: Integers, neighbours: Integers, weights: NDArray[np.int64]) -> float:
        rows = [
            (int(self.row_starts[i]), int(self.row_starts[i + 1]), int(w))
            for i, w in zip(neighbours, weights, strict=True) if w
        ]
        counts = np.zeros(len(self.frequencies), np.uint8)  # <= NEIGHBOURS, as weights are clipped
        for start, stop, weight in rows:
            counts[self.row_columns[start:stop]] += np.uint8(weight)
        common = self.column_map[columns]
        common = common[common >= 0]
        total = float(weights.sum())
        base = PRIOR / (total + PRIOR) / (self.analyses + 1)  # what each analysis adds to the estimate of its tokens
        seen = np.flatnonzero(counts)
        expected = base * base * self.background + _excess(counts[seen], self.frequencies[seen], base, total)
        shown = (counts[common] / (total + PRIOR) + base * (self.frequencies[common] + SMOOTHING)) ** 2
        return share_missing(expected, float(shown.sum()))


_ARRAYS = (
    "multiplicities", "explained", "column_map", "frequencies", "row_starts", "row_columns",
    "reference_distance", "reference_missing", "reference_score",
)  # fmt: skip


def background_of(frequencies: Integers, analyses: int) -> float:
    """Sum of the squared (smoothed) frequencies: what is expected of an analysis without neighbours."""
    return float(((frequencies.astype(np.float64) + SMOOTHING) ** 2).sum()) if analyses else 0.0


def share_missing(expected: float, shown: float) -> float:
    """Share of the expected behaviour that is not shown, in [0, 1)."""
    return min(max((expected - shown) / (expected + MISSING_PRIOR), 0.0), 1.0)


def clipped(weights: Integers, total: int) -> NDArray[np.int64]:
    """The weights (k,), nearest first, cut off where they add up to ``total``."""
    sums = np.minimum(np.cumsum(weights, dtype=np.int64), total)
    return np.diff(sums, prepend=0)


def mean_log_distance(distances: Floats, weights: NDArray[np.int64]) -> float:
    """Mean logarithm of the ``NEIGHBOURS`` smallest distances (k,), each counted ``weights`` (k,) times."""
    order = np.argsort(distances, kind="stable")
    weights = clipped(weights[order], NEIGHBOURS)
    return float(np.average(np.log(distances[order] + SOFTENING), weights=weights))


def _excess(counts: NDArray[np.uint8], frequencies: Integers, base: float, total: float) -> float:
    ground = base * (frequencies + SMOOTHING)
    return float(((counts / (total + PRIOR) + ground) ** 2 - ground**2).sum())


def _strict_rank(reference: Floats, value: float) -> float:
    """Share of ``reference`` (ascending, rounded) below ``value``; 0.5 when there is no reference to tell."""
    return float(np.searchsorted(reference, round(value, DECIMALS))) / len(reference) if len(reference) else 0.5


def _middle_rank(reference: Floats, value: float) -> float:
    """Share of ``reference`` below ``value``, ties counting half."""
    if not len(reference):
        return 0.5
    value = round(value, DECIMALS)
    ranks = np.searchsorted(reference, value) + np.searchsorted(reference, value, "right")
    return float(ranks) / 2 / len(reference)
