"""The calibrated scores of the fitted analyses themselves, each as if it had not been there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.spanning_tree import nearest_of_all
from cuckoo_ml_plugin.model.anomaly import CANDIDATES, AnomalyDetector, explained_distances, unusualness


def score_fitted(detector: AnomalyDetector, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of the fitted analyses that are less unusual than each fitted point, its own analysis left out.

    They are compared with each other, not with ``detector.reference``: the embedding knows them all alike.

    Args:
        vectors: (n, d) unit rows, as fitted.

    Returns:
        (n,) in [0, 1].
    """
    weights = np.asarray(detector.multiplicities)
    found = left_out_unusualness(vectors, np.asarray(detector.explained), weights)
    order = np.argsort(found, kind="stable")
    below = np.concatenate([[0], np.cumsum(weights[order])])
    return np.asarray(below[np.searchsorted(found[order], found)] / max(int(weights.sum()), 1))


def left_out_unusualness(
    vectors: NDArray[np.float32], explained: NDArray[np.float32], multiplicities: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The unusualness (n,) of one analysis of each fitted point among all others."""
    numbers, _ = nearest_of_all(vectors, CANDIDATES + 1)
    found = [_left_out(vectors, explained, multiplicities, point, near) for point, near in enumerate(numbers)]
    return np.array(found, np.float64)


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
