"""Why an analysis is called unusual: sentences for an analyst, each with the value that it rests on.

CuckooML, the seed of this plugin, gave four reasons from the clustering, and "abnormal counts" outside Tukey's fences
of 1.5 and 3 interquartile ranges (Tukey, Exploratory Data Analysis, 1977). The calibrated anomaly score adds
``novel_behaviour``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cuckoo_ml_plugin.finding.section import Reason

BIRTH: Final = "birth"
"""The kind of the reason that names a group in the making."""

INCOMPLETE_RUN: Final = "incomplete_run"
"""The kind of the reason that says that a run did less than its like."""
INCOMPLETE: Final = 0.2
"""The least score from which a run is called incomplete beside the group that it was placed in."""
INCOMPLETE_ELSEWHERE: Final = 0.4
"""The least score beside another group."""
Deeds = Sequence[tuple[str, int]]
"""What nearly all analyses of a group do, ``write files``, and how many do it."""
_DEEDS_NAMED = 3

NOVEL: Final = "novel_behaviour"
"""The kind of the reason that holds where the calibrated anomaly score reaches its threshold."""

SINGLE_SOURCE: Final = "single_source"
"""The kind of the reason that says that only one small source has sent what is like the analysis."""

_BY_WEIGHT: Final = (
    BIRTH, INCOMPLETE_RUN, "static_only", NOVEL, SINGLE_SOURCE, "label_mismatch", "threat_scores_disagree",
    "no_cluster", "low_probability", "abnormal_count_outlier", "high_outlier_score", "abnormal_count_suspect",
)  # fmt: skip

_ACRONYMS = {word.lower(): word for word in ("API", "APIs", "COM", "DNS", "HTTP", "ICMP", "TCP", "TLS", "UDP", "WMI")}


def cluster_reasons(
    *,
    cluster: str | None,
    probability: float,
    outlier_score: float,
    high_outlier_score: float,
    low_probability: float,
) -> list[Reason]:
    """``no_cluster`` or ``low_probability``, and ``high_outlier_score``, as far as they hold.

    Args:
        cluster: name of the analysis' cluster, None for noise.
        probability: of its membership, in [0, 1].
        outlier_score: GLOSH, in [0, 1].
        high_outlier_score: the least outlier score that is a reason.
        low_probability: the probability below which the membership is a reason.
    """
    reasons: list[Reason] = []
    probability, outlier_score = _finite(probability), _finite(outlier_score)
    if cluster is None:
        text = "It belongs to no cluster of known analyses."
        reasons.append(Reason(kind="no_cluster", text=text, value=-1.0))
    elif probability < low_probability:
        text = (
            f"It is at the edge of cluster {cluster}, with the membership probability {probability:.2f}: compare it"
            " with the cluster's members before relying on the name."
        )
        reasons.append(Reason(kind="low_probability", text=text, value=probability))
    if outlier_score >= high_outlier_score:
        text = (
            f"It is further from its neighbours than they are from each other: outlier score {outlier_score:.2f} of 1."
        )
        reasons.append(Reason(kind="high_outlier_score", text=text, value=outlier_score))
    return reasons


def label_reasons(
    label: str | None, cluster: str | None, labels: Mapping[str, int], sources: Mapping[str, int] | None = None
) -> list[Reason]:
    """``label_mismatch`` when the analysis' label is not the most frequent one of its cluster.

    The value is the share of the cluster's labelled analyses that carry the analysis' own label. A label that ties for
    the most frequent is no mismatch, nor is one that as many independent sources carry.

    Args:
        label: the analysis' own label, None without one.
        cluster: name of its cluster, None for noise.
        labels: each label of the cluster and how many of its analyses carry it.
        sources: each label and of how many independent sources these analyses are, where it is known.
    """
    if label is None or cluster is None or not labels:
        return []
    most_frequent, most = max(labels.items(), key=lambda pair: (pair[1], pair[0]))
    own, total = labels.get(label, 0), sum(labels.values())
    if own >= most or (sources and sources.get(label, 0) >= sources.get(most_frequent, 0)):
        return []
    text = (
        f"It is labelled {label}, but {most:,} of the {total:,} labelled analyses in its cluster {cluster} are"
        f" {most_frequent} and {own:,} {'is' if own == 1 else 'are'} {label}: check"
        " which label is right."
    )
    return [Reason(kind="label_mismatch", text=text, value=own / total)]


def static_reasons(facts: int) -> list[Reason]:
    """``static_only``: nothing but this many facts of the file is known of the analysis."""
    text = (
        "Only static facts were seen: the analysis is placed and compared by its file, not by what the sample does."
        " Run it again, for longer or on another machine."
    )
    return [Reason(kind="static_only", text=text, value=float(facts))]


def incomplete_reasons(
    score: float, group: str | None = None, analyses: int = 0, lacking: float = 0.0, deeds: Deeds = ()
) -> list[Reason]:
    """``incomplete_run`` when the score, how sure it is that a run is incomplete, reaches ``INCOMPLETE``.

    Args:
        score: in [0, 1], see :class:`~cuckoo_ml_plugin.model.habits.Lack`.
        group: what the group is called, ``cluster velmora (c3)``; None for readers who may not know it.
        analyses: of the group.
        lacking: share of their common behaviour that the run does not show, in [0, 1].
        deeds: what nearly all of them do and the run does not, ``write files``, and how many do it.
    """
    score = _finite(score)
    if score < INCOMPLETE:
        return []
    if group is None:
        whole = "Did not do much of what nearly all analyses like it do."
    else:
        said = [f"{count:,} of {analyses:,} {deed}" for deed, count in deeds[:_DEEDS_NAMED]]
        done = f" ({', '.join(said)}; this run did not)" if said else ""
        missed = "Did none" if lacking >= 1 else f"Did not do {_percent(lacking)}"
        whole = f"{missed} of what nearly all analyses of {group} do{done}."
    text = f"{whole} The run may be cut off or the sample may have waited: run it longer, or on another machine."
    return [Reason(kind=INCOMPLETE_RUN, text=text, value=score)]


def novelty_reasons(score: float, unseen: float, highest_similarity: float, threshold: float) -> list[Reason]:
    """``novel_behaviour`` when the calibrated anomaly score reaches ``threshold``, with what drives it.

    The text gives the similarity of the most similar analysis, as the list of similar analyses does. The distances
    behind the score have no unit that would mean anything to a reader, and the score itself stands beside the reasons.

    Args:
        score: share of the fitted corpus that is less unusual, in [0, 1].
        unseen: share of the analysis' behaviour that no fitted analysis shows, in [0, 1].
        highest_similarity: likeness of the most similar fitted analysis, in [0, 1].
    """
    if score < threshold:
        return []
    drivers = []
    if unseen >= 0.01:
        drivers.append(f"{_percent(unseen)} of its behaviour has never been seen before")
    if highest_similarity >= 1 and unseen == 0:
        drivers.append("its behaviour has been seen before, but hardly any other analysis behaves like it")
    elif highest_similarity > 0:
        drivers.append(f"its likeness to the most similar analysis in the model is {_percent(highest_similarity)}")
    else:
        drivers.append("no analysis in the model shares any of its behaviour")
    text = f"It behaves unusually: {'; '.join(drivers)}."
    return [Reason(kind=NOVEL, text=text, value=score)]


def single_source_reasons(only_from: str, behaviours: int) -> list[Reason]:
    """``single_source``: what is most like the analysis does not count as known, because one small source sent it.

    Args:
        only_from: the kind of the source, ``submitter`` or ``day``.
        behaviours: how many behaviours of the model from this source are near.
    """
    origin = "uploads of a single day" if only_from == "day" else "a single submitter"
    text = (
        f"What is most like it is known only from {origin}, and does not count as known behaviour until it comes from"
        " elsewhere, too: compare it with the similar analyses."
    )
    return [Reason(kind=SINGLE_SOURCE, text=text, value=float(behaviours))]


def birth_reasons(samples: int, days: int) -> list[Reason]:
    """``birth``: the analysis is in a group in the making, of so many samples within so many days (0: unknown)."""
    span = f" in {days:,} days" if days > 1 else " on one day" if days == 1 else ""
    text = (
        f"It is one of {samples:,} samples{span} that are like each other and unlike all that is known: look at the new"
        " groups."
    )
    return [Reason(kind=BIRTH, text=text, value=float(samples))]


def count_text(name: str, value: float, quantiles: Sequence[float]) -> str:
    """The sentence for an abnormal count.

    Args:
        name: of the count, words joined by ``_``.
        quantiles: lowest, 1 %, 25 %, 50 %, 75 %, 99 % and highest of the corpus.
    """
    _, p1, q1, _, q3, p99, _ = quantiles
    first, *others = (_ACRONYMS.get(word, word) for word in name.split("_"))
    words = " ".join([first[0].upper() + first[1:], *others])
    middle = f"{_number(q1)} to {_number(q3)}" if q3 > q1 else _number(q1)
    edge = f"99 % have at most {_number(p99)}" if value > q3 else f"99 % have at least {_number(p1)}"
    return f"{words}: {_number(value)}, where half of the known analyses have {middle}, and {edge}."


def by_weight(reasons: Iterable[Reason]) -> list[Reason]:
    """The reasons in the order in which an analyst should read them; kinds of another version come last."""
    places = {kind: place for place, kind in enumerate(_BY_WEIGHT)}
    return sorted(reasons, key=lambda reason: places.get(reason.kind, len(places)))


def _number(value: float) -> str:
    if value == math.floor(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}"


def _percent(share: float) -> str:
    """A share as text; one below 1 is never rounded up to 100 %."""
    return f"{min(math.floor(share * 1000) / 10, 99.9 if share < 1 else 100.0):g} %"


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
