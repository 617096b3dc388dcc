"""How unusual an analysis is: a calibrated anomaly score, computed with NumPy alone.

How far are the fitted analyses nearest to it? The answer is the mean logarithm of the distances to the ten nearest (of
k-nearest-neighbour outlier scores, Ramaswamy et al., SIGMOD 2000; the logarithm lets one near neighbour weigh more than
the ninth far one) in the space that the embedding explains: the unit vector times the share of the behaviour's length
that it explains, so that what no component knows counts as no evidence of likeness; and what is not explained counts
on its own a little.

The score is that answer's rank: the share of the fitted corpus that is less unusual. Fitting (``anomaly_fit.py``)
answers for every reference analysis as if it had not been there, so that a new analysis is compared with like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

CANDIDATES = 20
"""Nearest analyses looked at, by the distance of their unit vectors (with multiplicity)."""
NEIGHBOURS = 10
"""Of these, how many decide, by distance in the explained space (with multiplicity)."""
SOFTENING = 0.05
"""Added to a distance before its logarithm: repeats at distance 0 are as near as near gets."""
UNEXPLAINED = 0.5
"""Weight of the length that no direction explains, beside the logarithm of the distances."""
DECIMALS = 6
"""Answers are compared rounded: equal behaviours must tie, whatever the order of a sum was."""


@dataclass(frozen=True, slots=True)
class AnomalyScore:
    """The anomaly score of one analysis, and what explains it. All values are finite.

    Attributes:
        score: share of the fitted corpus that is strictly less unusual, in [0, 1].
        unseen: share of its tokens that no fitted analysis has, in [0, 1].
    """

    score: float
    unseen: float


@dataclass(frozen=True, slots=True)
class AnomalyDetector(ModelPart):
    """What fitting leaves behind for n fitted points (identical behaviours are one point).

    Attributes:
        multiplicities: (n,) analyses that each point stands for.
        explained: (n,) share of each point's length that the embedding explains, in [0, 1].
        reference: unusualness of analyses held back from an embedding, ascending; empty for a corpus too small.
    """

    multiplicities: Annotated[NDArray[np.int64], Shape("n")]
    explained: Annotated[NDArray[np.float32], Shape("n")]
    reference: Annotated[NDArray[np.float64], Shape("r")]

    def score(
        self,
        vector: Floats,
        explained: float,
        known: int,
        tokens: int,
        neighbours: Integers,
        neighbour_vectors: Floats,
    ) -> AnomalyScore:
        """Score one analysis that is not among the fitted.

        An analysis without any token is not unusual (score 0); one whose tokens are all unknown is as unusual as can be
        (score 1). A corpus of one analysis cannot tell what is usual (score 0.5).

        Args:
            vector: (d,) its unit vector.
            explained: length of the projection of its weighted behaviour, over its whole length, in [0, 1].
            known: how many of its tokens the fitted corpus has.
            tokens: how many tokens it has, known or not.
            neighbours: (k,) indices of the fitted points nearest to ``vector``, nearest first; k >= 20 when there are.
            neighbour_vectors: (k, d) their unit vectors.
        """
        unseen = min(max(1.0 - known / tokens, 0.0), 1.0) if tokens else 0.0
        if not tokens or not len(neighbours):
            return AnomalyScore(0.0, unseen)
        if not known:
            return AnomalyScore(1.0, unseen)
        if not len(self.reference):
            return AnomalyScore(0.5, unseen)
        distances = explained_distances(vector, explained, neighbour_vectors, self.explained[neighbours])
        answer = unusualness(explained, distances, self.multiplicities[neighbours])
        below = np.searchsorted(self.reference, answer)
        return AnomalyScore(float(below) / len(self.reference), unseen)


def clipped(weights: Integers, total: int) -> NDArray[np.int64]:
    """The weights (k,), nearest first, cut off where they add up to ``total``."""
    sums = np.minimum(np.cumsum(weights, dtype=np.int64), total)
    sums[1:] -= sums[:-1].copy()
    return sums


def explained_distances(vector: Floats, explained: float, others: Floats, shares: Floats) -> NDArray[np.float64]:
    """Distances (k,) of a unit vector (d,) to others (k, d), each as long as the share of it that is explained."""
    away = np.asarray(others, np.float64) * np.asarray(shares, np.float64)[:, None]
    away -= np.asarray(vector, np.float64) * explained
    return np.asarray(np.sqrt((away * away).sum(axis=1)))


def unusualness(explained: float, distances: Floats, weights: Integers) -> float:
    """The mean logarithm of the ``NEIGHBOURS`` smallest distances, and what is not explained; rounded for comparison.

    Args:
        explained: share of the behaviour's length that the embedding explains.
        distances: (k,) to the nearest by unit vector, nearest first; ``weights``: (k,) analyses behind each.
    """
    order = np.argsort(distances, kind="stable")
    counted = clipped(clipped(weights, CANDIDATES)[order], NEIGHBOURS)
    logarithm = float(np.log(distances[order] + SOFTENING) @ counted / counted.sum())
    return round(logarithm + UNEXPLAINED * math.sqrt(max(1.0 - explained * explained, 0.0)), DECIMALS)
