"""The latest finding of each analysis, in the store: for the lists of clusters and anomalies, and for drift."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.plumbing.times import now_text, utc_text
from cuckoo_ml_plugin.report.labels import first_by_source
from cuckoo_ml_plugin.store.database import Database, chunks
from cuckoo_ml_plugin.store.labels import labels_by_analysis
from cuckoo_ml_plugin.store.records import MAX_SECTION, FindingRecord, FoundAnalysis, finite
from cuckoo_ml_plugin.store.tables import analysis, finding, meta

_MODEL = "findings"  # key in the table meta
_BATCH = 5_000  # findings in one transaction: 0.1 s, so that nobody waits long behind a refit
_SHOWN = (analysis.c.sha256, analysis.c.target, analysis.c.analysed_at, analysis.c.stored_at)
_STORED = finding.c.analysis == analysis.c.analysis


class FindingStore:
    """The part of the store that keeps findings."""

    _db: Database

    def save_findings(self, findings: Iterable[FindingRecord]) -> int:
        """Keep each as the latest finding of its analysis; returns how many. Raises StoreError.

        Numbers that are not finite are kept as None, a section beyond ``records.MAX_SECTION`` characters as "".
        """
        rest = iter(findings)
        moment = now_text()
        statement = self._db.upsert(finding, ["analysis"])
        saved = 0
        while batch := list(islice(rest, _BATCH)):
            rows = [_row(one, moment) for one in batch]
            rows.sort(key=lambda row: str(row["analysis"]))  # neighbours in the index: half the time at 100,000
            self._db.write(lambda connection, rows=rows: connection.execute(statement, rows))  # type: ignore[misc]
            saved += len(batch)
        return saved

    def findings_are_of(self, model: str | None) -> bool:
        """Whether the findings of all fitted analyses are this model's: not while a refit ends, or after it was killed.

        In a store that does not say, from before 0.3.0, they are taken to be.
        """
        query = select(meta.c.value).where(meta.c.key == _MODEL)
        return self._db.read(lambda connection: connection.execute(query).scalar()) in (None, model)

    def note_model_of_findings(self, model: str) -> None:
        """Keep what :meth:`findings_are_of` answers by; "" before they change. Raises StoreError."""
        statement = self._db.upsert(meta, ["key"])
        self._db.write(lambda connection: connection.execute(statement, {"key": _MODEL, "value": storable(model, 100)}))

    def judged_by_others(self, model: str) -> list[str]:
        """Analyses with behaviour whose finding is another model's."""
        where = (_STORED, analysis.c.has_behaviour, finding.c.model != model)
        query = select(finding.c.analysis).where(*where).order_by(analysis.c.order_key)
        return self._db.read(lambda connection: list(connection.execute(query).scalars()))

    def findings_of(self, analyses: Iterable[str]) -> dict[str, FindingRecord]:
        """The latest finding of those analyses that have one."""
        names = list(analyses)

        def work(connection: Connection) -> dict[str, FindingRecord]:
            return {
                row.analysis: _finding(row)
                for some in chunks(names)
                for row in connection.execute(select(finding).where(finding.c.analysis.in_(some)))
            }

        return self._db.read(work)

    def cluster_members(
        self, cluster: str | None, *, model: str | None = None, limit: int = 50, offset: int = 0
    ) -> list[FoundAnalysis]:
        """A page of a cluster (None: of what belongs to none), the surest members first."""
        where = [finding.c.cluster.is_(None) if cluster is None else finding.c.cluster == cluster]
        order = (finding.c.probability.desc().nulls_last(), analysis.c.order_key)
        return self._found(where, order, model, limit, offset)

    def anomalies(
        self,
        *,
        order: Literal["score", "date"] = "score",
        model: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[FoundAnalysis]:
        """A page of the anomalous analyses, the most unusual or the latest stored first."""
        where: list[ColumnElement[bool]] = [finding.c.anomalous]
        if since is not None:
            where.append(analysis.c.stored_at > utc_text(since))
        first = finding.c.anomaly_score.desc().nulls_last() if order == "score" else analysis.c.stored_at.desc()
        return self._found(where, (first, analysis.c.order_key), model, limit, offset)

    def _found(
        self,
        where: list[ColumnElement[bool]],
        order: tuple[ColumnElement[Any], ...],
        model: str | None,
        limit: int,
        offset: int,
    ) -> list[FoundAnalysis]:
        query = select(finding, *_SHOWN).where(_STORED, *where, *_of_model(model))

        def work(connection: Connection) -> list[FoundAnalysis]:
            rows = connection.execute(query.order_by(*order).limit(limit).offset(offset)).all()
            labels = labels_by_analysis(connection, [row.analysis for row in rows])
            return [_found(row, labels.get(row.analysis, {})) for row in rows]

        return self._db.read(work)

    def cluster_counts(self, *, model: str | None = None) -> dict[str | None, int]:
        """How many analyses with behaviour each cluster has; None stands for those that belong to none.

        The largest come first.
        """
        query = (
            select(finding.c.cluster, func.count().label("members"))
            .where(_STORED, analysis.c.has_behaviour, *_of_model(model))
            .group_by(finding.c.cluster)
        )
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in sorted(rows, key=lambda row: (-row[1], row[0] or ""))}

    def cluster_count(self, cluster: str) -> int:
        """How many analyses one cluster has."""
        query = select(func.count()).where(_STORED, finding.c.cluster == cluster)
        return self._db.read(lambda connection: connection.execute(query).scalar_one())

    def anomalous_since(self, moment: datetime, *, model: str | None = None) -> tuple[int, int]:
        """Of the analyses stored after a moment and scored: how many are anomalous, and how many there are."""
        query = select(func.count(), func.count().filter(finding.c.anomalous)).where(
            and_(_STORED, analysis.c.has_behaviour, analysis.c.stored_at > utc_text(moment), *_of_model(model))
        )
        scored, anomalous = self._db.read(lambda connection: connection.execute(query).one())
        return anomalous, scored


def _of_model(model: str | None) -> list[ColumnElement[bool]]:
    return [] if model is None else [finding.c.model == model]


def _row(one: FindingRecord, moment: str) -> dict[str, object]:
    return {
        "analysis": one.analysis,
        "model": storable(one.model, 100),
        "cluster": None if one.cluster is None else storable(one.cluster, 100),
        "probability": finite(one.probability),
        "outlier_score": finite(one.outlier_score),
        "anomaly_score": finite(one.anomaly_score),
        "anomalous": bool(one.anomalous),
        "section": storable(one.section, MAX_SECTION) if len(one.section) <= MAX_SECTION else "",
        "scored_at": one.scored_at or moment,
    }


def _finding(row: Row[Any]) -> FindingRecord:
    return FindingRecord(
        analysis=row.analysis,
        model=row.model,
        cluster=row.cluster,
        probability=finite(row.probability),
        outlier_score=finite(row.outlier_score),
        anomaly_score=finite(row.anomaly_score),
        anomalous=row.anomalous,
        section=row.section,
        scored_at=row.scored_at,
    )


def _found(row: Row[Any], labels: dict[str, str]) -> FoundAnalysis:
    label = first_by_source(labels)
    return FoundAnalysis(_finding(row), row.sha256, row.target, row.analysed_at, row.stored_at, label)
