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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, String, bindparam, delete, func, or_, select, update

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source, clean_id, order_key
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.plumbing.times import now_text, utc_text
from cuckoo_ml_plugin.report.labels import ANALYST
from cuckoo_ml_plugin.store import tables as schema
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord, StoredAnalysis, sample_key
from cuckoo_ml_plugin.store.behashes import BehashStore, digests_of, drop_unshown
from cuckoo_ml_plugin.store.between_refits.births import BirthStore, drop_births
from cuckoo_ml_plugin.store.between_refits.marks import Mark, MarkStore, is_newer, lower_marks
from cuckoo_ml_plugin.store.between_refits.recent import RecentStore
from cuckoo_ml_plugin.store.claims import Claim, Claims
from cuckoo_ml_plugin.store.database import PATIENCE, Database, chunks, execute_for, one_of, parse_url
from cuckoo_ml_plugin.store.findings import FindingStore
from cuckoo_ml_plugin.store.labels import LabelStore, labels_by_analysis
from cuckoo_ml_plugin.store.overview import SAMPLE, ActivityStore, OverviewStore
from cuckoo_ml_plugin.store.packed_behaviour import Counts
from cuckoo_ml_plugin.store.threat_scores import ThreatScoreStore, add_scores, drop_scores, scores_by_analysis
from cuckoo_ml_plugin.store.upkeep import ErasureStore, SnapshotStore, erase_records

T = TypeVar("T")

_TABLE = schema.analysis
_MOST_REPEATS = 1_000  # of a behaviour, among which samples are told apart
_LIGHT = [c for c in _TABLE.columns if c.name not in ("behaviour", "order_key", "source_key", "run")]


@dataclass(frozen=True, slots=True)
class OrderRange:
    """A part of the corpus in its order: the analyses after ``after``, up to and including ``upto``; None: no limit."""

    after: str | None = None
    upto: str | None = None


@dataclass(frozen=True, slots=True)
class SampleRuns:
    """The sample of an analysis, what tells it from others, and how many analyses ran it."""

    sample: str
    runs: int
    target: str
    analysed_at: str | None


class Store(
    LabelStore,
    FindingStore,
    OverviewStore,
    ActivityStore,
    ThreatScoreStore,
    BehashStore,
    BirthStore,
    ErasureStore,
    MarkStore,
    RecentStore,
    SnapshotStore,
):
    """The store at a path (SQLite) or a URL: opened, and created or brought up to date if need be.

    It pickles as its URL and may be used on both sides of a fork.
    """

    def __init__(self, location: str | os.PathLike[str], *, patience: float = PATIENCE) -> None:
        """``patience``: seconds to wait for other writers. Raises StoreError when the store cannot be used."""
        self._db = Database(parse_url(location), patience)
        schema.prepare(self._db)
        self._db.prepare = schema.prepare

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

    def together(self, work: Callable[[], T]) -> T:
        """Do all that the work writes and reads in one transaction, or nothing; the work may be repeated.

        While it lasts nobody else writes, so it should do nothing else that takes time. Raises StoreError.
        """
        return self._db.together(work)

    def reading(self, work: Callable[[], T]) -> T:
        """Do all that the work reads on one connection, in SQLite on one consistent view; it may be repeated.

        What it writes, it writes as without this, and may not read again before its end. Raises StoreError.
        """
        return self._db.reading(work)

    def cut(self) -> None:
        """End what threads wait for in this store whose time is over: they get StoreError."""
        self._db.cut()

    # -- writing ------------------------------------------------------------------------------------------------------

    def put(self, records: Sequence[AnalysisRecord]) -> list[str]:
        """Store analyses in one transaction; returns the id under which each is stored, in the same order.

        A record of a stored run replaces it, whatever file or node it comes from, and keeps its id. Nothing else is
        replaced: a new analysis whose id is in use gets a longer one. The analyst's labels stay. A finding stays as
        long as the behaviour is the same. Raises StoreError.
        """
        return [claim.analysis for claim in self.put_claims(records)]

    def put_claims(self, records: Sequence[AnalysisRecord]) -> list[Claim]:
        """As :meth:`put`; returns also whether each is new. Raises StoreError."""
        return self._db.write(lambda connection: self._put(connection, records)) if records else []

    def _put(self, connection: Connection, records: Sequence[AnalysisRecord]) -> list[Claim]:
        claims_of_batch = Claims(connection, records)
        claims = [claims_of_batch.claim(record) for record in records]
        # Of one run twice in a batch, the last record counts.
        written = {c.analysis: (c, record) for c, record in zip(claims, records, strict=True) if c.writes}
        latest = {name: record for name, (_, record) in written.items()}
        moment = now_text()
        for batch in chunks(claims_of_batch.without_file):
            nothing = dict.fromkeys(("source_key", "source_size", "source_mtime_ns"))  # source_path says where it was
            connection.execute(update(_TABLE).where(_TABLE.c.analysis.in_(batch)).values(nothing))
        replaced = [name for name, (claim, _) in written.items() if not claim.is_new]  # nothing is known of the others
        _forget_outdated_findings(connection, {name: latest[name] for name in replaced})
        if written:
            before = digests_of(connection, [claim.analysis for claim, _ in written.values() if not claim.is_new])
            rows = [_row(claim, record, moment) for claim, record in written.values()]
            execute_for(connection, self._db.upsert(_TABLE, ["analysis"]), rows)
            self._add_behashes(connection, latest.values(), moment)
            unshown = before - {record.packed.digest for record in latest.values()}
            if unshown:
                drop_unshown(connection, unshown)
                lower_marks(connection)
        for batch in chunks(replaced):
            connection.execute(
                delete(schema.label).where(schema.label.c.analysis.in_(batch), schema.label.c.source != ANALYST)
            )
        labels = [
            {"analysis": name, "source": source, "family": family}
            for name, record in latest.items()
            for source, family in record.labels.items()
        ]
        execute_for(connection, self._db.upsert(schema.label, ["analysis", "source"]), labels)
        drop_scores(connection, replaced)
        add_scores(connection, {name: record.scores for name, record in latest.items()})
        self._note_files(connection, claims, records)
        return claims

    def _note_files(self, connection: Connection, claims: Sequence[Claim], records: Sequence[AnalysisRecord]) -> None:
        """Note by which extraction each file was read, and which files hold copies."""
        readings: dict[str, int] = {}
        copies: dict[str, dict[str, object]] = {}
        for claim, record in zip(claims, records, strict=True):
            if record.source:
                copies.pop(record.source.key, None)
                readings[record.source.key] = record.source.extraction
            for file in claim.copies:
                copies[file.key] = {
                    "source_key": file.key,
                    "analysis": claim.analysis,
                    "size": file.size,
                    "mtime_ns": file.mtime_ns,
                    "extraction": file.extraction,
                }
        for batch in chunks([key for key in readings if key not in copies]):
            connection.execute(delete(schema.copy).where(schema.copy.c.source_key.in_(batch)))
        execute_for(connection, self._db.upsert(schema.copy, ["source_key"]), list(copies.values()))
        rows = [{"source_key": key, "extraction": extraction} for key, extraction in readings.items()]
        execute_for(connection, self._db.upsert(schema.reading, ["source_key"]), rows)

    def forget(self, analyses: Iterable[str]) -> int:
        """Remove analyses with all that is stored of them; returns how many there were. Raises StoreError.

        Findings of others may still mention them; :meth:`erase` removes that, too.
        """
        names = list(analyses)
        return self._db.write(lambda connection: erase_records(connection, names))

    # -- reading ------------------------------------------------------------------------------------------------------

    def count(self, *, since: datetime | Mark | None = None, with_behaviour: bool = False) -> int:
        """How many analyses are stored, or have been stored or replaced after ``since``.

        After a mark, those that were replaced count if their behaviour was new.
        """
        query = select(func.count()).select_from(_TABLE)
        if since is not None:
            query = query.where(is_newer(since) if isinstance(since, Mark) else _TABLE.c.stored_at > utc_text(since))
        if with_behaviour:
            query = query.where(_TABLE.c.has_behaviour)
        return self._db.read(lambda connection: connection.execute(query).scalar_one())

    def get(self, analysis: str) -> StoredAnalysis | None:
        """One analysis with its behaviour, or None."""
        name = clean_id(analysis)
        analyses = self._db.read(lambda connection: _select_by(connection, "analysis", [name], blobs=True))
        return analyses[0] if analyses else None

    def get_many(self, analyses: Iterable[str], *, behaviours: bool = False) -> dict[str, StoredAnalysis]:
        """The stored ones of these analyses, by id; ``behaviours``: whether to read each blob, too."""
        names = list(analyses)

        def work(connection: Connection) -> dict[str, StoredAnalysis]:
            return {
                stored.analysis: stored
                for batch in chunks(names)
                for stored in _select_by(connection, "analysis", batch, blobs=behaviours)
            }

        return self._db.read(work)

    def unscored_since(self, mark: Mark, limit: int) -> list[str]:
        """The first few analyses with behaviour that were stored after a mark and have no finding, in that order."""
        where = (_TABLE.c.has_behaviour, is_newer(mark), schema.finding.c.analysis.is_(None))
        joined = _TABLE.outerjoin(schema.finding, schema.finding.c.analysis == _TABLE.c.analysis)
        query = select(_TABLE.c.analysis).select_from(joined).where(*where).order_by(_TABLE.c.number).limit(limit)
        return self._db.read(lambda connection: list(connection.execute(query).scalars()))

    def showing(
        self, digests: Iterable[str], limit: int, *, beside: str = "", once: bool = False
    ) -> dict[str, list[StoredAnalysis]]:
        """The analyses with each of these behaviours, by its :attr:`StoredAnalysis.digest`: the first few, in order.

        They come without their behaviours; those that show nothing are left out. Raises StoreError.

        Args:
            beside: an analysis that is left out.
            once: each sample once, by the first of its analyses that show the behaviour, of which the first 1,000 are
                looked at.
        """
        names = list(digests)
        values = {"beside": beside, "most": _MOST_REPEATS if once else limit, "limit": limit}

        def work(connection: Connection) -> dict[str, list[StoredAnalysis]]:
            analyses: dict[str, list[StoredAnalysis]] = {}
            for batch in chunks(names):
                for stored in _rows_of(connection, _showing(once), {**values, "values": batch}):
                    analyses.setdefault(stored.digest, []).append(stored)
            return analyses

        return self._db.read(work)

    def runs_beside(self, analyses: Iterable[str], own: str) -> dict[str, SampleRuns]:
        """For each stored one of these analyses: its sample, and how many other analyses than ``own`` ran it.

        Raises StoreError.
        """
        names = list({*analyses, own})

        def work(connection: Connection) -> dict[str, SampleRuns]:
            rows = [row for batch in chunks(names) for row in connection.execute(_RUNS, {"values": batch})]
            urls = _runs_of_urls(connection, {row.sample for row in rows if row.sha256 is None and row.sample})
            keys = {row.analysis: sample_key(row.analysis, row.sha256, row.sample) for row in rows}
            return {
                row.analysis: SampleRuns(
                    keys[row.analysis],
                    max((row.runs or urls.get(row.sample, 1)) - (keys.get(own) == keys[row.analysis]), 1),
                    row.target,
                    row.analysed_at,
                )
                for row in rows
            }

        return self._db.read(work)

    def runs_of_files(self, hashes: Iterable[str], limit: int) -> list[StoredAnalysis]:
        """The analyses of these files, the first few in order, without their behaviours. Raises StoreError."""
        files = list(hashes)
        return self._db.read(
            lambda connection: [
                stored for batch in chunks(files) for stored in _select_by(connection, "sha256", batch, limit=limit)
            ]
        )

    def around(
        self, day: str, limit: int, *, sha256: str | None = None, digest: str | None = None, later: bool = False
    ) -> list[StoredAnalysis]:
        """The analyses of a file or of a behaviour that are nearest to a day, without their behaviours and labels.

        They are the latest that are not later than the day, or whose day is not known; or else the earliest ``later``
        ones. With the day "" they are the latest of all. Raises StoreError.
        """
        same = {name: value for name, value in (("sha256", sha256), ("digest", digest)) if value is not None}
        query = _around(tuple(same), bool(day), later)
        values = {**same, "day": day, "limit": limit}
        return self._db.read(lambda connection: _rows_of(connection, query, values, labels=False))

    def sources(self, keys: Iterable[str]) -> dict[str, list[tuple[str, Source]]]:
        """For each known source key: the analyses of this path, and the file as it was when each was read."""
        source_keys = list(keys)
        columns = (
            _TABLE.c.source_key,
            _TABLE.c.analysis,
            *(_TABLE.c[f"source_{n}"] for n in ("path", "size", "mtime_ns")),
            func.coalesce(schema.reading.c.extraction, 0),
        )
        joined = _TABLE.outerjoin(schema.reading, _TABLE.c.source_key == schema.reading.c.source_key)
        own = select(*columns).select_from(joined).order_by(_TABLE.c.number)
        copied = select(schema.copy)

        def work(connection: Connection) -> dict[str, list[tuple[str, Source]]]:
            files: dict[str, list[tuple[str, Source]]] = {}
            for batch in chunks(source_keys):
                for row in connection.execute(own.where(_TABLE.c.source_key.in_(batch))):
                    path, size, mtime_ns, extraction = row[2:]
                    source = Source(path, size, mtime_ns, extraction, row[0])
                    files.setdefault(row[0], []).append((row[1], source))
                for row in connection.execute(copied.where(schema.copy.c.source_key.in_(batch))):
                    source = Source("", row.size, row.mtime_ns, row.extraction, row.source_key)
                    files.setdefault(row.source_key, []).append((row.analysis, source))
            return files

        return self._db.read(work)

    def ids_in_use(self, analyses: Iterable[str]) -> set[str]:
        """Those of these ids that are in use."""
        names = list(analyses)

        def work(connection: Connection) -> set[str]:
            return {
                name
                for batch in chunks(names)
                for name in connection.execute(select(_TABLE.c.analysis).where(_TABLE.c.analysis.in_(batch))).scalars()
            }

        return self._db.read(work)

    def of_run(self, identity: Identity) -> list[StoredAnalysis]:
        """The analyses of a run, of every node that reported it, in order, without their behaviours."""
        if not identity.run:
            return []
        return self._db.read(lambda connection: _select_by(connection, "run", [identity.run]))

    def of_file(self, sha256: str, limit: int) -> list[StoredAnalysis]:
        """The analyses with behaviour of a file, the first few in order, with their behaviours. Raises StoreError."""
        where = (_TABLE.c.sha256 == sha256, _TABLE.c.has_behaviour)
        return self._db.read(lambda connection: _select(connection, *where, limit=limit, blobs=True))

    def of_tasks(self, tasks: Iterable[str]) -> list[StoredAnalysis]:
        """The analyses that a host knows under these ids, on a node or on the central machine, without behaviours."""
        ids = list(tasks)

        def work(connection: Connection) -> list[StoredAnalysis]:
            analyses: dict[str, StoredAnalysis] = {}
            for batch in chunks(ids):
                named = or_(_TABLE.c.task.in_(batch), _TABLE.c.local_task.in_(batch))
                analyses.update((stored.analysis, stored) for stored in _select(connection, named))
            return list(analyses.values())

        return self._db.read(work)

    def like(self, name: str, limit: int = 3) -> list[str]:
        """The ids that somebody may mean by one that is not stored: those of the task or the file with that name."""
        plain, column = clean_id(name), _TABLE.c.analysis
        escaped = plain.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
        named = or_(
            _TABLE.c.task == plain,
            column.like(f"%/{escaped}", escape="\\"),
            column.like(f"{escaped}@%", escape="\\"),
        )
        query = select(column).where(named).order_by(_TABLE.c.order_key).limit(limit)
        return self._db.read(lambda connection: list(connection.execute(query).scalars()))

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


def _runs_of_urls(connection: Connection, urls: Collection[str]) -> dict[str, int]:
    """How many analyses each URL has; there is no index of URLs, but one of what has no SHA-256."""
    query = select(_TABLE.c.sample, func.count()).where(_TABLE.c.sha256.is_(None))
    return {
        row[0]: row[1]
        for batch in chunks(sorted(urls))
        for row in connection.execute(query.where(_TABLE.c.sample.in_(batch)).group_by(_TABLE.c.sample))
    }


def _select(
    connection: Connection,
    *where: ColumnElement[bool],
    limit: int | None = None,
    blobs: bool = False,
) -> list[StoredAnalysis]:
    return _rows_of(connection, _query(blobs).where(*where).limit(limit), {}, blobs=blobs)


def _select_by(
    connection: Connection, column: str, values: Sequence[str], limit: int | None = None, *, blobs: bool = False
) -> list[StoredAnalysis]:
    """The analyses with one of these values in a column, in order."""
    query = _by(column, blobs, limit is not None)
    return _rows_of(connection, query, {"values": values, "limit": limit}, blobs=blobs)


def _rows_of(
    connection: Connection, query: Select[Any], values: Mapping[str, Any], *, blobs: bool = False, labels: bool = True
) -> list[StoredAnalysis]:
    rows = connection.execute(query, values).all()
    families = labels_by_analysis(connection, [row.analysis for row in rows]) if labels else {}
    return [_stored(row, families.get(row.analysis, {}), blobs) for row in rows]


@cache
def _query(blobs: bool = False) -> Select[Any]:
    return select(*_LIGHT, *([_TABLE.c.behaviour] if blobs else [])).order_by(_TABLE.c.order_key)


@cache
def _by(column: str, blobs: bool, is_limited: bool) -> Select[Any]:
    query = _query(blobs).where(one_of(_TABLE.c[column]))
    return query.limit(bindparam("limit")) if is_limited else query


@cache
def _showing(once: bool) -> Select[Any]:
    """For :meth:`Store.showing`."""
    place = func.row_number().over(partition_by=_TABLE.c.digest, order_by=_TABLE.c.order_key).label("place")
    shown = (_TABLE.c.has_behaviour, _TABLE.c.analysis != bindparam("beside"))
    placed = select(_TABLE.c.number, place).where(one_of(_TABLE.c.digest), *shown).subquery()
    first: Any = select(placed.c.number).where(placed.c.place <= bindparam("most"))
    if once:
        key = func.min(_TABLE.c.order_key).label("key")
        keys = select(_TABLE.c.digest, key).where(_TABLE.c.number.in_(first))
        of_samples = keys.group_by(_TABLE.c.digest, SAMPLE).subquery()
        order = func.row_number().over(partition_by=of_samples.c.digest, order_by=of_samples.c.key)
        ordered = select(of_samples.c.key, order.label("place")).subquery()
        keys_shown = select(ordered.c.key).where(ordered.c.place <= bindparam("limit"))
        first = select(_TABLE.c.number).where(_TABLE.c.order_key.in_(keys_shown))
    return _query().where(_TABLE.c.number.in_(first))


@cache
def _around(same: tuple[str, ...], has_day: bool, later: bool) -> Select[Any]:
    """For :meth:`Store.around`."""
    moment = _TABLE.c.analysed_at
    where: list[ColumnElement[bool]] = [_TABLE.c[name] == bindparam(name) for name in same]
    if has_day:
        own, day = func.substr(moment, 1, 10), bindparam("day", type_=String)
        where.append(own > day if later else or_(own <= day, moment.is_(None)))
    order = func.coalesce(moment, "")
    nearest = select(_TABLE.c.number).where(*where).order_by(order if later else order.desc())
    return _query().where(_TABLE.c.number.in_(nearest.limit(bindparam("limit"))))


_OTHER = _TABLE.alias()
_RUNS: Final = select(
    *(_TABLE.c[name] for name in ("analysis", "sha256", "sample", "target", "analysed_at")),
    select(func.count()).select_from(_OTHER).where(_OTHER.c.sha256 == _TABLE.c.sha256).scalar_subquery().label("runs"),
).where(one_of(_TABLE.c.analysis))


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
        node=row.node,
        task=row.task,
        local_task=row.local_task,
        sample=row.sample,
        remark=row.remark or "",
        labels=labels,
        blob=bytes(row.behaviour) if blobs else None,
    )


def _row(claim: Claim, record: AnalysisRecord, moment: str) -> dict[str, object]:
    source, identity = claim.source, claim.identity
    return {
        "analysis": claim.analysis,
        "order_key": order_key(claim.analysis),
        "node": identity.node,
        "task": identity.task,
        "local_task": identity.local_task,
        "sample": identity.sample,
        "run": claim.run,
        "host": record.host,
        "host_version": record.host_version,
        "sha256": record.sha256,
        "target": record.target,
        "analysed_at": record.analysed_at or identity.started or None,
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
        "remark": record.remark or None,
    }


def _forget_outdated_findings(connection: Connection, latest: dict[str, AnalysisRecord]) -> None:
    """Remove the findings of analyses whose behaviour, remark or threat scores have changed."""
    columns = (_TABLE.c.analysis, _TABLE.c.digest, _TABLE.c.remark)
    stored = {
        row.analysis: (row.digest, row.remark or "")
        for batch in chunks(list(latest))
        for row in connection.execute(select(*columns).where(_TABLE.c.analysis.in_(batch)))
    }
    scores = scores_by_analysis(connection, list(stored))
    outdated = [
        name
        for name, known in stored.items()
        if known != (latest[name].packed.digest, latest[name].remark)
        or set(scores.get(name, ())) != set(latest[name].scores)
    ]
    for batch in chunks(outdated):
        connection.execute(delete(schema.finding).where(schema.finding.c.analysis.in_(batch)))
        drop_births(connection, batch)
        connection.execute(delete(schema.recent).where(schema.recent.c.analysis.in_(batch)))
