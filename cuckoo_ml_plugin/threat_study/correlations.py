"""Pearson's and Spearman's correlation of each pair of providers, with confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.threat_study.levels import Level

Floats = NDArray[np.float64]
_Z = 1.959963984540054  # of the normal distribution at a confidence of 0.95, both sides


@dataclass(frozen=True, slots=True)
class Correlation:
    """A coefficient in [-1, 1] with the 95 % interval; the interval is None for fewer than four rows."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two providers over the rows in which both have a score; ``why`` is the reason for a missing coefficient."""

    first: str
    second: str
    rows: int
    pearson: Correlation | None
    spearman: Correlation | None
    why: str = ""


def correlations(level: Level) -> list[Pair]:
    """The correlations of all pairs of providers of a level."""
    return [
        _pair(level.providers[i], level.providers[j], level.joined[:, i], level.joined[:, j])
        for i, j in combinations(range(len(level.providers)), 2)
    ]


def _pair(first: str, second: str, x: Floats, y: Floats) -> Pair:
    from scipy.stats import rankdata

    both = ~(np.isnan(x) | np.isnan(y))
    x, y, n = x[both], y[both], int(both.sum())
    if n < 3:
        return Pair(first, second, n, None, None, f"both have a score in {n} rows only; three are needed")
    for name, scores in ((first, x), (second, y)):
        if np.ptp(scores) < 1e-12:  # a smaller spread comes from rounding
            return Pair(first, second, n, None, None, f"{name} is {scores[0]:g} in each of the {n:,} rows")
    linear, ranked = _coefficient(x, y), _coefficient(rankdata(x), rankdata(y))
    # Variance of Fisher's z: 1 / (n - 3) for Pearson's, (1 + r²/2) / (n - 3) for Spearman's (Bonett and Wright 2000).
    return Pair(first, second, n, _interval(linear, n, 1.0), _interval(ranked, n, 1.0 + ranked**2 / 2))


def _coefficient(x: Floats, y: Floats) -> float:
    x, y = x - x.mean(), y - y.mean()
    r = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    return min(max(r, -1.0), 1.0)


def _interval(r: float, n: int, factor: float) -> Correlation:
    """The interval by Fisher's transformation, under which atanh(r) is about normal."""
    if n < 4:
        return Correlation(r, None, None)
    if abs(r) > 1 - 1e-12:
        return Correlation(r, r, r)
    half = _Z * math.sqrt(factor / (n - 3))
    return Correlation(r, math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))
