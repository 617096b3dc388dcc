"""The calibrated scores of the fitted analyses themselves, each as if it had not been there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.anomaly import CANDIDATES, AnomalyDetector, explained_distances, unusualness
from cuckoo_ml_plugin.neighbour_graph import nearest_of_all


def score_fitted(detector: AnomalyDetector, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of the fitted analyses that are less unusual than each fitted point, its own analysis left out.

    They are compared with each other, not with ``detector.reference``: the embedding knows them all alike.

    Args:
        vectors: (n, d) unit rows, as fitted.

    Returns:
        (n,) in [0, 1].
    """
    if not len(vectors):
        return np.zeros(0)
    numbers, _ = nearest_of_all(vectors, CANDIDATES + 1)
    explained, weights = np.asarray(detector.explained), np.asarray(detector.multiplicities)
    found = np.array([_left_out(vectors, explained, weights, point, near) for point, near in enumerate(numbers)])
    order = np.argsort(found, kind="stable")
    below = np.concatenate([[0], np.cumsum(weights[order])])
    return np.asarray(below[np.searchsorted(found[order], found)] / max(int(weights.sum()), 1))


def _left_out(
    vectors: NDArray[np.float32],
    explained: NDArray[np.float32],
    multiplicities: NDArray[np.int64],
    point: int,
    nearest: NDArray[np.int64],
) -> float:
    """The unusualness of one analysis of ``point`` among all others; its own repeats are the nearest of them."""
    others = np.concatenate([[point], nearest[nearest != point]])
    weights = multiplicities[others] - (others == point)
    if not weights.sum():
        return 0.0  # a corpus of one: there is nothing to be unlike
    own = float(explained[point])
    distances = explained_distances(vectors[point], own, vectors[others], explained[others])
    return unusualness(own, distances, weights)
