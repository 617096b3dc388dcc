"""The stored analyses that are most alike to one, from the first stored analysis on.

Candidates come from a shelf of behashes in memory. The likeness of the behaviours themselves, which are read from the
store, decides their order. A process reads the behashes once, and then only what is new.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final

from cuckoo_ml_plugin.behaviour.behash import BYTES, VERSION, BehashTable
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.likeness import likeness, token_sets
from cuckoo_ml_plugin.finding.section import SimilarAnalysis
from cuckoo_ml_plugin.plumbing.times import day_of
from cuckoo_ml_plugin.store.behashes import StoredBehash
from cuckoo_ml_plugin.store.between_refits.marks import Mark
from cuckoo_ml_plugin.store.store import Store

CANDIDATES: Final = 24
"""How many behaviours are compared exactly: the nearest by their behashes."""
MAX_BEHASHES: Final = 1_000_000
"""How many behashes a process keeps: the newest, in about 150 MB."""
_PAGE: Final = 10_000  # behashes that are read at once
_DIGITS: Final = 6  # to which likenesses are equal


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A behaviour, by its row on the shelf and its digest."""

    row: int
    digest: str


class _Shelf:
    """The behashes of a store from a number on, in memory; one for all threads of a process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._start_over(None)

    def _start_over(self, first: int | None) -> None:
        self._first = first  # the number from which on behashes are here; None before any was read
        self._last: StoredBehash | None = None
        self._table = BehashTable()
        self._numbers = array("q")
        self._digests = bytearray()
        self._since: dict[datetime, int] = {}

    def nearest(self, store: Store, one: bytes, count: int, since: datetime | Mark | None) -> list[_Candidate]:
        """The behaviours nearest to a behash, of all or of those that were first stored after a moment or mark.

        Raises StoreError.
        """
        with self._lock:
            self._read(store, since)
            first = bisect_left(self._numbers, self._first_since(store, since))
            rows, _ = self._table.nearest(one, count, first)
            return [_Candidate(row, self._digest(row)) for row in rows.tolist()]

    def remove(self, candidates: Iterable[_Candidate]) -> None:
        """Take away behaviours that the store no longer has."""
        with self._lock:
            rows = [c.row for c in candidates if self._digest(c.row) == c.digest]
            self._table.remove(rows)

    def _digest(self, row: int) -> str:
        return self._digests[16 * row : 16 * row + 16].hex()

    def _first_since(self, store: Store, since: datetime | Mark | None) -> int:
        """The number from which on behashes are searched."""
        if since is None:
            return 0
        if isinstance(since, Mark):
            return since.behash + 1
        if since not in self._since:
            self._since[since] = store.first_behash_since(since)
        return self._since[since]

    def _read(self, store: Store, since: datetime | Mark | None) -> None:
        """Read what the store has and the shelf has not."""
        first = self._first_since(store, since)
        if self._first is None or first < self._first or len(self._numbers) > MAX_BEHASHES * 5 // 4:
            self._start_over(first)
        while True:
            if self._last is None:
                start = max(self._first or 0, store.first_of_newest_behashes(MAX_BEHASHES))
                rows = new = store.behashes_from(start, _PAGE)
            else:
                rows = store.behashes_from(self._last.number, _PAGE)
                new = rows[1:]
                if rows[:1] != [self._last]:  # it was removed, or the store was replaced by another
                    self._start_over(self._first_since(store, since))
                    continue
            self._append(new)
            if len(rows) < _PAGE:
                return

    def _append(self, rows: list[StoredBehash]) -> None:
        if not rows:
            return
        unknown = bytes(BYTES)  # in place of one that another version wrote: like nothing
        usable = (len(row.behash) == BYTES and row.behash[0] == VERSION for row in rows)
        self._table.append([row.behash if known else unknown for row, known in zip(rows, usable, strict=True)])
        self._numbers.extend(row.number for row in rows)
        self._digests += bytes.fromhex("".join(row.digest for row in rows))
        self._last = rows[-1]


def each_sample_once(
    similar: Iterable[SimilarAnalysis], samples: Mapping[str, str], limit: int
) -> list[SimilarAnalysis]:
    """Of each sample the first of the analyses, at most ``limit``; ``samples``: by id what tells them from others."""
    kept: dict[str, SimilarAnalysis] = {}
    for neighbour in similar:
        kept.setdefault(samples.get(neighbour.analysis) or neighbour.sha256 or neighbour.analysis, neighbour)
    return list(kept.values())[:limit]


def with_facts(
    store: Store | None,
    similar: list[SimilarAnalysis],
    own: str,
    sha256: str | None,
    names: Mapping[str, str],
    limit: int,
) -> list[SimilarAnalysis]:
    """Each sample once, with what an analyst asks first: is it the same file, when and how often was it analysed.

    Args:
        similar: the most alike first.
        own: the id of the analysis that they are alike to, which does not count as one of their runs; "" if not stored.
        sha256: of its file.
        names: the names of clusters by id.

    Raises:
        StoreError: the store cannot be read.
    """
    known = store.runs_beside([neighbour.analysis for neighbour in similar], own) if store is not None else {}
    once = each_sample_once(similar, {name: runs.sample for name, runs in known.items()}, limit)
    for neighbour in once:
        neighbour.same_file = sha256 is not None and neighbour.sha256 == sha256
        neighbour.cluster_name = names.get(neighbour.cluster) if neighbour.cluster else None
        runs = known.get(neighbour.analysis)
        if runs is not None:
            neighbour.date = day_of(runs.analysed_at) or None
            neighbour.name = runs.target or None
            neighbour.runs = runs.runs
    return once


_SHELVES: Final[dict[str, _Shelf]] = {}  # by the name of the store
os.register_at_fork(after_in_child=_SHELVES.clear)  # another thread may have held a lock


def similar_analyses(
    store: Store,
    behaviour: Behaviour,
    analysis: str,
    limit: int,
    since: datetime | Mark | None = None,
    *,
    each_run: bool = False,
) -> list[SimilarAnalysis]:
    """At most ``limit`` stored analyses in order of their likeness to a behaviour, ties by content, then by id.

    Args:
        analysis: its own id, which is not listed.
        since: leave out behaviours that were first stored before this moment or mark, other than the same.
        each_run: whether to list every analysis that shows a behaviour; else of each sample the first of them.

    Raises:
        StoreError: the store cannot be read.
    """
    one = behaviour.behash
    if one is None or limit < 1:
        return []
    shelf = _SHELVES.setdefault(store.name, _Shelf())
    alike = {behaviour.digest: 1.0}
    while True:
        candidates = shelf.nearest(store, one, max(CANDIDATES, limit), since)
        digests = {candidate.digest for candidate in candidates} - {behaviour.digest}
        tokens = store.joined_tokens_of(digests) if digests else {}
        gone = [candidate for candidate in candidates if candidate.digest in digests - set(tokens)]
        if not gone:
            break
        shelf.remove(gone)
    own = token_sets(behaviour.joined)
    alike |= {digest: likeness(own, token_sets(joined)) for digest, joined in tokens.items() if joined is not None}
    order = sorted(alike, key=lambda digest: (-round(alike[digest], _DIGITS), digest))[: limit + 1]
    shown = [digest for digest in order if alike[digest] > 0]
    analyses = store.showing(shown, limit, beside=analysis, once=not each_run)
    similar = [
        SimilarAnalysis(
            analysis=stored.analysis,
            sha256=stored.sha256,
            similarity=round(alike[digest], 4),
            label=stored.label,
        )
        for digest in order
        for stored in analyses.get(digest, ())
    ][:limit]
    findings = store.findings_of([neighbour.analysis for neighbour in similar])
    for neighbour in similar:
        finding = findings.get(neighbour.analysis)
        neighbour.cluster = finding.cluster if finding else None
    return similar
