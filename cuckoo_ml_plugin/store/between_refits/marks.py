"""Marks: up to which row a fit has read, by which what is newer is told from what it knows.

Rows are numbered in the order in which they were stored. A clock may jump; these numbers do not.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update

from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.store.database import Database
from cuckoo_ml_plugin.store.tables import analysis, behash, meta

_PREFIX: Final = "fit:"  # how the keys in the table meta begin; the id of the model follows


class Mark(NamedTuple):
    """The numbers of the last analysis and of the last behaviour."""

    analysis: int
    behash: int


class MarkStore:
    """The part of the store that knows what is newer than a fit."""

    _db: Database

    def mark(self) -> Mark:
        """Where the store is now. Raises StoreError."""
        return self._db.read(_last)

    def keep_mark(self, model: str, mark: Mark, others: Collection[str]) -> None:
        """Keep the mark of a model's fit; of others only those of these models stay. Raises StoreError."""
        kept = {_key(name) for name in (model, *others)}

        def work(connection: Connection) -> None:
            keys = connection.execute(select(meta.c.key).where(meta.c.key.startswith(_PREFIX))).scalars().all()
            gone = [key for key in keys if key not in kept]
            connection.execute(delete(meta).where(meta.c.key.in_(gone)))
            connection.execute(self._db.upsert(meta, ["key"]), {"key": _key(model), "value": json.dumps(mark)})

        self._db.write(work)

    def mark_of(self, model: str) -> Mark | None:
        """The mark of a model's fit; None for one of which this store has none. Raises StoreError."""
        query = select(meta.c.value).where(meta.c.key == _key(model))
        value = self._db.read(lambda connection: connection.execute(query).scalar())
        return None if value is None else _decoded(value)


def rename_mark(connection: Connection, model: str, renamed: str) -> None:
    """Give the mark of a model to an edited copy of it."""
    connection.execute(delete(meta).where(meta.c.key == _key(renamed)))
    connection.execute(update(meta).where(meta.c.key == _key(model)).values(key=_key(renamed)))


def lower_marks(connection: Connection) -> None:
    """Lower the marks to the last rows that are left after some were removed: their numbers may be given again."""
    last = _last(connection)
    for key, value in connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.startswith(_PREFIX))).all():
        mark = _decoded(value)
        lowered = Mark(min(mark.analysis, last.analysis), min(mark.behash, last.behash)) if mark else last
        if lowered != mark:
            connection.execute(update(meta).where(meta.c.key == key).values(value=json.dumps(lowered)))


def is_newer(mark: Mark) -> ColumnElement[bool]:
    """Whether an analysis was stored after a mark, or shows since then a behaviour that the store did not have."""
    new_behaviours = select(behash.c.digest).where(behash.c.number > mark.behash)
    return or_(analysis.c.number > mark.analysis, analysis.c.digest.in_(new_behaviours))


def _last(connection: Connection) -> Mark:
    numbers = (connection.execute(select(func.max(table.c.number))).scalar() or 0 for table in (analysis, behash))
    return Mark(*numbers)


def _key(model: str) -> str:
    return storable(f"{_PREFIX}{model}", 120)


def _decoded(value: str) -> Mark | None:
    try:
        first, second = json.loads(value)
        return Mark(int(first), int(second))
    except (ValueError, TypeError, RecursionError):
        return None
