"""Noisy-or: the probability that at least one of several independent scores is right. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def noisy_or(scores: ArrayLike, axis: int = -1) -> Floats:
    """``1 - prod(1 - p)`` along an axis (Pearl 1988, Probabilistic Reasoning in Intelligent Systems, 4.3.2).

    Args:
        scores: probabilities in [0, 1], any shape; NaN for none.

    Returns:
        An array without this axis. NaN is ignored; if all scores are NaN, so is the result.
    """
    p = np.asarray(scores, np.float64)
    missing = np.isnan(p)
    joined = 1.0 - np.prod(np.where(missing, 1.0, 1.0 - p), axis=axis)
    return np.asarray(np.where(missing.all(axis=axis), np.nan, joined), np.float64)


def noisy_or_by(groups: Indices, number: int, scores: Floats) -> Floats:
    """Noisy-or over the rows of each group.

    Args:
        groups: (n,) the group of each row, from 0 to ``number`` - 1.
        scores: (n, c) probabilities; NaN for none.

    Returns:
        (number, c); NaN where no row of a group has a score.
    """
    missing = np.isnan(scores)
    remaining = np.ones((number, scores.shape[1]))
    np.multiply.at(remaining, groups, np.where(missing, 1.0, 1.0 - scores))
    present = np.zeros(remaining.shape, np.int64)
    np.add.at(present, groups, ~missing)
    return np.where(present > 0, 1.0 - remaining, np.nan)
