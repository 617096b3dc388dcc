"""What lists show of every analysis, without behaviours and sections, and when analyses were made, by day.

Readers who may see only a part of the analyses get their lists from the first, the timelines of clusters are made of
the second. An analysis is a run of a sample, and what counts is samples: repeating a run adds nothing to what is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Subquery, Text, case, cast, func, literal_column, select

from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.report.labels import first_by_source
from cuckoo_ml_plugin.store.analysis_record import sample_key
from cuckoo_ml_plugin.store.database import Database, chunks
from cuckoo_ml_plugin.store.finding_record import finite
from cuckoo_ml_plugin.store.labels import labels_by_analysis
from cuckoo_ml_plugin.store.tables import analysis, finding, meta

_TENANTS = "tenants"  # key in the table meta
DAY = func.substr(func.coalesce(analysis.c.analysed_at, analysis.c.stored_at), 1, 10)
"""The day of an analysis: when it was made, or stored if its host did not say."""
SAMPLE: ColumnElement[str] = func.coalesce(
    analysis.c.sha256,
    func.nullif(analysis.c.sample, literal_column("''")),
    literal_column("'run:'") + cast(analysis.c.number, Text),
)
"""What tells the sample of an analysis from others, as ``analysis_record.sample_key`` does."""
_STORED = finding.c.analysis == analysis.c.analysis


class Counts(NamedTuple):
    """How many samples there are, and how many analyses ran them."""

    samples: int
    runs: int


NONE = Counts(0, 0)


@dataclass(frozen=True, slots=True)
class AnalysisBrief:
    """An analysis with the place of its latest finding; ``cluster``, ``kin`` and the scores are None without one.

    ``day``: when it was made, or stored if its host did not say: ``2026-11-23``. ``sample``: what tells its sample from
    others.
    """

    analysis: str
    sample: str
    sha256: str | None
    target: str
    source_path: str | None
    node: str
    analysed_at: str | None
    stored_at: str
    day: str
    label: str | None
    has_behaviour: bool
    scored: bool
    cluster: str | None
    probability: float | None
    anomaly_score: float | None
    anomalous: bool
    kin: str | None
    kin_probability: float | None


class OverviewStore:
    """The part of the store that lists analyses in brief."""

    _db: Database

    def overview(self, cluster: str | None = None, kin: str | None = None) -> list[AnalysisBrief]:
        """Every analysis in brief, or those of one cluster or kin by their latest findings, in order.

        Raises StoreError.
        """
        query = (
            select(
                *(analysis.c[name] for name in ("analysis", "sha256", "target", "source_path", "node", "analysed_at")),
                *(analysis.c[name] for name in ("stored_at", "sample", "has_behaviour")),
                DAY.label("day"),
                finding.c.analysis.is_not(None).label("scored"),
                *(finding.c[name] for name in ("cluster", "probability", "anomaly_score", "anomalous")),
                *(finding.c[name] for name in ("kin", "kin_probability")),
            )
            .select_from(analysis.outerjoin(finding, finding.c.analysis == analysis.c.analysis))
            .order_by(analysis.c.order_key)
        )
        if cluster is not None:
            query = query.where(finding.c.cluster == cluster)
        if kin is not None:
            query = query.where(finding.c.kin == kin)
        return self._db.read(lambda connection: list(_briefs(connection, connection.execute(query).all())))

    def note_tenants(self, several: bool) -> None:
        """Record whether the host serves several tenants. Raises StoreError."""
        if self.has_tenants() != several:
            statement = self._db.upsert(meta, ["key"])
            row = {"key": _TENANTS, "value": "several" if several else ""}
            self._db.write(lambda connection: connection.execute(statement, row))

    def has_tenants(self) -> bool:
        """Whether the host serves several tenants, by the latest analysis that it reported. Raises StoreError."""
        query = select(meta.c.value).where(meta.c.key == _TENANTS)
        return bool(self._db.read(lambda connection: connection.execute(query).scalar()))


def _briefs(connection: Connection, rows: Any) -> Iterator[AnalysisBrief]:
    labels: dict[str, dict[str, str]] = {}
    for batch in chunks([row.analysis for row in rows]):
        labels |= labels_by_analysis(connection, batch)
    for row in rows:
        yield AnalysisBrief(
            analysis=row.analysis,
            sample=sample_key(row.analysis, row.sha256, row.sample),
            sha256=row.sha256,
            target=row.target,
            source_path=row.source_path,
            node=row.node,
            analysed_at=row.analysed_at,
            stored_at=row.stored_at,
            day=str(row.day),
            label=first_by_source(labels.get(row.analysis, {})),
            has_behaviour=bool(row.has_behaviour),
            scored=bool(row.scored),
            cluster=row.cluster,
            probability=finite(row.probability),
            anomaly_score=finite(row.anomaly_score),
            anomalous=bool(row.anomalous),
            kin=row.kin,
            kin_probability=finite(row.kin_probability),
        )


@dataclass(frozen=True, slots=True)
class Activity:
    """A cluster in numbers: its samples and runs, the samples first analysed after a moment, its first and last day."""

    samples: int
    runs: int
    new: int
    first: str
    last: str


class ActivityStore:
    """The part of the store that counts samples and analyses, also over time."""

    _db: Database

    def cluster_activity(self, since: datetime) -> dict[str | None, Activity]:
        """The activity of each cluster by the latest findings; None: the analyses in no cluster. Raises StoreError.

        Analyses that show no behaviour are not counted: they cannot belong to any. A sample is new by the day of its
        first analysis, whenever that was stored. One of which an analysis has no date is not new.
        """
        return self._activity(finding.c.cluster, since)

    def kin_activity(self, since: datetime) -> dict[str | None, Activity]:
        """The activity of each kin, as :meth:`cluster_activity`. Raises StoreError."""
        return self._activity(finding.c.kin, since)

    def _activity(self, group: Column[str], since: datetime) -> dict[str | None, Activity]:
        first = func.min(func.coalesce(analysis.c.analysed_at, ""))
        rows = self._by_sample(group, first.label("made"), func.min(DAY).label("first"), func.max(DAY).label("last"))
        new = func.sum(case((rows.c.made > utc_text(since), 1), else_=0))
        columns: tuple[Any, ...] = (
            rows.c.part,
            func.count(),
            func.sum(rows.c.runs),
            new,
            func.min(rows.c.first),
            func.max(rows.c.last),
        )
        query: Any = select(*columns).group_by(rows.c.part)
        counted = self._db.read(lambda connection: connection.execute(query).all())
        return {row[0]: Activity(row[1], int(row[2]), int(row[3]), row[4], row[5]) for row in counted}

    def cluster_count(self, cluster: str) -> Counts:
        """How large one cluster is. Raises StoreError."""
        return self._count(finding.c.cluster, cluster)

    def kin_count(self, kin: str) -> Counts:
        """How large one kin is. Raises StoreError."""
        return self._count(finding.c.kin, kin)

    def anomaly_count(self, since: datetime | None = None) -> Counts:
        """How many anomalies there are, of all or of those analysed after a moment. Raises StoreError."""
        where = [finding.c.anomalous, *([] if since is None else [analysis.c.analysed_at > utc_text(since)])]
        rows = (
            select(SAMPLE.label("of_sample"), func.count().label("runs"))
            .where(_STORED, *where)
            .group_by("of_sample")
            .subquery()
        )
        query: Any = select(func.count(), func.coalesce(func.sum(rows.c.runs), 0))
        samples, runs = self._db.read(lambda connection: connection.execute(query.select_from(rows)).one())
        return Counts(samples, int(runs))

    def _count(self, group: Column[str], value: str) -> Counts:
        rows = self._by_sample(group, where=[group == value])
        query: Any = select(func.count(), func.coalesce(func.sum(rows.c.runs), 0)).select_from(rows)
        samples, runs = self._db.read(lambda connection: connection.execute(query).one())
        return Counts(samples, int(runs))

    def _by_sample(
        self, group: Column[str], *values: ColumnElement[Any], where: Sequence[ColumnElement[bool]] = ()
    ) -> Subquery:
        """A row for each sample of each group, with how many of its analyses are there.

        As an expression the group has no index by which SQLite would read the analyses in random order, for which
        100,000 take three times as long.
        """
        columns: tuple[Any, ...] = (
            (group + "").label("part"),
            SAMPLE.label("of_sample"),
            func.count().label("runs"),
            *values,
        )
        return (
            select(*columns).where(_STORED, analysis.c.has_behaviour, *where).group_by("part", "of_sample").subquery()
        )

    def sent_by_submitter(self) -> dict[str, int]:
        """How many analyses each submitter sent; "": those for which the host names none. Raises StoreError."""
        query: Any = select(analysis.c.submitter, func.count()).group_by(analysis.c.submitter)
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return {row[0]: int(row[1]) for row in rows}

    def days(self, cluster: str | None = None, kin: str | None = None) -> list[tuple[str, int]]:
        """Each day (``2026-11-23``) with the number of analyses made on it, of one cluster or kin or of all, in order.

        Raises StoreError.
        """
        where: list[ColumnElement[bool]] = [] if cluster is None else [_STORED, finding.c.cluster == cluster]
        if kin is not None:
            where += [_STORED, finding.c.kin == kin]
        query: Any = select(DAY.label("day"), func.count()).where(*where).group_by("day").order_by("day")
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return [(str(row[0]), int(row[1])) for row in rows]
