"""The calibrated anomaly scores of the fitted analyses, each computed as if its own analysis had not been fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.greatest_likeness import WeightedTokens
from cuckoo_ml_plugin.fit.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.model.anomaly import NEIGHBOURS, unusualness


def score_fitted(
    placed: NDArray[np.float32], weighted: WeightedTokens, multiplicities: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The share of the fitted analyses that are less unusual than each fitted point, its own analysis left out.

    The points are compared with each other, not with the reference: the embedding was fitted on all of them.

    Args:
        placed: (n, d + 1) where each point lies.
        weighted: the tokens of the points.
        multiplicities: (n,) analyses that each point stands for.

    Returns:
        (n,) in [0, 1].
    """
    values = left_out_unusualness(placed, weighted, multiplicities)
    order = np.argsort(values, kind="stable")
    below = np.concatenate([[0], np.cumsum(multiplicities[order])])
    return np.asarray(below[np.searchsorted(values[order], values)] / max(int(multiplicities.sum()), 1))


def left_out_unusualness(
    placed: NDArray[np.float32], weighted: WeightedTokens, multiplicities: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The unusualness (n,) of one analysis of each fitted point among all others; arguments as ``score_fitted``."""
    numbers, distances = nearest_of_all(placed, NEIGHBOURS + 1)
    points = np.arange(len(placed))
    others, far = without_own(numbers, distances, points, multiplicities)
    counts = np.where(others == points[:, None], multiplicities[:, None] - 1, multiplicities[np.maximum(others, 0)])
    counts[others < 0] = 0
    return unusualness(far, counts, weighted.greatest(weighted.tokens, others))


def without_own(
    numbers: NDArray[np.int64],
    distances: NDArray[np.float64],
    points: NDArray[np.int64],
    multiplicities: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The neighbours of one analysis of each point among the other analyses, with their distances, both (m, k).

    A point with other analyses stays its own neighbour, the nearest; one without is left out. Places that are left
    over hold -1 and 0.

    Args:
        numbers, distances: (m, k + 1) of the nearest points, nearest first.
        points: (m,) the analyses' own points.
    """
    k = min(NEIGHBOURS, numbers.shape[1])
    own = numbers == points[:, None]
    repeated = multiplicities[points] > 1
    ranks = np.where(own, np.where(repeated, -1, numbers.shape[1])[:, None], np.arange(numbers.shape[1])[None])
    order = np.argsort(ranks, axis=1, kind="stable")[:, :k]
    others = np.take_along_axis(numbers, order, axis=1)
    far = np.take_along_axis(distances, order, axis=1)
    absent = (others == points[:, None]) & ~repeated[:, None]
    far = np.where(others == points[:, None], 0.0, far)
    # Among many points of one place the own one may not be listed.
    first = repeated & ~own.any(axis=1)
    others[first] = np.hstack([points[first, None], others[first, :-1]])
    far[first] = np.hstack([np.zeros((int(first.sum()), 1)), far[first, :-1]])
    others[absent] = -1
    return others, far
