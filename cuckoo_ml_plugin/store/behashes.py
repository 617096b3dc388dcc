"""The behashes in the store: one for each distinct behaviour, by which past analyses are found without reading them.

A behaviour has its row as long as an analysis shows it. Rows are numbered in the order in which they were added, so
that a process that has read them all reads only what is new. A store from before version 5 lacks rows;
:meth:`BehashStore.fill_behashes` adds them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite

from cuckoo_ml_plugin.behaviour.behash import behash as behash_of
from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.database import Database, chunks, execute_for, one_of
from cuckoo_ml_plugin.store.packed_behaviour import DamagedBlobError, unpack_joined
from cuckoo_ml_plugin.store.tables import BEHASHES_LACK, analysis, behash, meta

_B = behash.c
_PAGE = 500  # behaviours that are read, hashed and written at once
_FROM: Final = (
    select(_B.number, _B.digest, _B.behash)
    .where(_B.number >= bindparam("first"))
    .order_by(_B.number)
    .limit(bindparam("most"))
)
_ADD: Final = {
    is_sqlite: insert(behash).on_conflict_do_nothing(index_elements=["digest"])
    for is_sqlite, insert in ((True, sqlite.insert), (False, postgresql.insert))
}
_PACKED: Final = select(analysis.c.digest, analysis.c.behaviour).where(
    analysis.c.number.in_(
        select(func.min(analysis.c.number)).where(one_of(analysis.c.digest)).group_by(analysis.c.digest)
    )
)


class StoredBehash(NamedTuple):
    """The behash of one behaviour, which is known by its digest."""

    number: int
    digest: str
    behash: bytes


class Showing(NamedTuple):
    """The analyses that show a piece of behaviour, newest first, and whether all behaviours were looked at."""

    analyses: list[str]
    is_complete: bool


class BehashStore:
    """The part of the store that keeps behashes, and finds behaviours."""

    _db: Database

    def behashes_from(self, number: int, limit: int) -> list[StoredBehash]:
        """The first ``limit`` behashes whose number is at least ``number``, in order. Raises StoreError."""
        page = {"first": number, "most": limit}
        rows = self._db.read(lambda connection: connection.execute(_FROM, page).all())
        return [StoredBehash(row.number, row.digest, bytes(row.behash)) for row in rows]

    def first_behash_since(self, moment: datetime) -> int:
        """The number from which on all behashes are that were stored after a moment. Raises StoreError."""
        newer = select(func.min(_B.number)).where(_B.stored_at > utc_text(moment))
        latest = select(func.max(_B.number))

        def work(connection: Connection) -> int:
            first = connection.execute(newer).scalar()
            return first if first is not None else (connection.execute(latest).scalar() or 0) + 1

        return self._db.read(work)

    def first_of_newest_behashes(self, count: int) -> int:
        """The number from which on the newest ``count`` behashes are, 0 if there are no more. Raises StoreError."""
        query = select(_B.number).order_by(_B.number.desc()).offset(count).limit(1)
        return self._db.read(lambda connection: connection.execute(query).scalar() or -1) + 1

    def joined_tokens_of(self, digests: Collection[str]) -> dict[str, bytes | None]:
        """The tokens of the stored ones of these behaviours, as UTF-8 with line breaks between them, by digest.

        None for a damaged one. Raises StoreError.
        """
        names = sorted(digests)

        def work(connection: Connection) -> dict[str, bytes]:
            return {
                digest: blob for batch in chunks(names) for digest, blob in packed_behaviours(connection, batch).items()
            }

        tokens: dict[str, bytes | None] = {}
        for digest, blob in self._db.read(work).items():
            try:
                tokens[digest] = unpack_joined(blob)[0]
            except DamagedBlobError:
                tokens[digest] = None
        return tokens

    def analyses_showing(self, tokens: Collection[str], seconds: float | None = None) -> Showing:
        """The analyses that show any of these tokens, newest first. Raises StoreError.

        Each behaviour is read once, those of the newest analyses first. ``seconds``: after how many the search ends.
        """
        needles = [f"\n{token}\n".encode(errors="replace") for token in tokens]
        columns = (analysis.c.number, analysis.c.analysis, analysis.c.digest)
        newest = func.substr(func.coalesce(analysis.c.analysed_at, analysis.c.stored_at), 1, 10).desc()
        query = select(*columns).order_by(newest, analysis.c.number.desc())
        began = time.monotonic()
        rows = self._db.read(lambda connection: connection.execute(query).all())
        numbers: dict[str, int] = {}  # the newest analysis of each behaviour
        for row in rows:
            numbers.setdefault(row.digest, row.number)
        read, shown = 0, set()
        order = list(numbers.items())
        while read < len(order) and (seconds is None or time.monotonic() - began < seconds):
            page = order[read : read + _PAGE]
            read += len(page)
            blobs = select(analysis.c.digest, analysis.c.behaviour).where(analysis.c.number.in_([n for _, n in page]))
            for digest, blob in self._db.read(lambda connection, q=blobs: connection.execute(q).all()):  # type: ignore[misc]
                try:
                    body = b"\n" + unpack_joined(bytes(blob))[0] + b"\n"
                except DamagedBlobError:
                    continue
                if any(needle in body for needle in needles):
                    shown.add(digest)
        return Showing([row.analysis for row in rows if row.digest in shown], read == len(order))

    def fill_behashes(self) -> int:
        """Add the behashes that a store of an earlier version lacks; returns how many. Raises StoreError.

        A fill that was killed is completed by the next.
        """
        lack = meta.c.key == BEHASHES_LACK
        if self._db.read(lambda connection: connection.execute(select(meta.c.value).where(lack)).scalar()) is None:
            return 0
        has_row = exists().where(_B.digest == analysis.c.digest)
        lacking = (
            select(analysis.c.digest, func.min(analysis.c.stored_at).label("stored_at"))
            .where(analysis.c.has_behaviour, ~has_row)
            .group_by(analysis.c.digest)
            .order_by(analysis.c.digest)
            .limit(_PAGE)
        )
        last, filled = "", 0
        while rows := self._db.read(
            lambda connection, last=last: connection.execute(lacking.where(analysis.c.digest > last)).all()  # type: ignore[misc]
        ):
            last = rows[-1].digest
            tokens = self.joined_tokens_of([row.digest for row in rows])
            made = {
                row.digest: {"digest": row.digest, "behash": value, "stored_at": row.stored_at}
                for row in rows
                if (value := behash_of(tokens.get(row.digest) or b"")) is not None
            }
            filled += self._db.write(lambda connection, made=made: self._add_shown(connection, made))  # type: ignore[misc]
        self._db.write(lambda connection: connection.execute(delete(meta).where(lack)))
        return filled

    def _add_shown(self, connection: Connection, rows: Mapping[str, dict[str, object]]) -> int:
        """Add the rows of behaviours that are still shown by an analysis."""
        shown = connection.execute(select(analysis.c.digest).where(analysis.c.digest.in_(rows)).distinct()).scalars()
        kept = [rows[digest] for digest in sorted(shown)]
        self._add(connection, kept)
        return len(kept)

    def _add_behashes(self, connection: Connection, records: Iterable[AnalysisRecord], moment: str) -> None:
        """Add the behashes of records that are being stored, each behaviour once."""
        rows: dict[str, dict[str, object]] = {
            record.packed.digest: {
                "digest": record.packed.digest,
                "behash": record.packed.behash,
                "stored_at": moment,
            }
            for record in records
            if record.has_behaviour and record.packed.behash is not None
        }
        self._add(connection, list(rows.values()))

    def _add(self, connection: Connection, rows: Sequence[dict[str, object]]) -> None:
        execute_for(connection, _ADD[self._db.is_sqlite], rows)


def digests_of(connection: Connection, names: Sequence[str]) -> set[str]:
    """The behaviours that these analyses show."""
    query = select(analysis.c.digest).distinct()
    return {
        digest
        for batch in chunks(names)
        for digest in connection.execute(query.where(analysis.c.analysis.in_(batch))).scalars()
    }


def drop_unshown(connection: Connection, digests: Collection[str]) -> None:
    """Remove those of these behaviours that no analysis shows any more."""
    is_shown = exists().where(analysis.c.digest == _B.digest)
    for batch in chunks(sorted(digests)):
        connection.execute(delete(behash).where(_B.digest.in_(batch), ~is_shown))


def packed_behaviours(connection: Connection, digests: Sequence[str]) -> dict[str, bytes]:
    """The packed behaviours with these digests, from one analysis each."""
    return {row.digest: bytes(row.behaviour) for row in connection.execute(_PACKED, {"values": digests})}
