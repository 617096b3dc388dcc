"""Threat scores of the stored analyses, grouped by machine, tag or submitter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.errors import NotEnoughError
from cuckoo_ml_plugin.report.threat_scores import EXCHANGE, NOTHING, origin_of
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.store.threat_scores import ScoredAnalysis
from cuckoo_ml_plugin.threat_study.levels import Levels
from cuckoo_ml_plugin.threat_study.reading.score_table import ScoreTable

Floats = NDArray[np.float64]
By = Literal["machine", "tag", "submitter"]
_NONE = "(none)"
_NOTHING_FOUND = "nothing found"


@dataclass(frozen=True, slots=True)
class Groups:
    """A table with a row for each group and indicator, and the number of analyses with scores in each group."""

    by: By
    table: ScoreTable
    analyses: dict[str, int]


def group_scores(store: Store, by: By) -> Groups:
    """Group all stored analyses that have threat scores; an analysis with several tags counts for each of them.

    Raises:
        NotEnoughError: no stored analysis has threat scores.
        StoreError: the store cannot be read.
    """
    return group_analyses(store.all_threat_scores(), by, store.name)


def group_analyses(scored: Iterable[ScoredAnalysis], by: By, source: str = "the store") -> Groups:
    """Group these analyses, as :func:`group_scores` does. Raises NotEnoughError."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    analyses: Counter[str] = Counter()
    for analysis in scored:
        for group in _groups_of(analysis, by):
            analyses[group] += 1
            rows = set()
            for score in analysis.scores:
                row = (group, _NOTHING_FOUND if score.kind == NOTHING else f"{score.kind} {score.indicator}")
                by_provider = best.setdefault(row, {})
                by_provider[score.provider] = max(by_provider.get(score.provider, 0.0), score.score)
                rows.add(row)
            counts.update(rows)
    _leave_out_answered(best)
    if not best:
        raise NotEnoughError(
            f"{source}: no analysis has threat scores; they come from look-ups of the host, such as VirusTotal's, "
            "which its settings turn on."
        )
    providers = sorted({provider for by_provider in best.values() for provider in by_provider})
    table = ScoreTable(
        columns=providers,
        providers=providers,
        scores=np.array([[by_provider.get(name, np.nan) for name in providers] for by_provider in best.values()]),
        devices=[group for group, _ in best],
        domains=[indicator for _, indicator in best],
        counts=np.array([counts[row] for row in best], np.float64),
        device_word=by,
        domain_word="indicator",
        beside=frozenset(name for name in providers if origin_of(name) != EXCHANGE),
    )
    return Groups(by, table, dict(analyses))


def _leave_out_answered(best: dict[tuple[str, str], dict[str, float]]) -> None:
    """Drop "nothing found" of providers that know something of the group: it is no indicator with the score 0."""
    answering = {(group, name) for (group, row), scores in best.items() if row != _NOTHING_FOUND for name in scores}
    for group, row in [key for key in best if key[1] == _NOTHING_FOUND]:
        scores = best[group, row]
        best[group, row] = {name: score for name, score in scores.items() if (group, name) not in answering}
        if not best[group, row]:
            del best[group, row]


def _groups_of(analysis: ScoredAnalysis, by: By) -> Sequence[str]:
    if by == "tag":
        return list(dict.fromkeys(analysis.tags)) or [_NONE]
    return [(analysis.machine if by == "machine" else analysis.submitter) or _NONE]


def groups_json(groups: Groups, levels: Levels) -> list[dict[str, Any]]:
    """An object for each group, the highest sum first; a provider without a score is null."""
    level = levels.devices
    assert level is not None  # the table names both groups and indicators
    assert level.parts is not None
    assert level.spread is not None
    score, joint = level.score, level.joint
    return [
        {
            groups.by: level.names[i],
            "analyses": groups.analyses[level.names[i]],
            "indicators": int(level.parts[i]),
            "providers": _by_name(level.providers, level.joined[i]),
            "mean": _by_name(level.providers, level.spread.mean[i]),
            "highest": _by_name(level.providers, level.spread.highest[i]),
            "exchanges": level.exchanges,
            "saturated": level.saturated(i),
            "score": float(score[i]),
            "joint": float(joint[i]),
        }
        for i in map(int, np.argsort(-score, kind="stable"))
    ]


def _by_name(providers: list[str], scores: Floats) -> dict[str, float | None]:
    return {name: None if np.isnan(p) else float(p) for name, p in zip(providers, scores, strict=True)}
