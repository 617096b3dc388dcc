"""The unusualness in a model from before 0.3.0, whose reference was measured by it.

It is the mean logarithm of the distances to the ten nearest analyses, in the space that the embedding explains, plus
half the length that no direction explains. The ten are chosen from the twenty whose unit vectors are nearest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

CANDIDATES = 20
NEIGHBOURS = 10
SOFTENING = 0.05
UNEXPLAINED = 0.5
DECIMALS = 6


def older_unusualness(
    vector: Floats, explained: float, others: Floats, shares: Floats, weights: NDArray[np.integer[Any]]
) -> float:
    """The unusualness of one analysis, rounded for comparison.

    Args:
        vector: (d,) its unit vector.
        explained: share of its length that the embedding explains.
        others: (k, d) unit vectors of the fitted points, nearest first.
        shares: (k,) share of each one's length that the embedding explains.
        weights: (k,) analyses that each stands for.
    """
    differences = np.asarray(others, np.float64) * np.asarray(shares, np.float64)[:, None]
    differences -= np.asarray(vector, np.float64) * explained
    distances = np.sqrt((differences * differences).sum(axis=1))
    order = np.argsort(distances, kind="stable")
    counted = _clipped(_clipped(weights, CANDIDATES)[order], NEIGHBOURS)
    logarithm = float(np.log(distances[order] + SOFTENING) @ counted / counted.sum())
    return round(logarithm + UNEXPLAINED * math.sqrt(max(1.0 - explained * explained, 0.0)), DECIMALS)


def _clipped(weights: NDArray[np.integer[Any]], total: int) -> NDArray[np.int64]:
    """The weights (k,), nearest first, cut off where they add up to ``total``."""
    sums = np.minimum(np.cumsum(weights, dtype=np.int64), total)
    sums[1:] -= sums[:-1].copy()
    return sums
