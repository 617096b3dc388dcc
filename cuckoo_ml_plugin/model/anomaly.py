"""How unusual an analysis is: a calibrated anomaly score, computed with NumPy alone.

Two things tell how unusual an analysis is. One is how far it lies from the nearest fitted analyses in the space of the
embedding; there, behaviour that hardly anything else shows has little weight. The other is the likeness to the most
alike of them (``behaviour/likeness.py``), over the tokens that the embedding knows and gives weight; there, every token
counts. The unusualness is

    mean of ln(distance + 0.05) over the 20 nearest analyses + 0.5 * ln(1.2 - greatest likeness)

(a variant of k-nearest-neighbour outlier scores, Ramaswamy et al., SIGMOD 2000; with the logarithm, one near neighbour
weighs more than the twentieth far one). docs/benchmarks.md says what its form was chosen by.

What a single small source sent (``plumbing/sources.py``) makes nothing usual. Where the most alike of the nearest
analyses is known from one such source alone, the analyses of this source count neither for the distances nor for the
likeness.

For a distance, an analysis is a point on the sphere in d + 1 dimensions: its unit vector times the share of the
behaviour's length that the embedding explains, and the length that is left over. Behaviour that no direction explains
is therefore no evidence of similarity.

The anomaly score is the rank of the unusualness: the share of the fitted corpus that is less unusual. The fit
(``fit/calibration.py``) computes the unusualness of every reference analysis as if that analysis had not been fitted,
so that new analyses and reference analyses are comparable. A model from before 0.3.0 keeps the measure to
which its reference belongs (``_older_unusualness``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.kinds import ASPECTS
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

NEIGHBOURS = 20
"""How many of the nearest fitted points are considered, and the most analyses that they count as."""
SOFTENING = 0.05
"""Added to a distance before its logarithm, which keeps that of a repeat (distance 0) finite."""
LIKENESS_WEIGHT = 0.5
"""Weight of the logarithm that holds the likeness, relative to the mean logarithm of the distances."""
LIKENESS_SOFTENING = 0.2
"""Added to 1 - likeness before its logarithm; the smaller it is, the more a likeness near 1 counts."""
DECIMALS = 6
"""Unusualness is rounded for comparison: equal behaviours must tie, in whatever order a sum was computed."""
LEAST_REFERENCE = 20
"""The fewest reference analyses from which an anomaly score is made: with fewer, each would stand for over 5 %."""
SAME_PLACE = 1e-5
"""Distance up to which two analyses are at one place: single precision and the order of sums allow for no less."""


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
        multiplicities: (n,) voices that each point stands for; in a model from before 0.3.0, analyses.
        explained: (n,) share of each point's length that the embedding explains, in [0, 1].
        reference: (r,) unusualness of fitted analyses as if they had not been fitted, ascending; empty where the corpus
            is too small.
        sizes: (8 n,) how many tokens with weight each point has in each aspect; empty in a model from before 0.3.0.
        sources: (n,) the small source from which alone each point is known, -1 where there is none
            (``Voices.only``); empty in a model from before 0.3.0.
    """

    multiplicities: Annotated[NDArray[np.int64], Shape("n")]
    explained: Annotated[NDArray[np.float32], Shape("n")]
    reference: Annotated[NDArray[np.float64], Shape("r")]
    sizes: Annotated[NDArray[np.int32], Shape("s", since="0.3.0")]
    sources: Annotated[NDArray[np.int64], Shape("o", since="0.3.0")]

    @property
    def uses_likeness(self) -> bool:
        """Whether the likeness enters the unusualness; it does not in a model from before 0.3.0."""
        return len(self.multiplicities) > 0 and len(self.sizes) == len(ASPECTS) * len(self.multiplicities)

    @property
    def is_calibrated(self) -> bool:
        """Whether the reference holds enough analyses to say what is usual."""
        return len(self.reference) >= LEAST_REFERENCE

    def sizes_of(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many tokens with weight each of k points has in each of 8 aspects, shape (k, 8)."""
        return self.sizes.reshape(-1, len(ASPECTS))[points].astype(np.int64)

    def source_of_most_alike(self, neighbours: Integers, likenesses: Floats) -> int:
        """The small source from which alone the most alike of these points (k,) is known; -1 where there is none."""
        if not len(self.sources) or not len(neighbours):
            return -1
        return int(self.sources[neighbours[int(np.argmax(likenesses))]])

    def score(
        self, distances: Floats, neighbours: Integers, likenesses: Floats, known: int, tokens: int
    ) -> AnomalyScore | None:
        """Score one analysis that was not fitted; None where the corpus is too small to say what is usual.

        The score is 0 for an analysis without tokens, and 1 for one whose tokens are all unknown.

        Args:
            distances: (k,) to the fitted points nearest to it that count, ascending.
            neighbours: (k,) indices of these points; the first ``NEIGHBOURS`` are considered.
            likenesses: (k,) to these points, over the tokens with weight.
            known: how many of its tokens occur in the fitted corpus.
            tokens: how many tokens it has, known or not.
        """
        near = slice(None, NEIGHBOURS)
        weights = self.multiplicities[neighbours[near]][None]
        likeness = np.max(likenesses[near], initial=0.0, keepdims=True)
        own = unusualness(np.asarray(distances)[near][None], weights, likeness) if len(neighbours) else 0.0
        return self._ranked(float(np.asarray(own).item()), known, tokens)

    def older_score(
        self,
        vector: Floats,
        explained: float,
        neighbours: Integers,
        neighbour_vectors: Floats,
        known: int,
        tokens: int,
    ) -> AnomalyScore | None:
        """As :meth:`score`, for a model from before 0.3.0.

        Args:
            vector: (d,) the analysis' unit vector.
            explained: share of its length that the embedding explains, in [0, 1].
            neighbours: (k,) indices of the fitted points whose unit vectors are nearest, nearest first.
            neighbour_vectors: (k, d) these vectors.
        """
        shares, weights = self.explained[neighbours], self.multiplicities[neighbours]
        own = _older_unusualness(vector, explained, neighbour_vectors, shares, weights) if len(neighbours) else 0.0
        return self._ranked(own, known, tokens)

    def _ranked(self, own: float, known: int, tokens: int) -> AnomalyScore | None:
        if not self.is_calibrated:
            return None
        unseen = min(max(1.0 - known / tokens, 0.0), 1.0) if tokens else 0.0
        if not tokens:
            return AnomalyScore(0.0, unseen)
        if not known:
            return AnomalyScore(1.0, unseen)
        return AnomalyScore(float(np.searchsorted(self.reference, own)) / len(self.reference), unseen)


def place(vectors: Floats, explained: Floats) -> NDArray[np.float32]:
    """Where analyses lie for a distance: unit rows (n, d + 1).

    Args:
        vectors: (n, d) unit rows; those of analyses of which nothing is explained may be 0.
        explained: (n,) share of each behaviour's length that the embedding explains, in [0, 1].
    """
    shares = np.asarray(explained, np.float32).astype(np.float64)[:, None]  # the precision in which a model keeps them
    left_over = np.sqrt(np.maximum(1.0 - shares * shares, 0.0))
    return np.hstack([np.asarray(vectors, np.float64) * shares, left_over]).astype(np.float32)


def clipped(weights: Integers, total: int) -> NDArray[np.int64]:
    """The weights (m, k), in each row nearest first, cut off where they add up to ``total``."""
    sums = np.minimum(np.cumsum(weights, axis=1, dtype=np.int64), total)
    sums[:, 1:] -= sums[:, :-1].copy()
    return sums


def of_one_source(sources: Integers, likenesses: Floats, counts: Integers) -> NDArray[np.bool_]:
    """(m, k) True for the neighbours of the small source from which alone the most alike of them is known.

    Args:
        sources: (m, k) of the neighbours, nearest first, as ``AnomalyDetector.sources`` has them.
        likenesses: (m, k) to them.
        counts: (m, k) how many voices each stands for; 0 where there is no neighbour.
    """
    if not sources.shape[1]:
        return np.zeros(sources.shape, np.bool_)
    ranked = np.where(counts > 0, likenesses, -1.0)
    best = np.take_along_axis(sources, np.argmax(ranked, axis=1)[:, None], axis=1)
    return np.asarray((sources == best) & (best >= 0) & (counts > 0))


def unusualness(distances: Floats, weights: Integers, likenesses: Floats) -> NDArray[np.float64]:
    """The unusualness (m,) of m analyses, rounded for comparison; 0 for one that has no neighbour.

    Args:
        distances: (m, k) to the nearest fitted points, nearest first.
        weights: (m, k) voices that each of these points stands for; 0 for one that does not count.
        likenesses: (m,) the greatest likeness to any of these points, in [0, 1].
    """
    counted = clipped(weights, NEIGHBOURS)
    totals = counted.sum(axis=1)
    logarithms = (np.log(np.asarray(distances, np.float64) + SOFTENING) * counted).sum(axis=1)
    means = np.divide(logarithms, totals, out=np.zeros(len(totals)), where=totals > 0)
    values = means + LIKENESS_WEIGHT * np.log(1.0 + LIKENESS_SOFTENING - np.asarray(likenesses, np.float64))
    return np.where(totals > 0, np.round(values, DECIMALS), 0.0)


def _older_unusualness(vector: Floats, explained: float, others: Floats, shares: Floats, weights: Integers) -> float:
    """The unusualness in a model from before 0.3.0.

    It is the mean logarithm of ten distances, in the space that the embedding explains, plus half the length that no
    direction explains. The ten are the nearest of the twenty whose unit vectors are nearest.

    Args:
        vector: (d,) the analysis' unit vector.
        explained: share of its length that the embedding explains.
        others: (k, d) unit vectors of the fitted points, nearest first.
        shares: (k,) share of each one's length that the embedding explains.
        weights: (k,) analyses that each stands for.
    """
    differences = np.asarray(others, np.float64) * np.asarray(shares, np.float64)[:, None]
    differences -= np.asarray(vector, np.float64) * explained
    distances = np.sqrt((differences * differences).sum(axis=1))
    order = np.argsort(distances, kind="stable")
    counted = clipped(clipped(weights[None], 20)[:, order], 10)[0]
    logarithm = float(np.log(distances[order] + SOFTENING) @ counted / counted.sum())
    return round(logarithm + 0.5 * math.sqrt(max(1.0 - explained * explained, 0.0)), DECIMALS)
