"""Fitting the anomaly detector: the distances that new analyses are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.anomaly import CANDIDATES, DECIMALS, AnomalyDetector, clipped, mean_log_distance
from cuckoo_ml_plugin.settings import SEED

REFERENCE = 10_000
"""Analyses that the score is calibrated on: at 0.95 their rank is off by 0.2 % (one standard error)."""
_BLOCK = 20_000_000
"""Similarities held at once (80 MB)."""


def fit_anomaly(
    vectors: NDArray[np.floating[Any]],
    explained: NDArray[np.floating[Any]],
    multiplicities: NDArray[np.integer[Any]],
    seed: int = SEED,
) -> AnomalyDetector:
    """Fit on n points, each a behaviour that ``multiplicities`` analyses share.

    The embedding was fitted with the reference analyses in it, so it explains them a little better than new ones;
    where analyses are few for the dimensions, that makes the score cautious (fewer alarms than the threshold says).

    Args:
        vectors: (n, d) unit rows.
        explained: (n,) share of each behaviour's length that the embedding explains, in [0, 1].
        multiplicities: (n,) at least 1 each.
    """
    rows = np.asarray(vectors, np.float32)
    weights = np.asarray(multiplicities, np.int64)
    lengths = np.asarray(explained, np.float32)
    of_analysis = np.repeat(np.arange(len(rows)), weights)
    if len(of_analysis) > REFERENCE:
        of_analysis = np.random.default_rng(seed).choice(of_analysis, REFERENCE, replace=False)
    if len(of_analysis) < 2:
        return AnomalyDetector(weights, lengths, np.zeros(0))
    points, back = np.unique(of_analysis, return_inverse=True)
    nearest = _nearest(rows, points)
    found = np.array([_left_out(rows, lengths, weights, p, q) for p, q in zip(points, nearest, strict=True)])
    return AnomalyDetector(weights, lengths, np.sort(np.round(found[back], DECIMALS)))


def _nearest(vectors: NDArray[np.float32], points: NDArray[np.int64]) -> NDArray[np.int64]:
    """(len(points), k) the fitted points nearest to each, itself usually among them, nearest first."""
    k = min(CANDIDATES + 1, len(vectors))
    found = np.empty((len(points), k), np.int64)
    step = max(1, _BLOCK // len(vectors))
    for start in range(0, len(points), step):
        similar = vectors[points[start : start + step]] @ vectors.T
        best = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similar, best, axis=1), axis=1, kind="stable")
        found[start : start + step] = np.take_along_axis(best, order, axis=1)
    return found


def _left_out(
    vectors: NDArray[np.float32],
    explained: NDArray[np.float32],
    multiplicities: NDArray[np.int64],
    point: np.int64,
    nearest: NDArray[np.int64],
) -> float:
    """Mean log distance of one analysis of ``point`` to all others; its own repeats are the nearest of them."""
    others = np.concatenate([[point], nearest[nearest != point]])
    weights = multiplicities[others]
    weights[0] -= 1
    scaled = vectors[others].astype(np.float64) * explained[others, None]
    distances = np.sqrt(((scaled - scaled[0]) ** 2).sum(axis=1))
    return mean_log_distance(distances, clipped(weights, CANDIDATES))


def score_fitted(detector: AnomalyDetector, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The calibrated score of each fitted point (n,), its own analysis left out; ``vectors`` (n, d) as fitted."""
    rows = np.asarray(vectors, np.float32)
    if not len(detector.reference):
        return np.full(len(rows), 0.5)
    nearest = _nearest(rows, np.arange(len(rows)))
    explained, weights = np.asarray(detector.explained), np.asarray(detector.multiplicities)
    found = [_left_out(rows, explained, weights, np.int64(p), near) for p, near in enumerate(nearest)]
    return np.searchsorted(detector.reference, np.round(found, DECIMALS)) / len(detector.reference)
