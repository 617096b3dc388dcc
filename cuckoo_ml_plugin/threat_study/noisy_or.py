"""Noisy-or: the probability that at least one of several independent scores is right. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def noisy_or(scores: ArrayLike, axis: int = -1) -> Floats:
    """``1 - prod(1 - p)`` along an axis (Pearl 1988, Probabilistic Reasoning in Intelligent Systems, 4.3.2).

    Args:
        scores: probabilities in [0, 1], any shape; NaN where nothing is said.

    Returns:
        One dimension less. What is NaN has no say; where all is NaN, the result is NaN.
    """
    p = np.asarray(scores, np.float64)
    unsaid = np.isnan(p)
    joined = 1.0 - np.prod(np.where(unsaid, 1.0, 1.0 - p), axis=axis)
    return np.asarray(np.where(unsaid.all(axis=axis), np.nan, joined), np.float64)


def noisy_or_by(groups: Indices, number: int, scores: Floats) -> Floats:
    """Noisy-or of the rows of each group.

    Args:
        groups: (n,) the group of each row, from 0 to ``number`` - 1.
        scores: (n, c) probabilities, NaN where nothing is said.

    Returns:
        (number, c); NaN where no row of a group says anything.
    """
    unsaid = np.isnan(scores)
    remaining = np.ones((number, scores.shape[1]))
    np.multiply.at(remaining, groups, np.where(unsaid, 1.0, 1.0 - scores))
    said = np.zeros(remaining.shape, np.int64)
    np.add.at(said, groups, ~unsaid)
    return np.where(said > 0, 1.0 - remaining, np.nan)
