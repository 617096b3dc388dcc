"""Analyses that show no behaviour: what kind of task they were, which a token keeps and a sentence says.

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
_MAX_REASON: Final = 200  # characters of a host's error
_SENTENCES: Final = {
    "static": "A static analysis: the sample was not run.",
    "baseline": "A baseline of the machine: no sample was run.",
    "pcap": "An analysis of recorded traffic: no sample was run.",
    _FAILED: "The task failed in the sandbox.",
    "android": "An analysis on Android without a log of Droidmon's: what the app did is not known.",
}
SILENT: Final = "The sample showed no behaviour when it ran: there is nothing to compare."
GENERAL: Final = frozenset((SILENT, *_SENTENCES.values()))
"""The sentences that say nothing of one analysis alone: its tokens give them."""


def without_behaviour(report: Report, behaviour: Behaviour) -> Behaviour:
    """``behaviour``, which shows nothing, with the token of its task and the sentence that says why."""
    task = _task(report)
    if not task:
        return behaviour
    sentence = _SENTENCES[task]
    if task == _FAILED and report.failure:
        reason = " ".join(display_text(report.failure, _MAX_REASON).split())
        sentence = f"The task failed in the sandbox: {reason}{'' if reason.endswith(('.', '!', '…')) else '.'}"
    tokens = list(behaviour.tokens)
    insort(tokens, f"task:{task}")
    return replace(behaviour, tokens=tokens, remark=" ".join(part for part in (sentence, behaviour.remark) if part))


def reason_for_absence(behaviour: Behaviour) -> str:
    """Why a behaviour shows nothing, in a sentence; from its token where it has no remark of its own."""
    if behaviour.remark:
        return behaviour.remark
    tasks = [value_of(token) for token in behaviour.tokens if kind_of(token) == "task"]
    return next((_SENTENCES[task] for task in tasks if task in _SENTENCES), SILENT)


def _task(report: Report) -> str:
    """The kind of a task that shows no behaviour; empty for one that ran and was silent."""
    if report.category in ("static", "baseline", "pcap"):
        return report.category
    if report.failure or not report.ran:
        return _FAILED
    return "android" if report.platform == "android" else ""
