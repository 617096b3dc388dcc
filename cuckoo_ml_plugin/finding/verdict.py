"""The verdict: the kind of answer and the one sentence at the head of a finding, decided from all that is known.

An analyst asks first whether this was seen before. So a repeat of the file or of the behaviour comes before cluster and
kin, and these come before how unusual the analysis is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cuckoo_ml_plugin.finding.reasons import SINGLE_SOURCE
from cuckoo_ml_plugin.finding.section import MAX_VERDICT, ClusterFinding, Finding, KinFinding, Verdict
from cuckoo_ml_plugin.plumbing.text import display_text, samples_and_runs

Kind = Literal[
    "same_file", "same_behaviour", "variant", "kin", "unusual", "unknown", "static_only", "not_run", "too_few"
]

MOST_RUNS: Final = 100
"""How many past runs are counted; where there are more, the sentence says "at least"."""
_ONLY_FROM: Final = {"submitter": "a single submitter", "day": "uploads of a single day"}
_MAX_NAME: Final = 60  # characters of a group's name, which is a label and may be long


@dataclass(frozen=True, slots=True)
class PastAnalysis:
    """Another analysis; ``day``: of the analysis itself, as ``2016-05-23``, "" where it is not known."""

    analysis: str
    sha256: str | None = None
    day: str = ""
    same_behaviour: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of other analyses, beside what the section says.

    Attributes:
        runs: of the same file.
        repeats: of other files, with exactly the same behaviour.
        nearest: the first of the section's similar analyses.
        known: how many analyses with behaviour are stored beside this one; None where it is not known.
        day: of this analysis, as ``2016-05-23``, "" where it is not known.
        has_file: whether the file is known by its SHA-256.
        absence: why no sample acted, where nothing is known by which the analysis can be compared.
        is_static: whether all that is known are facts of the file.
        is_partial: whether similar analyses are left out.
    """

    runs: Sequence[PastAnalysis] = ()
    repeats: Sequence[PastAnalysis] = ()
    nearest: PastAnalysis | None = None
    known: int | None = None
    day: str = ""
    has_file: bool = True
    absence: str = ""
    is_static: bool = False
    is_partial: bool = False

    @property
    def is_repeat(self) -> bool:
        """Whether exactly this behaviour has been seen in another analysis."""
        return bool(self.repeats) or any(run.same_behaviour for run in self.runs)


def verdict_of(finding: Finding, past: Past = Past()) -> Verdict:
    """The verdict on a finding. Its own verdict has no part in it.

    >>> verdict_of(Finding(status="scored")).kind
    'too_few'
    """
    kind, text = _decide(finding, past)
    return Verdict(kind=kind, text=text if len(text) <= MAX_VERDICT else f"{text[: MAX_VERDICT - 1]}…")


def _decide(finding: Finding, past: Past) -> tuple[Kind, str]:
    if finding.status not in ("scored", "no_model", "no_behaviour"):
        return "unknown", finding.message
    runs, when = _earlier(past.runs, past.day)
    if finding.status == "no_behaviour" or past.absence:
        absence = past.absence or finding.message or "Nothing is known of its behaviour."
        return "not_run", f"{absence} This file was analysed {_times(runs, when)}.".strip() if runs else absence
    if not runs:
        return _without_runs(finding, past)
    same = [run for run in runs if run.same_behaviour]
    if past.is_static:
        _, now = _without_runs(finding, replace(past, repeats=()))
        return "same_file", f"This file was analysed {_times(runs, when)}. This time: {_lower(now)}"
    if not same:
        _, now = _without_runs(finding, past)
        differs = ", but behaved differently" if len(runs) == 1 else ", never with this behaviour"
        return "same_file", f"This file was analysed {_times(runs, when)}{differs}. This time: {_lower(now)}"
    if len(runs) == 1:
        text = f"{_times(runs, when)}, with the same behaviour"
    elif len(same) == len(runs):
        text = f"{_times(runs, when)}, always with the same behaviour"
    else:
        some = f"{len(same):,}" if len(runs) < MOST_RUNS else "some"
        text = f"{_count(runs)} {when}, {some} of them with the same behaviour, {_last(same, when)}"
    return "same_file", f"This file was analysed {text}{_place(finding)}."


def _without_runs(finding: Finding, past: Past) -> tuple[Kind, str]:
    """The verdict as if the file had never been analysed."""
    repeats, when = _earlier(past.repeats, past.day)
    if past.is_static:
        equal = f", which equal those of analysis {_dated(repeats[0])}" if repeats else ""
        return "static_only", f"Only static facts of the file are known{equal}{_place(finding)}."
    if repeats:
        files = len({repeat.sha256 or repeat.analysis for repeat in repeats})
        if not past.has_file:
            what = "Exactly this behaviour was seen"
        elif files == 1:
            what = "Another file with exactly this behaviour was analysed"
        else:
            what = f"{files:,} other files with exactly this behaviour were analysed"
        return "same_behaviour", f"{what} {_times(repeats, when)}{_place(finding)}."
    unusual = finding.anomaly is not None and finding.anomaly.anomalous
    nearest = _nearest(finding, past)
    if finding.cluster is not None:
        behaves = ", but behaves unusually" if unusual else ""
        text = (
            f"A variant of cluster {_name(finding.cluster)}, {_past_analyses(finding.cluster)}, with the"
            f" membership probability {finding.cluster.probability:.2f}{behaves}"
        )
        return "variant", f"{text}{nearest and f'; {nearest}'}."
    if finding.kin is not None:
        behaves = "and behaves unusually" if unusual else "and is not unusual"
        text = f"In no cluster, but of kin {_name(finding.kin)}, {_past_analyses(finding.kin)}, {behaves}"
        return "kin", f"{text}{nearest and f'; {nearest}'}."
    if finding.anomaly is None:
        known = ""
        if past.known is not None:
            known = f": {past.known:,} other {'analysis is' if past.known == 1 else 'analyses are'} known"
        return "too_few", f"Too little is known yet to say more{known}{nearest and f'; {nearest}'}."
    if unusual:
        if any(reason.kind == SINGLE_SOURCE for reason in finding.anomaly.reasons):
            return (
                "unusual",
                f"Unusual: what behaves like it is known only from a single source{nearest and f'; {nearest}'}.",
            )
        return "unusual", f"Unusual: no known group behaves like it{nearest and f', and {nearest}'}."
    return "unknown", f"No known group behaves like it, but it is not unusual{nearest and f'; {nearest}'}."


def _earlier(analyses: Iterable[PastAnalysis], day: str) -> tuple[list[PastAnalysis], str]:
    """Those that are not later than a day, latest first, and "before"; where all are later, these and "later".

    An analysis whose day is not known counts as earlier.
    """
    latest = sorted(analyses, key=lambda past: past.day, reverse=True)
    earlier = [past for past in latest if not day or not past.day or past.day <= day]
    return (earlier, "before") if earlier or not latest else (latest[::-1], "later")


def _times(analyses: Sequence[PastAnalysis], when: str) -> str:
    if len(analyses) == 1:
        past = analyses[0]
        return f"{when}, on {past.day} (analysis {past.analysis})" if past.day else f"{when} (analysis {past.analysis})"
    return f"{_count(analyses)} {when}, {_last(analyses, when)}"


def _count(analyses: Sequence[PastAnalysis]) -> str:
    return f"at least {MOST_RUNS:,} times" if len(analyses) >= MOST_RUNS else f"{len(analyses):,} times"


def _last(analyses: Sequence[PastAnalysis], when: str) -> str:
    past = analyses[0]
    return (
        f"{'last' if when == 'before' else 'first'} {f'on {past.day} ' if past.day else ''}(analysis {past.analysis})"
    )


def _dated(past: PastAnalysis) -> str:
    return f"{past.analysis} of {past.day}" if past.day else past.analysis


def _nearest(finding: Finding, past: Past) -> str:
    """The clause about the most similar analysis; empty where the reader may not see it."""
    if not finding.similar:
        return "" if past.is_partial else "no past analysis shares any of its behaviour"
    similar = finding.similar[0]
    dated = past.nearest if past.nearest is not None and past.nearest.analysis == similar.analysis else None
    shared = f"{math.floor(similar.similarity * 100)} %"
    which = _dated(dated or PastAnalysis(similar.analysis))
    return f"the most similar, analysis {which}, has {shared} of the behaviour in common with it"


def _place(finding: Finding) -> str:
    """What an analysis belongs to, behind a colon."""
    if finding.cluster is not None:
        return f": cluster {_name(finding.cluster)}"
    if finding.kin is not None:
        return f": in no cluster, of kin {_name(finding.kin)}"
    return ": in no cluster" if finding.status == "scored" else ""


def _name(group: ClusterFinding | KinFinding) -> str:
    name = display_text(group.name, _MAX_NAME)
    return f"{name} ({group.id})" if name and name != group.id else group.id


def _past_analyses(group: ClusterFinding | KinFinding) -> str:
    if group.samples not in (None, group.size):
        analyses = f"a group of {samples_and_runs(group.samples, group.size)}"
    else:
        analyses = f"a group of {group.size:,} past {'analysis' if group.size == 1 else 'analyses'}"
    return f"{analyses} known only from {_ONLY_FROM[group.only_from]}" if group.only_from in _ONLY_FROM else analyses


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
