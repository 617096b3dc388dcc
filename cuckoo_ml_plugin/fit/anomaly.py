"""The calibrated anomaly scores of the fitted analyses, each computed as if the model had not been fitted on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.model.anomaly import CANDIDATES, AnomalyDetector, explained_distances, unusualness


def score_fitted(detector: AnomalyDetector, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of the fitted analyses that are less unusual than each fitted point, its own analysis left out.

    The points are compared with each other, not with ``detector.reference``: the embedding was fitted on all of them.

    Args:
        vectors: (n, d) unit rows, as fitted.

    Returns:
        (n,) in [0, 1].
    """
    weights = np.asarray(detector.multiplicities)
    values = left_out_unusualness(vectors, np.asarray(detector.explained), weights)
    order = np.argsort(values, kind="stable")
    below = np.concatenate([[0], np.cumsum(weights[order])])
    return np.asarray(below[np.searchsorted(values[order], values)] / max(int(weights.sum()), 1))


def left_out_unusualness(
    vectors: NDArray[np.float32], explained: NDArray[np.float32], multiplicities: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The unusualness (n,) of one analysis of each fitted point among all others."""
    numbers, _ = nearest_of_all(vectors, CANDIDATES + 1)
    values = [
        _left_out_unusualness(vectors, explained, multiplicities, point, nearest)
        for point, nearest in enumerate(numbers)
    ]
    return np.array(values, np.float64)


def _left_out_unusualness(
    vectors: NDArray[np.float32],
    explained: NDArray[np.float32],
    multiplicities: NDArray[np.int64],
    point: int,
    nearest: NDArray[np.int64],
) -> float:
    """The unusualness of one analysis of ``point`` among all others, of which its repeats are the nearest."""
    others = np.concatenate([[point], nearest[nearest != point]])
    weights = multiplicities[others] - (others == point)
    if not weights.sum():
        return 0.0  # a corpus of one analysis has nothing to compare with
    own = float(explained[point])
    distances = explained_distances(vectors[point], own, vectors[others], explained[others])
    return unusualness(own, distances, weights)
