"""How unusual an analysis is: a calibrated anomaly score, computed with NumPy alone.

The unusualness of an analysis is the mean logarithm of its distances to the ten nearest fitted analyses (a variant of
k-nearest-neighbour outlier scores, Ramaswamy et al., SIGMOD 2000; with the logarithm, one near neighbour weighs more
than the ninth far one). Distances are measured in the space that the embedding explains: the unit vector times the
share of the behaviour's length that the embedding explains. Behaviour that no direction explains is therefore no
evidence of similarity, and it counts a little on its own.

The anomaly score is the rank of the unusualness: the share of the fitted corpus that is less unusual. The fit
(``fit/anomaly.py``) computes the unusualness of every reference analysis as if that analysis had not been fitted, so
that new analyses and reference analyses are comparable.
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
"""How many analyses are considered, nearest by their unit vectors; repeats count."""
NEIGHBOURS = 10
"""How many of the candidates decide, nearest in the explained space; repeats count."""
SOFTENING = 0.05
"""Added to a distance before its logarithm, which keeps that of a repeat (distance 0) finite."""
UNEXPLAINED = 0.5
"""Weight of the length that no direction explains, relative to the mean logarithm."""
DECIMALS = 6
"""Unusualness is rounded for comparison: equal behaviours must tie, in whatever order a sum was computed."""


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
    """The detector of n fitted points; identical behaviours are one point.

    Attributes:
        multiplicities: (n,) analyses that each point stands for.
        explained: (n,) share of each point's length that the embedding explains, in [0, 1].
        reference: (r,) unusualness of analyses that were held back from an embedding, ascending; empty where the corpus
            is too small.
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
        """Score one analysis that was not fitted.

        The score is 0 for an analysis without tokens, 1 for one whose tokens are all unknown, and 0.5 where the corpus
        is too small to say what is usual.

        Args:
            vector: (d,) its unit vector.
            explained: length of the projection of its weighted behaviour, divided by its whole length, in [0, 1].
            known: how many of its tokens occur in the fitted corpus.
            tokens: how many tokens it has, known or not.
            neighbours: (k,) indices of the fitted points nearest to ``vector``, nearest first; k >= 20 where
                there are so many.
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
        own = unusualness(explained, distances, self.multiplicities[neighbours])
        less_unusual = np.searchsorted(self.reference, own)
        return AnomalyScore(float(less_unusual) / len(self.reference), unseen)


def clipped(weights: Integers, total: int) -> NDArray[np.int64]:
    """The weights (k,), nearest first, cut off where they add up to ``total``."""
    sums = np.minimum(np.cumsum(weights, dtype=np.int64), total)
    sums[1:] -= sums[:-1].copy()
    return sums


def explained_distances(vector: Floats, explained: float, others: Floats, shares: Floats) -> NDArray[np.float64]:
    """Distances (k,) from a unit vector (d,) to others (k, d), each scaled by its explained share."""
    differences = np.asarray(others, np.float64) * np.asarray(shares, np.float64)[:, None]
    differences -= np.asarray(vector, np.float64) * explained
    return np.asarray(np.sqrt((differences * differences).sum(axis=1)))


def unusualness(explained: float, distances: Floats, weights: Integers) -> float:
    """The mean logarithm of the ``NEIGHBOURS`` smallest distances plus the unexplained length, rounded for comparison.

    Args:
        explained: share of the behaviour's length that the embedding explains.
        distances: (k,) to the fitted points, in the order of their unit vectors, nearest first.
        weights: (k,) analyses that each point stands for.
    """
    order = np.argsort(distances, kind="stable")
    counted = clipped(clipped(weights, CANDIDATES)[order], NEIGHBOURS)
    logarithm = float(np.log(distances[order] + SOFTENING) @ counted / counted.sum())
    return round(logarithm + UNEXPLAINED * math.sqrt(max(1.0 - explained * explained, 0.0)), DECIMALS)
