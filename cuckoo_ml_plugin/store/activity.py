"""When analyses came: for the growth of clusters and their timelines. An analysis counts on the day it was made."""

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
    """How many analyses a cluster has, how many of them were stored since a moment, and its first and last day."""

    analyses: int
    new: int
    first: str
    last: str


class ActivityStore:
    """The part of the store that answers when."""

    _db: Database

    def cluster_activity(self, since: datetime) -> dict[str | None, Activity]:
        """For each cluster (None: for what belongs to none), from the latest findings. Raises StoreError."""
        new = func.sum(case((analysis.c.stored_at > utc_text(since), 1), else_=0))
        query = (
            select(finding.c.cluster, func.count(), new, func.min(_DAY), func.max(_DAY))
            .where(_STORED)
            .group_by(finding.c.cluster)
        )
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return {row[0]: Activity(row[1], int(row[2]), row[3], row[4]) for row in rows}

    def days(self, cluster: str | None = None) -> list[tuple[str, int]]:
        """Days (``2026-11-23``) with how many analyses of a cluster, or of all, were made on each; in order.

        Raises StoreError.
        """
        where: list[ColumnElement[bool]] = [] if cluster is None else [_STORED, finding.c.cluster == cluster]
        query: Any = select(_DAY.label("day"), func.count()).where(*where).group_by("day").order_by("day")
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return [(str(row[0]), int(row[1])) for row in rows]
