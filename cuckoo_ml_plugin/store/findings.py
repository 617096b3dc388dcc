"""The latest finding of each analysis in the store: for lists of clusters and anomalies, and for drift."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, case, func, literal, select

from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.plumbing.times import now_text, utc_text
from cuckoo_ml_plugin.report.labels import first_by_source
from cuckoo_ml_plugin.store.between_refits.marks import Mark, is_newer
from cuckoo_ml_plugin.store.database import Database, chunks, execute_for, one_of
from cuckoo_ml_plugin.store.finding_record import MAX_SECTION, FindingRecord, ListedAnalysis, finite
from cuckoo_ml_plugin.store.labels import labels_by_analysis
from cuckoo_ml_plugin.store.overview import SAMPLE
from cuckoo_ml_plugin.store.tables import analysis, finding, meta

_MODEL = "findings"  # key in the table meta
_BATCH = 5_000  # findings in one transaction, 0.1 s, so that other writers wait briefly during a refit
_FEW = 100  # findings that are stored a row at a time
_SHOWN = (analysis.c.sha256, analysis.c.target, analysis.c.analysed_at, analysis.c.stored_at)
_STORED = finding.c.analysis == analysis.c.analysis
_OF_ANALYSES: Final = select(finding).where(one_of(finding.c.analysis))


class FindingStore:
    """The part of the store that keeps findings."""

    _db: Database

    def save_findings(self, findings: Iterable[FindingRecord]) -> int:
        """Store each as the latest finding of its analysis; returns how many there were. Raises StoreError.

        A number that is not finite is stored as None, a section longer than ``MAX_SECTION`` as "".
        """
        remaining = iter(findings)
        moment = now_text()
        statement = self._db.upsert(finding, ["analysis"])
        saved = 0
        while batch := list(islice(remaining, _BATCH)):
            rows = [_row(record, moment) for record in batch]
            rows.sort(key=lambda row: str(row["analysis"]))  # in the order of the index: half the time at 100,000
            if len(rows) < _FEW:
                self._db.write(lambda connection, rows=rows: execute_for(connection, statement, rows))  # type: ignore[misc]
            else:
                self._db.write(
                    lambda connection, rows=rows: self._db.upsert_many(connection, finding, ["analysis"], rows)  # type: ignore[misc]
                )
            saved += len(batch)
        return saved

    def findings_are_of(self, model: str | None) -> bool:
        """Whether the findings of all fitted analyses come from this model.

        They do not while a refit stores them, nor after it was killed there. A store from before 0.3.0 does not record
        the model, and the answer is yes.
        """
        query = select(meta.c.value).where(meta.c.key == _MODEL)
        return self._db.read(lambda connection: connection.execute(query).scalar()) in (None, model)

    def note_model_of_findings(self, model: str) -> None:
        """Record the model for :meth:`findings_are_of`: "" before the findings change. Raises StoreError."""
        statement = self._db.upsert(meta, ["key"])
        self._db.write(lambda connection: connection.execute(statement, {"key": _MODEL, "value": storable(model, 100)}))

    def scored_by(self, model: str) -> set[str]:
        """The analyses whose finding comes from this model. Raises StoreError."""
        query = select(finding.c.analysis).where(finding.c.model == model)
        return self._db.read(lambda connection: set(connection.execute(query).scalars()))

    def scored_by_other_models(self, model: str) -> list[str]:
        """The analyses with behaviour whose finding comes from another model."""
        where = (_STORED, analysis.c.has_behaviour, finding.c.model != model)
        query = select(finding.c.analysis).where(*where).order_by(analysis.c.order_key)
        return self._db.read(lambda connection: list(connection.execute(query).scalars()))

    def findings_of(self, analyses: Iterable[str]) -> dict[str, FindingRecord]:
        """The latest finding of each of these analyses that has one."""
        names = list(analyses)

        def work(connection: Connection) -> dict[str, FindingRecord]:
            return {
                row.analysis: _finding(row)
                for batch in chunks(names)
                for row in connection.execute(_OF_ANALYSES, {"values": batch})
            }

        return self._db.read(work)

    def cluster_members(
        self, cluster: str | None, *, model: str | None = None, limit: int = 50, offset: int = 0, once: bool = False
    ) -> list[ListedAnalysis]:
        """A page of a cluster's analyses, the most probable members first; None: of those that belong to no cluster.

        ``once``: each sample once, by the first of its analyses.
        """
        where = [finding.c.cluster.is_(None) if cluster is None else finding.c.cluster == cluster]
        order = (finding.c.probability.desc().nulls_last(), analysis.c.order_key)
        return self._listed(where, order, model, limit, offset, once)

    def kin_members(
        self, kin: str, *, limit: int = 50, offset: int = 0, once: bool = False
    ) -> list[ListedAnalysis]:  # fmt: skip
        """A page of a kin's analyses, the most probable members first; ``once``: each sample once."""
        order = (finding.c.kin_probability.desc().nulls_last(), analysis.c.order_key)
        return self._listed([finding.c.kin == kin], order, None, limit, offset, once)

    def anomalies(
        self,
        *,
        order: Literal["score", "date"] = "score",
        model: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        offset: int = 0,
        once: bool = False,
    ) -> list[ListedAnalysis]:
        """A page of the anomalous analyses, those with the highest score or the latest first.

        ``once``: each sample once, by the first of its anomalous analyses. ``since``: only those that were made after a
        moment, whenever they were stored.
        """
        where: list[ColumnElement[bool]] = [finding.c.anomalous]
        if since is not None:
            where.append(analysis.c.analysed_at > utc_text(since))
        latest = func.coalesce(analysis.c.analysed_at, "").desc()
        first = finding.c.anomaly_score.desc().nulls_last() if order == "score" else latest
        return self._listed(where, (first, analysis.c.order_key), model, limit, offset, once)

    def _listed(
        self,
        where: list[ColumnElement[bool]],
        order: tuple[ColumnElement[Any], ...],
        model: str | None,
        limit: int,
        offset: int,
        once: bool,
    ) -> list[ListedAnalysis]:
        where = [_STORED, *where, *_of_model(model)]
        if once:
            place = func.row_number().over(partition_by=SAMPLE, order_by=order).label("place")
            runs = func.count().over(partition_by=SAMPLE).label("runs")
            placed = select(analysis.c.number, place, runs).where(*where).subquery()
            query: Any = select(finding, *_SHOWN, placed.c.runs).where(
                _STORED, analysis.c.number == placed.c.number, placed.c.place == 1
            )
        else:
            query = select(finding, *_SHOWN, literal(1).label("runs")).where(*where)

        def work(connection: Connection) -> list[ListedAnalysis]:
            rows = connection.execute(query.order_by(*order).limit(limit).offset(offset)).all()
            labels = labels_by_analysis(connection, [row.analysis for row in rows])
            return [_listed(row, labels.get(row.analysis, {})) for row in rows]

        return self._db.read(work)

    def anomalous_by_source(self, since: datetime | Mark) -> list[tuple[str, str, int, int]]:
        """Of the scored samples that were stored after a moment or mark, by submitter and day: anomalous ones, and all.

        Submitter or day are "" where they are not known. Raises StoreError.
        """
        day = func.coalesce(func.substr(analysis.c.analysed_at, 1, 10), "")
        anomalous = case((finding.c.anomalous, SAMPLE), else_=None)
        columns = (analysis.c.submitter, day, func.count(anomalous.distinct()), func.count(SAMPLE.distinct()))
        query = (
            select(*columns)
            .where(_STORED, analysis.c.has_behaviour)
            .where(is_newer(since) if isinstance(since, Mark) else analysis.c.stored_at > utc_text(since))
            .group_by(analysis.c.submitter, day)
            .order_by(analysis.c.submitter, day)
        )
        return [tuple(row) for row in self._db.read(lambda connection: connection.execute(query).all())]


def _of_model(model: str | None) -> list[ColumnElement[bool]]:
    return [] if model is None else [finding.c.model == model]


def _row(record: FindingRecord, moment: str) -> dict[str, object]:
    return {
        "analysis": record.analysis,
        "model": storable(record.model, 100),
        "cluster": None if record.cluster is None else storable(record.cluster, 100),
        "probability": finite(record.probability),
        "outlier_score": finite(record.outlier_score),
        "anomaly_score": finite(record.anomaly_score),
        "anomalous": bool(record.anomalous),
        "section": storable(record.section, MAX_SECTION) if len(record.section) <= MAX_SECTION else "",
        "scored_at": record.scored_at or moment,
        "kin": None if record.kin is None else storable(record.kin, 100),
        "kin_probability": finite(record.kin_probability),
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
        kin=row.kin,
        kin_probability=finite(row.kin_probability),
    )


def _listed(row: Row[Any], labels: dict[str, str]) -> ListedAnalysis:
    label = first_by_source(labels)
    return ListedAnalysis(_finding(row), row.sha256, row.target, row.analysed_at, row.stored_at, label, row.runs)
