"""Threat scores in the store: one for each provider and each indicator of an analysis."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, exists, insert, select

from cuckoo_ml_plugin.report.threat_scores import ThreatScore
from cuckoo_ml_plugin.store.database import Database, chunks, execute_for, one_of
from cuckoo_ml_plugin.store.tables import analysis, threat_score

_T = threat_score.c
_PAGE = 2_000  # analyses whose scores are read at once
_OF_ANALYSES: Final = select(threat_score).where(one_of(_T.analysis))
_INSERT: Final = insert(threat_score)
_DELETE: Final = delete(threat_score).where(one_of(_T.analysis))


@dataclass(frozen=True, slots=True)
class ScoredAnalysis:
    """An analysis with its threat scores and the fields by which it can be grouped."""

    analysis: str
    sha256: str | None
    machine: str
    tags: list[str]
    submitter: str
    scores: list[ThreatScore]


class ThreatScoreStore:
    """The part of the store that keeps threat scores."""

    _db: Database

    def threat_scores_of(self, analyses: Iterable[str]) -> dict[str, list[ThreatScore]]:
        """The scores of each of these analyses that has any. Raises StoreError."""
        names = list(analyses)
        return self._db.read(lambda connection: scores_by_analysis(connection, names))

    def all_threat_scores(self) -> Iterator[ScoredAnalysis]:
        """Every analysis that has scores, in the order of a corpus, in which 2 comes before 10. Raises StoreError."""
        last = ""
        columns = [analysis.c[name] for name in ("order_key", "analysis", "sha256", "machine", "tags", "submitter")]
        scored = exists().where(_T.analysis == analysis.c.analysis)
        query = select(*columns).where(scored).order_by(analysis.c.order_key).limit(_PAGE)

        def page(connection: Connection) -> list[tuple[str, ScoredAnalysis]]:
            rows = connection.execute(query.where(analysis.c.order_key > last)).all()
            scores = scores_by_analysis(connection, [row.analysis for row in rows])
            return [(row.order_key, _scored(row, scores.get(row.analysis, []))) for row in rows]

        while analyses := self._db.read(page):
            yield from (scored_analysis for _, scored_analysis in analyses)
            last = analyses[-1][0]


def _scored(row: Row[Any], scores: list[ThreatScore]) -> ScoredAnalysis:
    return ScoredAnalysis(row.analysis, row.sha256, row.machine, json.loads(row.tags), row.submitter, scores)


def scores_by_analysis(connection: Connection, names: Sequence[str]) -> dict[str, list[ThreatScore]]:
    """The scores of each analysis that has any, ordered by provider, kind and indicator."""
    scores: dict[str, list[ThreatScore]] = {}
    for batch in chunks(names):
        for row in connection.execute(_OF_ANALYSES, {"values": batch}):
            if math.isfinite(row.score):  # only another program can have stored other values
                score = ThreatScore(row.provider, row.kind, row.indicator, row.score)
                scores.setdefault(row.analysis, []).append(score)
    return {name: sorted(unordered) for name, unordered in scores.items()}


def drop_scores(connection: Connection, names: Sequence[str]) -> None:
    """Remove the scores of these analyses."""
    for batch in chunks(names):
        connection.execute(_DELETE, {"values": batch})


def add_scores(connection: Connection, latest: Mapping[str, Sequence[ThreatScore]]) -> None:
    """Store the scores of analyses that have none; of an indicator listed twice, the highest counts."""
    best: dict[tuple[str, str, str, str], float] = {}
    for name, scores in latest.items():
        for provider, kind, indicator, score in scores:
            key = (name, provider, kind, indicator)
            best[key] = max(best.get(key, 0.0), score)
    rows = [
        {"analysis": name, "provider": provider, "kind": kind, "indicator": indicator, "score": score}
        for (name, provider, kind, indicator), score in best.items()
    ]
    execute_for(connection, _INSERT, rows)
