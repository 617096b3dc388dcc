"""Analyses in which no sample acted: what kind of task they were, which a token keeps and a sentence says.

A static analysis, a baseline and a failed task ran no sample, so nothing about the sample follows from their silence.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from typing import Final

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour, kind_of, value_of
from cuckoo_ml_plugin.plumbing.text import display_text
from cuckoo_ml_plugin.report.report import Report

_FAILED: Final = "failed"
_BASELINE: Final = "baseline"
_MAX_REASON: Final = 200  # characters of a host's error
_SENTENCES: Final = {
    "static": "A static analysis: the sample was not run.",
    _BASELINE: "A baseline of the machine: no sample was run.",
    "pcap": "An analysis of recorded traffic: no sample was run.",
    _FAILED: "The task failed in the sandbox.",
    "android": "An analysis on Android without a log of Droidmon's: what the app did is not known.",
}
_SILENT: Final = "The sample showed no behaviour when it ran"
_NOTHING: Final = f"{_SILENT}: there is nothing to compare."
_STATIC_ONLY: Final = f"{_SILENT}."
GENERAL: Final = frozenset((_NOTHING, _STATIC_ONLY, *_SENTENCES.values()))
"""The sentences that say nothing of one analysis alone: its tokens give them."""


def with_task(report: Report, behaviour: Behaviour) -> Behaviour:
    """``behaviour``; where no sample acted, with the token of the task and the sentence that says why.

    A baseline has its token also where the machine acted: what the machine does by itself is learnt from it.
    """
    task = _task(report)
    if not task or (behaviour.shows_actions and task != _BASELINE):
        return behaviour
    sentence = _SENTENCES[task]
    if task == _FAILED and report.failure:
        reason = " ".join(display_text(report.failure, _MAX_REASON).split())
        sentence = f"The task failed in the sandbox: {reason}{'' if reason.endswith(('.', '!', '…')) else '.'}"
    tokens = list(behaviour.tokens)
    insort(tokens, f"task:{task}")
    return replace(behaviour, tokens=tokens, remark=" ".join(part for part in (sentence, behaviour.remark) if part))


def reason_for_absence(behaviour: Behaviour) -> str:
    """Why no sample acted in an analysis, in a sentence; from its token where it has no remark of its own.

    Empty where the sample acted or a signature matched, unless the report lacks something.
    """
    if behaviour.remark:
        return behaviour.remark
    tasks = [value_of(token) for token in behaviour.tokens if kind_of(token) == "task"]
    silent = _NOTHING
    if behaviour.has_behaviour:
        silent = _STATIC_ONLY if behaviour.is_static else ""
    return next((_SENTENCES[task] for task in tasks if task in _SENTENCES), silent)


def _task(report: Report) -> str:
    """The kind of a task in which no sample acts; empty for one that ran."""
    if report.category in ("static", _BASELINE, "pcap"):
        return report.category
    if report.failure or not report.ran:
        return _FAILED
    return "android" if report.platform == "android" else ""
