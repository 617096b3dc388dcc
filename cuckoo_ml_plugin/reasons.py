"""Why an analysis is called unusual: sentences for an analyst, each with the value that it rests on.

The seed (CuckooML) gave four reasons from the clustering and its "abnormal counts", outside Tukey's fences of 1.5 and 3
interquartile ranges (Tukey, Exploratory Data Analysis, 1977); the calibrated score adds ``novel_behaviour``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.anomaly import AnomalyScore

ENOUGH = 20
"""Analyses that must have a count before anything is said about what is usual for it."""
_ACRONYMS = {word.lower(): word for word in ("API", "APIs", "COM", "DNS", "HTTP", "TCP", "TLS", "UDP", "WMI")}
_QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)


class Reason(TypedDict):
    """One reason as the report section holds it; ``value`` is finite."""

    kind: str
    text: str
    value: float


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
            Reason(kind=f"abnormal_count_{verdict}", text=_count_text(name, counts[name], row), value=counts[name])
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


def cluster_reasons(
    *,
    cluster: str | None,
    probability: float,
    outlier_score: float,
    high_outlier_score: float,
    low_probability: float,
) -> list[Reason]:
    """``no_cluster``, ``high_outlier_score`` and ``low_probability``, as far as they hold.

    Args:
        cluster: name of the analysis' cluster, None for noise.
        probability: of its membership, in [0, 1].
        outlier_score: GLOSH, in [0, 1].
        high_outlier_score, low_probability: from where on they are a reason.
    """
    reasons: list[Reason] = []
    probability, outlier_score = _finite(probability), _finite(outlier_score)
    if cluster is None:
        text = "Belongs to no cluster: no group of known analyses behaves like it."
        reasons.append(Reason(kind="no_cluster", text=text, value=-1.0))
    elif probability < low_probability:
        text = f"Lies at the edge of cluster {cluster}: the membership probability is {probability:.2f}."
        reasons.append(Reason(kind="low_probability", text=text, value=probability))
    if outlier_score >= high_outlier_score:
        text = f"Lies in a sparser place than the analyses around it: the outlier score is {outlier_score:.2f} of 1."
        reasons.append(Reason(kind="high_outlier_score", text=text, value=outlier_score))
    return reasons


def label_reasons(label: str | None, cluster: str | None, labels: Mapping[str, int]) -> list[Reason]:
    """``label_mismatch`` when the analysis' label is not the commonest of its cluster (``labels``: label -> analyses).

    The value is the share of the cluster's labelled analyses that have the analysis' own label. A tie for the commonest
    is no mismatch.
    """
    if label is None or cluster is None or not labels:
        return []
    commonest, most = max(labels.items(), key=lambda pair: (pair[1], pair[0]))
    own, total = labels.get(label, 0), sum(labels.values())
    if own >= most:
        return []
    text = (
        f"Is labelled {label}, while {most:,} of the {total:,} labelled analyses of its cluster {cluster} are"
        f" {commonest} and {own:,} {'is' if own == 1 else 'are'} {label}."
    )
    return [Reason(kind="label_mismatch", text=text, value=own / total)]


def novelty_reasons(anomaly: AnomalyScore, most_alike: float, threshold: float) -> list[Reason]:
    """``novel_behaviour`` when the calibrated score reaches ``threshold``, with what drives it.

    ``most_alike``: the share of known behaviour in common with the fitted analysis that has most, in [0, 1]. It is what
    the list of similar analyses says; the distances behind the score have no unit that would mean anything to a reader.
    """
    if anomaly.score < threshold:
        return []
    drivers = []
    if anomaly.unseen >= 0.01:
        drivers.append(f"{_percent(anomaly.unseen)} of its behaviour was never seen before")
    if most_alike >= 1 and anomaly.unseen == 0:
        drivers.append("it was seen before, but hardly anything else behaves like it")
    elif most_alike > 0:
        common = f"{_percent(most_alike)} of its known behaviour in common"
        drivers.append(f"the most similar analysis in the model has {common}")
    else:
        drivers.append("no analysis in the model has any of its behaviour in common")
    text = f"Behaves more unusually than {_percent(anomaly.score)} of the known analyses: {'; '.join(drivers)}."
    return [Reason(kind="novel_behaviour", text=text, value=anomaly.score)]


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


def _count_text(name: str, value: float, row: Sequence[float]) -> str:
    _, p1, q1, _, q3, p99, _ = row
    first, *others = (_ACRONYMS.get(word, word) for word in name.split("_"))
    words = " ".join([first[0].upper() + first[1:], *others])
    middle = f"{_number(q1)} to {_number(q3)}" if q3 > q1 else _number(q1)
    usual = f"half of the corpus has {middle}"
    edge = f"99 % at most {_number(p99)}" if value > q3 else f"99 % at least {_number(p1)}"
    return f"{words}: {_number(value)}; {usual}, {edge}."


def _number(value: float) -> str:
    if value == math.floor(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}"


def _percent(share: float) -> str:
    """A share as text that is never rounded up to all."""
    return f"{min(math.floor(share * 1000) / 10, 99.9 if share < 1 else 100.0):g} %"


def _finite(value: Any) -> float:
    return float(value) if math.isfinite(value) else 0.0
