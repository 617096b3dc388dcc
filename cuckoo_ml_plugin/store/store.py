"""The store: every analysis with its behaviour, labels and latest finding. SQLite by default, PostgreSQL by URL.

    store = Store.open(home / "store.db")            # or "postgresql+psycopg://user:password@host/database"
    store.put([AnalysisRecord.of("17", report, behaviour, labels_of(report))])
    for stored in store.analyses_in_order(): tokens, counts = stored.unpack()

Any number of processes may read and write at once. Everything is read in pages, so memory stays the same at a million
analyses; a page is one consistent view, the pages together are not (analyses stored meanwhile may or may not be seen).
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
from cuckoo_ml_plugin.store.database import PATIENCE, Database, chunks, parse_url
from cuckoo_ml_plugin.store.findings import FindingStore
from cuckoo_ml_plugin.store.labels import LabelStore, labels_by_analysis
from cuckoo_ml_plugin.store.packed_behaviour import Counts
from cuckoo_ml_plugin.store.records import AnalysisRecord, StoredAnalysis
from cuckoo_ml_plugin.store.threat_scores import ThreatScoreStore, replace_scores, scores_by_analysis

_TABLE = schema.analysis
_LIGHT = [c for c in _TABLE.columns if c.name not in ("behaviour", "order_key", "source_key")]


@dataclass(frozen=True, slots=True)
class OrderRange:
    """A part of the corpus in its order: from behind id ``after`` up to and with ``upto``; None is the end."""

    after: str | None = None
    upto: str | None = None


class Store(LabelStore, FindingStore, ActivityStore, ThreatScoreStore):
    """Opens, and makes or migrates, the store at a path or a URL. It pickles as its URL and may cross a fork."""

    def __init__(self, where: str | os.PathLike[str], *, patience: float = PATIENCE) -> None:
        """``patience``: seconds to wait for other writers. Raises StoreError when the store cannot be used."""
        self._db = Database(parse_url(where), patience)
        schema.prepare(self._db)

    @classmethod
    def open(cls, where: str | os.PathLike[str]) -> Store:
        """The store at a path (SQLite) or a URL."""
        return cls(where)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self._db.url.render_as_string(hide_password=False),)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Where the store is, without a password: for messages."""
        return self._db.name

    def close(self) -> None:
        """Give the database's connections back."""
        self._db.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(self, records: Sequence[AnalysisRecord]) -> list[str]:
        """Store analyses in one transaction; returns the id that each is stored under, in the same order.

        What came from the same source before is replaced (and keeps its id). An id that another source holds is never
        overwritten: the newcomer gets a name qualified by its folders. Labels by the analyst stay; a finding stays
        while the behaviour is the same. Raises StoreError.
        """
        if not records:
            return []
        return self._db.write(lambda connection: self._put(connection, records))

    def _put(self, connection: Connection, records: Sequence[AnalysisRecord]) -> list[str]:
        names = _claim_names(connection, records)
        latest = dict(zip(names, records, strict=True))  # one source twice in a batch: the last word counts
        moment = now_text()
        _forget_outdated_findings(connection, latest)
        connection.execute(
            self._db.upsert(_TABLE, ["analysis"]), [_row(name, record, moment) for name, record in latest.items()]
        )
        for some in chunks(list(latest)):
            connection.execute(
                delete(schema.label).where(schema.label.c.analysis.in_(some), schema.label.c.source != ANALYST)
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
        """Remove analyses with their labels and findings; returns how many there were."""
        names = list(analyses)

        def work(connection: Connection) -> int:
            gone = 0
            for some in chunks(names):
                keys = select(_TABLE.c.source_key).where(_TABLE.c.analysis.in_(some), _TABLE.c.source_key.is_not(None))
                connection.execute(delete(schema.reading).where(schema.reading.c.source_key.in_(keys)))
                for table in (schema.label, schema.finding, schema.threat_score):
                    connection.execute(delete(table).where(table.c.analysis.in_(some)))
                gone += connection.execute(delete(_TABLE).where(_TABLE.c.analysis.in_(some))).rowcount
            return gone

        return self._db.write(work)

    # -- reading ------------------------------------------------------------------------------------------------------

    def count(self, *, since: datetime | None = None, with_behaviour: bool = False) -> int:
        """How many analyses are stored, or were stored (or replaced) after a moment."""
        query = select(func.count()).select_from(_TABLE)
        if since is not None:
            query = query.where(_TABLE.c.stored_at > utc_text(since))
        if with_behaviour:
            query = query.where(_TABLE.c.has_behaviour)
        return self._db.read(lambda connection: connection.execute(query).scalar_one())

    def get(self, analysis: str) -> StoredAnalysis | None:
        """One analysis with its behaviour, or None."""
        name = clean_id(analysis)
        found = self._db.read(lambda connection: _select(connection, _TABLE.c.analysis == name, blobs=True))
        return found[0] if found else None

    def get_many(self, analyses: Iterable[str]) -> dict[str, StoredAnalysis]:
        """Those of the analyses that are stored, by id, without their behaviours."""
        names = list(analyses)

        def work(connection: Connection) -> dict[str, StoredAnalysis]:
            return {
                stored.analysis: stored
                for some in chunks(names)
                for stored in _select(connection, _TABLE.c.analysis.in_(some))
            }

        return self._db.read(work)

    def by_sha256(self, sha256: str) -> list[StoredAnalysis]:
        """The analyses of one file, in order, without their behaviours."""
        return self._db.read(lambda connection: _select(connection, _TABLE.c.sha256 == sha256.lower()))

    def identical(self, digest: str) -> list[StoredAnalysis]:
        """The analyses with exactly this behaviour (:attr:`StoredAnalysis.digest`), in order, without it."""
        return self._db.read(lambda connection: _select(connection, _TABLE.c.digest == digest))

    def sources(self, keys: Iterable[str]) -> dict[str, tuple[str, Source]]:
        """For those source keys that are known: the analysis id, and the source as it was when it was read."""
        wanted = list(keys)
        columns = (
            _TABLE.c.source_key,
            _TABLE.c.analysis,
            *(_TABLE.c[f"source_{n}"] for n in ("path", "size", "mtime_ns")),
            func.coalesce(schema.reading.c.extraction, 0),
        )
        known = _TABLE.outerjoin(schema.reading, _TABLE.c.source_key == schema.reading.c.source_key)

        def work(connection: Connection) -> dict[str, tuple[str, Source]]:
            return {
                row[0]: (row[1], Source(*row[2:]))
                for some in chunks(wanted)
                for row in connection.execute(select(*columns).select_from(known).where(_TABLE.c.source_key.in_(some)))
            }

        return self._db.read(work)

    def taken(self, analyses: Iterable[str]) -> dict[str, str | None]:
        """For those ids that are taken: the key of the source that holds each (None: it did not come from a file)."""
        names = list(analyses)
        return self._db.read(lambda connection: _holders(connection, names))

    def iter_analyses(
        self, *, batch: int = 500, after: int = 0, behaviours: bool = True, with_behaviour_only: bool = False
    ) -> Iterator[StoredAnalysis]:
        """All analyses as they were stored first, oldest first; ``after``: only those with a higher number."""
        where = [_TABLE.c.has_behaviour] if with_behaviour_only else []
        last = after
        while page := self._page([_TABLE.c.number > last, *where], _TABLE.c.number, batch, behaviours):
            last = page[-1].number
            yield from page

    def analyses_in_order(
        self,
        part: OrderRange = OrderRange(),
        *,
        batch: int = 500,
        behaviours: bool = True,
        with_behaviour_only: bool = False,
    ) -> Iterator[StoredAnalysis]:
        """All analyses, or one part of them, by id as people count (2 before 10): the order of a corpus.

        It depends on the ids alone, not on who imported what when, so the same corpus fits the same model.
        """
        where: list[ColumnElement[bool]] = [_TABLE.c.has_behaviour] if with_behaviour_only else []
        if part.upto is not None:
            where.append(_TABLE.c.order_key <= order_key(part.upto))
        last = "" if part.after is None else order_key(part.after)
        while page := self._page([_TABLE.c.order_key > last, *where], _TABLE.c.order_key, batch, behaviours):
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
        """Analyses in order with their joined tokens (UTF-8, a line each) and counts.

        A damaged one is passed to ``on_damaged`` and left out; without it, StoreError is raised.
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

    def _page(
        self, where: Sequence[ColumnElement[bool]], order: ColumnElement[Any], batch: int, blobs: bool
    ) -> list[StoredAnalysis]:
        return self._db.read(lambda connection: _select(connection, *where, order=order, limit=batch, blobs=blobs))


def _select(
    connection: Connection,
    *where: ColumnElement[bool],
    order: ColumnElement[Any] = _TABLE.c.order_key,
    limit: int | None = None,
    blobs: bool = False,
) -> list[StoredAnalysis]:
    columns = [*_LIGHT, _TABLE.c.behaviour] if blobs else _LIGHT
    rows = connection.execute(select(*columns).where(*where).order_by(order).limit(limit)).all()
    labels = labels_by_analysis(connection, [row.analysis for row in rows])
    return [_stored(row, labels.get(row.analysis, {}), blobs) for row in rows]


def _stored(row: Row[Any], labels: dict[str, str], blobs: bool) -> StoredAnalysis:
    return StoredAnalysis(
        number=row.number,
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
        for some in chunks(names)
        for row in connection.execute(select(_TABLE.c.analysis, _TABLE.c.source_key).where(_TABLE.c.analysis.in_(some)))
    }


def _claim_names(connection: Connection, records: Sequence[AnalysisRecord]) -> list[str]:
    """The id for each record: the one its source has already, else its first name that no other source holds."""
    keys = [record.source.key for record in records if record.source]
    named = {
        row.source_key: row.analysis
        for some in chunks(keys)
        for row in connection.execute(
            select(_TABLE.c.source_key, _TABLE.c.analysis).where(_TABLE.c.source_key.in_(some))
        )
    }
    holders = _holders(connection, [record.analysis for record in records])
    names = []
    for record in records:
        key = record.source.key if record.source else None
        name = named.get(key) if key else None
        for candidate in () if name else qualified_names(record.analysis, record.source, record.host):
            if candidate not in holders:
                holders.update(_holders(connection, [candidate]))
            if holders.setdefault(candidate, key) == key:
                name = candidate
                break
        assert name is not None
        if key:
            named[key] = name
        names.append(name)
    return names


def _forget_outdated_findings(connection: Connection, latest: dict[str, AnalysisRecord]) -> None:
    """A finding speaks of one behaviour and its threat scores: when these change, it goes."""
    stored = {
        row.analysis: row.digest
        for some in chunks(list(latest))
        for row in connection.execute(select(_TABLE.c.analysis, _TABLE.c.digest).where(_TABLE.c.analysis.in_(some)))
    }
    scores = scores_by_analysis(connection, list(stored))
    outdated = [
        name
        for name, digest in stored.items()
        if digest != latest[name].packed.digest or set(scores.get(name, ())) != set(latest[name].scores)
    ]
    for some in chunks(outdated):
        connection.execute(delete(schema.finding).where(schema.finding.c.analysis.in_(some)))
