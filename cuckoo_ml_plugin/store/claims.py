"""Which stored analysis a record is, and the short id that a new one gets.

A record is a stored analysis when both are the same run, never because they share an id or a path. It replaces that
analysis. Everything else is new, and gets an id that no other analysis has. A file that holds a run which a host has
reported is a copy of it; two files that were imported stay two analyses, as a report and its shortened version are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, or_, select

from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source, clean_id, host_ids, qualified_names
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.database import chunks, one_of
from cuckoo_ml_plugin.store.tables import analysis

_A = analysis.c
_COLUMNS = [
    _A[name]
    for name in (
        "analysis", "node", "task", "local_task", "run", "analysed_at", "sample", "token_count",
        "source_key", "source_path", "source_size", "source_mtime_ns",
    )
]  # fmt: skip
_AT_ONCE: Final = 150  # records that are looked up at once, by three values each: SQLite allows 999 in old builds
_NO_HASH: Final = "-"  # with an empty list PostgreSQL would use none of the indexes
_ANY_OF: Final = (
    select(*_COLUMNS)
    .where(or_(one_of(_A.run, "runs"), one_of(_A.source_key, "keys"), one_of(_A.analysis, "names")))
    .order_by(_A.number)
)
_NAMED: Final = select(*_COLUMNS).where(one_of(_A.analysis))


@dataclass(frozen=True, slots=True)
class Holder:
    """A stored analysis, as far as it is needed to tell whether a record is the same."""

    analysis: str
    identity: Identity
    run: str
    source: Source | None
    source_key: str | None
    token_count: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What becomes of a record.

    Attributes:
        analysis: the id under which it is stored.
        is_new: whether no analysis had been stored of this run.
        identity: what its analysis is known by from now on.
        source: the file that its analysis is known to lie in.
        writes: whether the record replaces what is stored; a copy of a stored report says nothing new.
    """

    analysis: str
    is_new: bool
    identity: Identity
    source: Source | None
    run: str
    writes: bool = True
    copies: tuple[Source, ...] = ()  # further files that hold this run


class Claims:
    """The claims of one batch of records, made while nobody else writes."""

    def __init__(self, connection: Connection, records: Sequence[AnalysisRecord]) -> None:
        self._connection = connection
        self._holders: dict[str, Holder] = {}
        self._by_run: dict[str, list[str]] = {}
        self._by_key: dict[str, list[str]] = {}
        self._asked: set[str] = set()
        for batch in chunks(records, _AT_ONCE):
            runs = [record.identity.run for record in batch if record.identity.run] or [_NO_HASH]
            keys = [record.source.key for record in batch if record.source] or [_NO_HASH]
            names = list(dict.fromkeys(record.analysis for record in batch))
            self._asked.update(names)
            self._read(connection.execute(_ANY_OF, {"runs": runs, "keys": keys, "names": names}))
        self.without_file: list[str] = []  # analyses whose file has become another run's

    def claim(self, record: AnalysisRecord) -> Claim:
        """The claim of a record; the records of a batch are claimed in order."""
        holder = self._same_run(record)
        claim = self._new(record) if holder is None else _joined(record, holder)
        if record.source:
            self._take_file_from_others(record, claim.analysis)
        self._keep(
            Holder(
                claim.analysis,
                claim.identity,
                claim.run,
                claim.source,
                claim.source.key if claim.source else None,
                record.packed.token_count if claim.writes or holder is None else holder.token_count,
            )
        )
        return claim

    def _same_run(self, record: AnalysisRecord) -> Holder | None:
        """The stored analysis of the run that a record holds."""
        node, run, source = record.identity.node, record.identity.run, record.source
        key = source.key if source else None
        same_run = [self._holders[name] for name in self._by_run.get(run, ())] if run else []
        same_file = [self._holders[name] for name in self._by_key.get(key, ())] if key else []
        if node:
            of_node = [h for h in same_run if h.identity.node == node and _may_equal(h, record)]
            of_none = [h for h in same_run if not h.identity.node]
            candidates = [*of_node, *of_none]
            of_file = [h for h in same_file if h.identity.node in ("", node)]
        else:
            from_here = [h for h in same_run if h.source_key == key]
            of_hosts = [h for h in same_run if h.identity.node]
            candidates = from_here or (of_hosts if len(of_hosts) == 1 else [])  # of several nodes, none is meant
            of_file = same_file
        if candidates:
            return candidates[0]
        return next((h for h in of_file if _is_same(h, record)), None) if key else self._same_id(record)

    def _same_id(self, record: AnalysisRecord) -> Holder | None:
        """For a record that came from no file: the analysis with its id, if that came from none either."""
        self._ask([record.analysis])
        holder = self._holders.get(record.analysis)
        if holder is None or holder.source_key or holder.identity.node != record.identity.node:
            return None
        return holder if _is_same(holder, record) else None

    def _new(self, record: AnalysisRecord) -> Claim:
        for name in self._names(record):
            self._ask([name])
            if name not in self._holders:
                return Claim(name, True, record.identity, record.source, record.identity.run)
        raise AssertionError("names never end")

    def _names(self, record: AnalysisRecord) -> Iterator[str]:
        identity = record.identity
        if not (identity.node and identity.task):
            yield from qualified_names(record.analysis, record.source, record.host)
            return
        task = clean_id(identity.task)
        yield task
        yield from host_ids(identity, same_node=self._holders[task].identity.node == identity.node)

    def _take_file_from_others(self, record: AnalysisRecord, name: str) -> None:
        """Take a path from the analyses that were read there before: it now holds another run."""
        assert record.source is not None
        for other in list(self._by_key.get(record.source.key, ())):
            holder = self._holders[other]
            same_machine = not record.identity.node or holder.identity.node in ("", record.identity.node)
            if other != name and same_machine and holder.source_key == record.source.key:
                self.without_file.append(other)
                self._keep(replace(holder, source=None, source_key=None))

    def _ask(self, names: Iterable[str]) -> None:
        """Look up which of these ids are in use."""
        unknown = [name for name in dict.fromkeys(names) if name not in self._asked]
        self._asked.update(unknown)
        for batch in chunks(unknown):
            self._read(self._connection.execute(_NAMED, {"values": batch}))

    def _read(self, rows: Iterable[Row[Any]]) -> None:
        for row in rows:
            holder = _holder(row)
            if holder.analysis not in self._holders:
                self._keep(holder)

    def _keep(self, holder: Holder) -> None:
        self._holders[holder.analysis] = holder
        for index, value in ((self._by_run, holder.run), (self._by_key, holder.source_key)):
            if value and holder.analysis not in index.setdefault(value, []):
                index[value].append(holder.analysis)


def _joined(record: AnalysisRecord, holder: Holder) -> Claim:
    """The claim of a record whose run is stored."""
    stored, new = holder.identity, record.identity
    identity = Identity(
        node=new.node or stored.node,
        task=stored.task if stored.node and not new.node else new.task or stored.task,
        local_task=stored.local_task if stored.node and not new.node else new.local_task or stored.local_task,
        started=new.started or stored.started,
        sample=new.sample or stored.sample,
    )
    claim = Claim(holder.analysis, False, identity, record.source or holder.source, new.run or holder.run)
    if record.source is None or holder.source is None or record.source.key == holder.source_key:
        return claim
    if new.node:  # the host's own file takes the place of a copy
        return replace(claim, copies=(holder.source,))
    says_more = record.packed.token_count > holder.token_count
    return replace(claim, source=holder.source, writes=says_more, copies=(record.source,))


def _may_equal(holder: Holder, record: AnalysisRecord) -> bool:
    """Whether the ids of the task on its node do not contradict each other."""
    tasks = {holder.identity.local_task, record.identity.local_task} - {""}
    return len(tasks) < 2


def _is_same(holder: Holder, record: AnalysisRecord) -> bool:
    """Whether an analysis that was read from the same file is the same run as a record, by what both know."""
    stored, new = holder.identity, record.identity
    if any(a and b and a != b for a, b in ((stored.started, new.started), (stored.sample, new.sample))):
        return False
    unchanged = (
        record.source is not None
        and holder.source is not None
        and record.source.size >= 0
        and (record.source.size, record.source.mtime_ns) == (holder.source.size, holder.source.mtime_ns)
    )
    return unchanged or bool(stored.started and new.started) or stored.sample == new.sample


def _holder(row: Row[Any]) -> Holder:
    values = row._mapping
    identity = Identity(
        node=values["node"],
        task=values["task"],
        local_task=values["local_task"],
        started=values["analysed_at"] or "",
        sample=values["sample"],
    )
    source = None
    if values["source_key"]:
        source = Source(
            values["source_path"] or "", values["source_size"] or 0, values["source_mtime_ns"] or 0,
            stored_key=values["source_key"],
        )  # fmt: skip
    return Holder(values["analysis"], identity, values["run"], source, values["source_key"], values["token_count"])
