"""When analyses were made, by day: for the growth of clusters and their timelines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select

from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.store.database import Database
from cuckoo_ml_plugin.store.tables import analysis, finding

_DAY = func.substr(func.coalesce(analysis.c.analysed_at, analysis.c.stored_at), 1, 10)
_STORED = finding.c.analysis == analysis.c.analysis


@dataclass(frozen=True, slots=True)
class Activity:
    """The size of a cluster, how many of its analyses were stored after a moment, and its first and last day."""

    analyses: int
    new: int
    first: str
    last: str


class ActivityStore:
    """The part of the store that counts analyses over time."""

    _db: Database

    def cluster_activity(self, since: datetime) -> dict[str | None, Activity]:
        """The activity of each cluster by the latest findings; None: the analyses in no cluster. Raises StoreError."""
        new = func.sum(case((analysis.c.stored_at > utc_text(since), 1), else_=0))
        query = (
            select(finding.c.cluster, func.count(), new, func.min(_DAY), func.max(_DAY))
            .where(_STORED)
            .group_by(finding.c.cluster)
        )
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return {row[0]: Activity(row[1], int(row[2]), row[3], row[4]) for row in rows}

    def days(self, cluster: str | None = None) -> list[tuple[str, int]]:
        """Each day (``2026-11-23``) with the number of analyses made on it, of one cluster or of all, in order.

        Raises StoreError.
        """
        where: list[ColumnElement[bool]] = [] if cluster is None else [_STORED, finding.c.cluster == cluster]
        query: Any = select(_DAY.label("day"), func.count()).where(*where).group_by("day").order_by("day")
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return [(str(row[0]), int(row[1])) for row in rows]
