"""Why an analysis is called unusual: sentences for an analyst, each with the value that it rests on.

The seed (CuckooML) gave four reasons from the clustering and its "abnormal counts", outside Tukey's fences of 1.5 and 3
interquartile ranges (Tukey, Exploratory Data Analysis, 1977); the calibrated score adds ``novel_behaviour``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from cuckoo_ml_plugin.model.anomaly import AnomalyScore

_ACRONYMS = {word.lower(): word for word in ("API", "APIs", "COM", "DNS", "HTTP", "TCP", "TLS", "UDP", "WMI")}


class Reason(TypedDict):
    """One reason as the report section holds it; ``value`` is finite."""

    kind: str
    text: str
    value: float


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
