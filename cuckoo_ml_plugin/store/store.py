"""The store: every analysis with its behaviour, labels and latest finding. SQLite by default, PostgreSQL by URL.

    store = Store.open(home / "store.db")            # or "postgresql+psycopg://user:password@host/database"
    store.put([AnalysisRecord.of("17", report, behaviour, labels_of(report))])
    for stored in store.analyses_in_order(): tokens, counts = stored.unpack()

Any number of processes may read and write at the same time. Everything is read in pages, so the memory needed does not
grow with the number of analyses. Each page is one consistent view; all pages together are not: an analysis that is
stored while they are read may be missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import Source, clean_id, order_key, qualified_names
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.plumbing.times import now_text, utc_text
from cuckoo_ml_plugin.report.labels import ANALYST
from cuckoo_ml_plugin.store import tables as schema
from cuckoo_ml_plugin.store.activity import ActivityStore
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord, StoredAnalysis
from cuckoo_ml_plugin.store.database import PATIENCE, Database, chunks, parse_url
from cuckoo_ml_plugin.store.erasure import ErasureStore, erase_records
from cuckoo_ml_plugin.store.findings import FindingStore
from cuckoo_ml_plugin.store.labels import LabelStore, labels_by_analysis
from cuckoo_ml_plugin.store.packed_behaviour import Counts
from cuckoo_ml_plugin.store.snapshot import SnapshotStore
from cuckoo_ml_plugin.store.threat_scores import ThreatScoreStore, replace_scores, scores_by_analysis

_TABLE = schema.analysis
_LIGHT = [c for c in _TABLE.columns if c.name not in ("behaviour", "order_key", "source_key")]


@dataclass(frozen=True, slots=True)
class OrderRange:
    """A part of the corpus in its order: the analyses after ``after``, up to and including ``upto``; None: no limit."""

    after: str | None = None
    upto: str | None = None


class Store(LabelStore, FindingStore, ActivityStore, ThreatScoreStore, ErasureStore, SnapshotStore):
    """The store at a path (SQLite) or a URL: opened, and created or brought up to date if need be.

    It pickles as its URL and may be used on both sides of a fork.
    """

    def __init__(self, location: str | os.PathLike[str], *, patience: float = PATIENCE) -> None:
        """``patience``: seconds to wait for other writers. Raises StoreError when the store cannot be used."""
        self._db = Database(parse_url(location), patience)
        schema.prepare(self._db)

    @classmethod
    def open(cls, location: str | os.PathLike[str]) -> Store:
        """The store at a path (SQLite) or a URL. Raises StoreError when it cannot be used."""
        return cls(location)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self._db.url.render_as_string(hide_password=False),)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Where the store is, without the password: for messages."""
        return self._db.name

    def close(self) -> None:
        """Close the connections to the database."""
        self._db.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(self, records: Sequence[AnalysisRecord]) -> list[str]:
        """Store analyses in one transaction; returns the id under which each is stored, in the same order.

        An analysis from the same source as before replaces the earlier one and keeps its id. An id that another source
        holds is never overwritten: the new analysis gets a name qualified by its folders. The analyst's labels stay. A
        finding stays as long as the behaviour is the same. Raises StoreError.
        """
        if not records:
            return []
        return self._db.write(lambda connection: self._put(connection, records))

    def _put(self, connection: Connection, records: Sequence[AnalysisRecord]) -> list[str]:
        names = _claim_names(connection, records)
        latest = dict(zip(names, records, strict=True))  # of one source twice in a batch, the last record counts
        moment = now_text()
        _forget_outdated_findings(connection, latest)
        connection.execute(
            self._db.upsert(_TABLE, ["analysis"]), [_row(name, record, moment) for name, record in latest.items()]
        )
        for batch in chunks(list(latest)):
            connection.execute(
                delete(schema.label).where(schema.label.c.analysis.in_(batch), schema.label.c.source != ANALYST)
            )
        labels = [
            {"analysis": name, "source": source, "family": family}
            for name, record in latest.items()
            for source, family in record.labels.items()
        ]
        if labels:
            connection.execute(self._db.upsert(schema.label, ["analysis", "source"]), labels)
        replace_scores(connection, {name: record.scores for name, record in latest.items()})
        readings = {record.source.key: record.source.extraction for record in latest.values() if record.source}
        if readings:
            rows = [{"source_key": key, "extraction": extraction} for key, extraction in readings.items()]
            connection.execute(self._db.upsert(schema.reading, ["source_key"]), rows)
        return names

    def forget(self, analyses: Iterable[str]) -> int:
        """Remove analyses with all that is stored of them; returns how many there were. Raises StoreError.

        Findings of others may still mention them; :meth:`erase` removes that, too.
        """
        names = list(analyses)
        return self._db.write(lambda connection: erase_records(connection, names))

    # -- reading ------------------------------------------------------------------------------------------------------

    def count(self, *, since: datetime | None = None, with_behaviour: bool = False) -> int:
        """How many analyses are stored, or have been stored or replaced after ``since``."""
        query = select(func.count()).select_from(_TABLE)
        if since is not None:
            query = query.where(_TABLE.c.stored_at > utc_text(since))
        if with_behaviour:
            query = query.where(_TABLE.c.has_behaviour)
        return self._db.read(lambda connection: connection.execute(query).scalar_one())

    def get(self, analysis: str) -> StoredAnalysis | None:
        """One analysis with its behaviour, or None."""
        name = clean_id(analysis)
        analyses = self._db.read(lambda connection: _select(connection, _TABLE.c.analysis == name, blobs=True))
        return analyses[0] if analyses else None

    def get_many(self, analyses: Iterable[str]) -> dict[str, StoredAnalysis]:
        """The stored ones of these analyses, by id, without their behaviours."""
        names = list(analyses)

        def work(connection: Connection) -> dict[str, StoredAnalysis]:
            return {
                stored.analysis: stored
                for batch in chunks(names)
                for stored in _select(connection, _TABLE.c.analysis.in_(batch))
            }

        return self._db.read(work)

    def identical(self, digest: str) -> list[StoredAnalysis]:
        """The analyses with exactly this behaviour, by its :attr:`StoredAnalysis.digest`, in order, without it."""
        return self._db.read(lambda connection: _select(connection, _TABLE.c.digest == digest))

    def sources(self, keys: Iterable[str]) -> dict[str, tuple[str, Source]]:
        """For each known source key: the analysis id, and the source as it was when it was read."""
        source_keys = list(keys)
        columns = (
            _TABLE.c.source_key,
            _TABLE.c.analysis,
            *(_TABLE.c[f"source_{n}"] for n in ("path", "size", "mtime_ns")),
            func.coalesce(schema.reading.c.extraction, 0),
        )
        joined = _TABLE.outerjoin(schema.reading, _TABLE.c.source_key == schema.reading.c.source_key)

        def work(connection: Connection) -> dict[str, tuple[str, Source]]:
            return {
                row[0]: (row[1], Source(*row[2:]))
                for batch in chunks(source_keys)
                for row in connection.execute(
                    select(*columns).select_from(joined).where(_TABLE.c.source_key.in_(batch))
                )
            }

        return self._db.read(work)

    def id_holders(self, analyses: Iterable[str]) -> dict[str, str | None]:
        """For each of these ids that is in use: the key of the source that holds it; None if it came from no file."""
        names = list(analyses)
        return self._db.read(lambda connection: _holders(connection, names))

    def analyses_in_order(
        self,
        part: OrderRange = OrderRange(),
        *,
        batch: int = 500,
        behaviours: bool = True,
        with_behaviour_only: bool = False,
    ) -> Iterator[StoredAnalysis]:
        """All analyses, or one part of them, by id as people count (2 before 10): this is the order of a corpus.

        The order depends on the ids alone, not on when each analysis was imported, so one corpus gives one model.
        ``behaviours``: whether to read each :attr:`StoredAnalysis.blob`, too.
        """
        where: list[ColumnElement[bool]] = [_TABLE.c.has_behaviour] if with_behaviour_only else []
        if part.upto is not None:
            where.append(_TABLE.c.order_key <= order_key(part.upto))
        last = "" if part.after is None else order_key(part.after)
        while page := self._page([_TABLE.c.order_key > last, *where], batch, behaviours):
            last = order_key(page[-1].analysis)
            yield from page

    def split(self, parts: int) -> list[OrderRange]:
        """The corpus as at most ``parts`` ranges of about equal size, in order: one for each process that reads."""

        def work(connection: Connection) -> list[str]:
            total = connection.execute(select(func.count()).select_from(_TABLE)).scalar_one()
            by_order = select(_TABLE.c.analysis).order_by(_TABLE.c.order_key).limit(1)
            cuts = sorted({total * i // parts for i in range(1, parts)} - {0})
            return [connection.execute(by_order.offset(cut - 1)).scalar_one() for cut in cuts]

        bounds = [None, *self._db.read(work), None]
        return [OrderRange(after, upto) for after, upto in pairwise(bounds)]

    def iter_behaviours(
        self,
        part: OrderRange = OrderRange(),
        *,
        batch: int = 500,
        with_behaviour_only: bool = True,
        on_damaged: Callable[[StoredAnalysis, StoreError], None] | None = None,
    ) -> Iterator[tuple[StoredAnalysis, bytes, Counts]]:
        """Analyses in order, each with its joined tokens (UTF-8, one a line) and its counts.

        An analysis whose behaviour is damaged is passed to ``on_damaged`` and left out. Without ``on_damaged``, it
        raises StoreError.
        """
        for stored in self.analyses_in_order(part, batch=batch, with_behaviour_only=with_behaviour_only):
            try:
                joined, counts = stored.unpack_joined()
            except StoreError as error:
                if on_damaged is None:
                    raise
                on_damaged(stored, error)
                continue
            stored.blob = None
            yield stored, joined, counts

    def _page(self, where: Sequence[ColumnElement[bool]], batch: int, blobs: bool) -> list[StoredAnalysis]:
        return self._db.read(lambda connection: _select(connection, *where, limit=batch, blobs=blobs))


def _select(
    connection: Connection,
    *where: ColumnElement[bool],
    limit: int | None = None,
    blobs: bool = False,
) -> list[StoredAnalysis]:
    columns = [*_LIGHT, _TABLE.c.behaviour] if blobs else _LIGHT
    rows = connection.execute(select(*columns).where(*where).order_by(_TABLE.c.order_key).limit(limit)).all()
    labels = labels_by_analysis(connection, [row.analysis for row in rows])
    return [_stored(row, labels.get(row.analysis, {}), blobs) for row in rows]


def _stored(row: Row[Any], labels: dict[str, str], blobs: bool) -> StoredAnalysis:
    return StoredAnalysis(
        analysis=row.analysis,
        host=row.host,
        host_version=row.host_version,
        sha256=row.sha256,
        target=row.target,
        analysed_at=row.analysed_at,
        machine=row.machine,
        tags=json.loads(row.tags),
        submitter=row.submitter,
        source_path=row.source_path,
        digest=row.digest,
        token_count=row.token_count,
        has_behaviour=row.has_behaviour,
        stored_at=row.stored_at,
        labels=labels,
        blob=bytes(row.behaviour) if blobs else None,
    )


def _row(name: str, record: AnalysisRecord, moment: str) -> dict[str, object]:
    source = record.source
    return {
        "analysis": name,
        "order_key": order_key(name),
        "host": record.host,
        "host_version": record.host_version,
        "sha256": record.sha256,
        "target": record.target,
        "analysed_at": record.analysed_at,
        "machine": record.machine,
        "tags": json.dumps(record.tags),
        "submitter": record.submitter,
        "source_key": source.key if source else None,
        "source_path": storable(source.path, 4096) if source else None,
        "source_size": source.size if source else None,
        "source_mtime_ns": source.mtime_ns if source else None,
        "digest": record.packed.digest,
        "token_count": record.packed.token_count,
        "has_behaviour": record.has_behaviour,
        "stored_at": moment,
        "behaviour": record.packed.blob,
    }


def _holders(connection: Connection, names: Sequence[str]) -> dict[str, str | None]:
    return {
        row.analysis: row.source_key
        for batch in chunks(names)
        for row in connection.execute(
            select(_TABLE.c.analysis, _TABLE.c.source_key).where(_TABLE.c.analysis.in_(batch))
        )
    }


def _claim_names(connection: Connection, records: Sequence[AnalysisRecord]) -> list[str]:
    """The id for each record: the one that its source has already, else the first name that no other source holds."""
    keys = [record.source.key for record in records if record.source]
    name_of_key = {
        row.source_key: row.analysis
        for batch in chunks(keys)
        for row in connection.execute(
            select(_TABLE.c.source_key, _TABLE.c.analysis).where(_TABLE.c.source_key.in_(batch))
        )
    }
    holders = _holders(connection, [record.analysis for record in records])
    names = []
    for record in records:
        key = record.source.key if record.source else None
        name = name_of_key.get(key) if key else None
        for candidate in () if name else qualified_names(record.analysis, record.source, record.host):
            if candidate not in holders:
                holders.update(_holders(connection, [candidate]))
            if holders.setdefault(candidate, key) == key:
                name = candidate
                break
        assert name is not None
        if key:
            name_of_key[key] = name
        names.append(name)
    return names


def _forget_outdated_findings(connection: Connection, latest: dict[str, AnalysisRecord]) -> None:
    """Remove the findings of analyses whose behaviour or threat scores have changed."""
    stored = {
        row.analysis: row.digest
        for batch in chunks(list(latest))
        for row in connection.execute(select(_TABLE.c.analysis, _TABLE.c.digest).where(_TABLE.c.analysis.in_(batch)))
    }
    scores = scores_by_analysis(connection, list(stored))
    outdated = [
        name
        for name, digest in stored.items()
        if digest != latest[name].packed.digest or set(scores.get(name, ())) != set(latest[name].scores)
    ]
    for batch in chunks(outdated):
        connection.execute(delete(schema.finding).where(schema.finding.c.analysis.in_(batch)))
