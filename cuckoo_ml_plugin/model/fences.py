"""To be described."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.reasons import count_text
from cuckoo_ml_plugin.finding.section import Reason

ENOUGH = 20
"""Analyses that must have a count before anything is said about what is usual for it."""


_QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class CountFences:
    """What is usual for each count feature in the fitted corpus.

    Attributes:
        names: c count names.
        quantiles: (c, 7) lowest, 1 %, 25 %, 50 %, 75 %, 99 % and highest; NaN where the corpus has too few values.
    """

    names: tuple[str, ...]
    quantiles: NDArray[np.float64]

    @classmethod
    def fit(cls, counts: NDArray[np.float64], names: Sequence[str]) -> CountFences:
        """Fences of ``counts`` (n analyses, c), one row an analysis; NaN and infinity are missing values."""
        quantiles = np.full((len(names), len(_QUANTILES)), np.nan)
        for i in range(len(names)):
            known = counts[np.isfinite(counts[:, i]), i]
            if len(known) >= ENOUGH:
                quantiles[i] = np.quantile(known, _QUANTILES)
                quantiles[i, [1, 5]] = np.quantile(known, [0.01, 0.99], method="nearest")  # a count that there is
        return cls(tuple(names), quantiles)

    def abnormal(self, counts: Mapping[str, float], limit: int | None = None) -> list[Reason]:
        """At most ``limit`` ``abnormal_count_outlier`` and ``abnormal_count_suspect`` reasons, the furthest out first.

        Where at least half of the corpus has one and the same value (interquartile range 0), Tukey's fences would call
        every other value abnormal. There suspect means outside the middle 98 %, outlier outside all that was seen.
        """
        return [
            Reason(kind=f"abnormal_count_{verdict}", text=count_text(name, counts[name], row), value=counts[name])
            for _, name, verdict, row in sorted(self._outside(counts))[:limit]
        ]

    def verdicts(self, counts: Mapping[str, float]) -> dict[str, str]:
        """``outlier`` or ``suspect`` by name, of the counts that lie outside the fences."""
        return {name: verdict for _, name, verdict, _ in self._outside(counts)}

    def _outside(self, counts: Mapping[str, float]) -> Iterator[tuple[float, str, str, list[float]]]:
        """How far outside (negative), name, verdict and quantiles."""
        for name, row in zip(self.names, self.quantiles.tolist(), strict=True):
            value = counts.get(name)
            if value is None or not math.isfinite(value) or math.isnan(row[0]):
                continue
            verdict, excess = _verdict(float(value), row)
            if verdict:
                yield -excess, name, verdict, row


def _verdict(value: float, row: Sequence[float]) -> tuple[str, float]:
    """Suspect, outlier or "" and by how many spreads the value lies outside."""
    lowest, p1, q1, _, q3, p99, highest = row
    spread = q3 - q1
    if spread > 0:
        excess = max(q1 - value, value - q3) / spread
        return ("outlier" if excess > 3 else "suspect" if excess > 1.5 else ""), excess
    excess = max(q1 - value, value - q3) / max(abs(q1), 1.0)
    if not lowest <= value <= highest:
        return "outlier", excess
    return ("suspect" if not p1 <= value <= p99 else ""), excess
