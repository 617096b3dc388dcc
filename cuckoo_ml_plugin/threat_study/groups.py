"""Stored analyses grouped by machine, tag or submitter, as the study grouped domains by device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cuckoo_ml_plugin.errors import NotEnoughError
from cuckoo_ml_plugin.report.threat_scores import NOTHING
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.store.threat_scores import ScoredAnalysis
from cuckoo_ml_plugin.threat_study.levels import levels_of
from cuckoo_ml_plugin.threat_study.reading.score_table import ScoreTable

By = Literal["machine", "tag", "submitter"]
_NONE = "(none)"


@dataclass(frozen=True, slots=True)
class Groups:
    """The table of a grouping, a row a group and indicator, and how many analyses with scores each group has."""

    by: By
    table: ScoreTable
    analyses: dict[str, int]


def group_scores(store: Store, by: By) -> Groups:
    """Group every stored analysis that has threat scores; one of several tags counts for each.

    Raises:
        NotEnoughError: no stored analysis has threat scores.
        StoreError: the store refuses.
    """
    return group_analyses(store.all_threat_scores(), by, store.name)


def group_analyses(scored: Iterable[ScoredAnalysis], by: By, source: str = "the store") -> Groups:
    """The same of given analyses. Raises NotEnoughError."""
    best: dict[tuple[str, str], dict[str, float]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    analyses: Counter[str] = Counter()
    for one in scored:
        for group in _groups_of(one, by):
            analyses[group] += 1
            rows = set()
            for score in one.scores:
                row = (group, "nothing found" if score.kind == NOTHING else f"{score.kind} {score.indicator}")
                said = best.setdefault(row, {})
                said[score.provider] = max(said.get(score.provider, 0.0), score.score)
                rows.add(row)
            seen.update(rows)
    if not best:
        raise NotEnoughError(
            f"{source}: no analysis has threat scores; they come from the host's own look-ups, such as VirusTotal's."
        )
    providers = sorted({provider for said in best.values() for provider in said})
    table = ScoreTable(
        columns=providers,
        providers=providers,
        scores=np.array([[said.get(name, np.nan) for name in providers] for said in best.values()]),
        devices=[group for group, _ in best],
        domains=[indicator for _, indicator in best],
        counts=np.array([seen[row] for row in best], np.float64),
        device_word=by,
        domain_word="indicator",
    )
    return Groups(by, table, dict(analyses))


def _groups_of(one: ScoredAnalysis, by: By) -> Sequence[str]:
    if by == "tag":
        return list(dict.fromkeys(one.tags)) or [_NONE]
    return [(one.machine if by == "machine" else one.submitter) or _NONE]


def groups_json(groups: Groups) -> list[dict[str, Any]]:
    """One table a group, the highest score first; a provider that says nothing of a group is null."""
    level = levels_of(groups.table).devices
    assert level is not None  # the table has both
    assert level.parts is not None
    score, joint = level.score, level.joint
    return [
        {
            groups.by: level.names[i],
            "analyses": groups.analyses[level.names[i]],
            "indicators": int(level.parts[i]),
            "providers": {
                name: None if np.isnan(p) else float(p)
                for name, p in zip(level.providers, level.joined[i], strict=True)
            },
            "score": float(score[i]),
            "joint": float(joint[i]),
        }
        for i in map(int, np.argsort(-score, kind="stable"))
    ]
