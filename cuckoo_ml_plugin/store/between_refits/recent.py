"""How unusual the analyses since a fit are, and the reference of each day that was made of it.

A day's reference is made once, by whichever process needs it first, of what was noted before that day. All processes
and nodes that share the store have the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from cuckoo_ml_plugin.plumbing.times import now_text
from cuckoo_ml_plugin.store.database import Database
from cuckoo_ml_plugin.store.tables import analysis, birth, calibration, recent

_R = recent.c
_C = calibration.c


@dataclass(frozen=True, slots=True)
class RecentAnalysis:
    """An analysis since a fit.

    Attributes:
        sample: what tells its sample from others.
        unusualness: as the model computes it.
        cluster: the id of its cluster, None for none.
        excess: by how much it is more unusual than the cluster's fitted members; None without a cluster.
        submitter, day: who sent it, and when; "" where that is not known.
    """

    analysis: str
    sample: str
    unusualness: float
    cluster: str | None
    excess: float | None
    submitter: str = ""
    day: str = ""


class RecentStore:
    """The part of the store that follows the analyses since a fit."""

    _db: Database

    def note_recent(self, fit: str, day: str, noted: RecentAnalysis) -> None:
        """Note how unusual an analysis is. Raises StoreError.

        Args:
            fit: tells the fit from others: the moment at which it was made.
            day: of the analysis, ``2026-11-23``.
        """
        row = {
            "analysis": noted.analysis,
            "fit": fit,
            "day": day,
            "sample": noted.sample,
            "unusualness": noted.unusualness,
            "cluster": noted.cluster,
            "excess": noted.excess,
            "noted_at": now_text(),
        }
        statement = self._db.upsert(recent, ["analysis"])
        self._db.write(lambda connection: connection.execute(statement, row))

    def recent_before(self, fit: str, day: str, limit: int) -> list[RecentAnalysis]:
        """The last analyses before a day, the newest first, without groups in the making. Raises StoreError."""
        submitter = func.coalesce(analysis.c.submitter, "")
        columns = (_R.analysis, _R.sample, _R.unusualness, _R.cluster, _R.excess, submitter, _R.day)
        grouped = select(birth.c.analysis).where(birth.c.cluster.is_not(None))
        where = (_R.fit == fit, _R.day < day, _R.analysis.not_in(grouped))
        origin = recent.outerjoin(analysis, analysis.c.analysis == _R.analysis)
        query = (
            select(*columns)
            .select_from(origin)
            .where(*where)
            .order_by(_R.day.desc(), _R.noted_at.desc(), _R.analysis)
            .limit(limit)
        )
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return [RecentAnalysis(*row) for row in rows]

    def reference_of_day(self, fit: str, day: str) -> NDArray[np.float64] | None:
        """The reference (r,) of a day, empty where it is the fit's own; None before it is made. Raises StoreError."""
        return self._db.read(lambda connection: _reference(connection, fit, day))

    def keep_reference(self, fit: str, day: str, reference: NDArray[np.float64]) -> NDArray[np.float64]:
        """Keep the reference of a day unless another process has; returns the one that is kept. Raises StoreError."""
        insert: Any = sqlite.insert if self._db.is_sqlite else postgresql.insert
        row = {"fit": fit, "day": day, "reference": np.asarray(reference, "<f8").tobytes()}

        def work(connection: Connection) -> NDArray[np.float64]:
            connection.execute(insert(calibration).on_conflict_do_nothing(index_elements=["fit", "day"]), row)
            kept = _reference(connection, fit, day)
            assert kept is not None
            return kept

        return self._db.write(work)

    def drop_recent(self, kept_fit: str) -> None:
        """Remove what was noted of the analyses since other fits than one. Raises StoreError."""

        def work(connection: Connection) -> None:
            connection.execute(delete(recent).where(_R.fit != kept_fit))
            connection.execute(delete(calibration).where(_C.fit != kept_fit))

        self._db.write(work)


def _reference(connection: Connection, fit: str, day: str) -> NDArray[np.float64] | None:
    value = connection.execute(select(_C.reference).where(_C.fit == fit, _C.day == day)).scalar()
    return None if value is None else np.frombuffer(bytes(value), "<f8").astype(np.float64)
