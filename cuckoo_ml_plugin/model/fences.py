"""Abnormal counts: how far a count of an analysis lies outside what is usual in the fitted corpus (Tukey's fences)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.reasons import count_text
from cuckoo_ml_plugin.finding.section import Reason
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape

ENOUGH = 20
"""How many analyses must have a count before there is a usual range for it."""

_QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class CountFences(ModelPart):
    """The usual range of each count in the fitted corpus.

    Attributes:
        names: of the c counts.
        quantiles: (c, 7) lowest, 1 %, 25 %, 50 %, 75 %, 99 % and highest; NaN for a count that too
            few analyses have.
    """

    names: tuple[str, ...]
    quantiles: Annotated[NDArray[np.float64], Shape("c", 7)]

    @classmethod
    def fit(cls, counts: NDArray[np.float64], names: Sequence[str]) -> CountFences:
        """Fit the fences to ``counts`` (n, c), a row for each analysis; NaN and infinity are missing values."""
        quantiles = np.full((len(names), len(_QUANTILES)), np.nan)
        for i in range(len(names)):
            values = counts[np.isfinite(counts[:, i]), i]
            if len(values) >= ENOUGH:
                quantiles[i] = np.quantile(values, _QUANTILES)
                quantiles[i, [1, 5]] = np.quantile(values, [0.01, 0.99], method="nearest")  # a count that occurs
        return cls(tuple(names), quantiles)

    def abnormal(self, counts: Mapping[str, float], limit: int | None = None) -> list[Reason]:
        """At most ``limit`` ``abnormal_count_outlier`` and ``abnormal_count_suspect`` reasons, the furthest out first.

        Where at least half of the corpus has one value (interquartile range 0), Tukey's fences would call every other
        value abnormal. There a suspect lies outside the middle 98 %, an outlier outside all values of the corpus.

        A count that 98 % of the corpus reach and do not pass is no reason, wherever the fences are: in a skewed corpus
        Tukey's fences lie within what is usual.
        """
        beyond = [
            (excess, name, verdict, row)
            for excess, name, verdict, row in self._outside(counts)
            if not row[1] <= counts[name] <= row[5]
        ]
        return [
            Reason(kind=f"abnormal_count_{verdict}", text=count_text(name, counts[name], row), value=counts[name])
            for _, name, verdict, row in sorted(beyond)[:limit]
        ]

    def verdicts(self, counts: Mapping[str, float]) -> dict[str, str]:
        """``outlier`` or ``suspect`` for each count that lies outside its fences, by name."""
        return {name: verdict for _, name, verdict, _ in self._outside(counts)}

    def _outside(self, counts: Mapping[str, float]) -> Iterator[tuple[float, str, str, list[float]]]:
        """Negated excess, name, verdict and quantiles of each count that lies outside its fences."""
        for name, row in zip(self.names, self.quantiles.tolist(), strict=True):
            value = counts.get(name)
            if value is None or not math.isfinite(value) or math.isnan(row[0]):
                continue
            verdict, excess = _verdict(float(value), row)
            if verdict:
                yield -excess, name, verdict, row


def _verdict(value: float, row: Sequence[float]) -> tuple[str, float]:
    """``suspect``, ``outlier`` or "", and by how many spreads the value lies outside."""
    lowest, p1, q1, _, q3, p99, highest = row
    spread = q3 - q1
    if spread > 0:
        excess = max(q1 - value, value - q3) / spread
        return ("outlier" if excess > 3 else "suspect" if excess > 1.5 else ""), excess
    excess = max(q1 - value, value - q3) / max(abs(q1), 1.0)
    if not lowest <= value <= highest:
        return "outlier", excess
    return ("suspect" if not p1 <= value <= p99 else ""), excess
