"""The corpus that a fit reads from the store: all analyses with behaviour, their distinct behaviours as a matrix.

The background of each machine image is learnt here: what nearly all analyses on a machine show, and what a baseline
shows. It has no weight in a fit and is no evidence. Labels have no part in it. What any machine with Windows does by
itself is known beforehand and makes no token (``behaviour/tokens/background.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.behaviour.behaviour import BASELINE
from cuckoo_ml_plugin.behaviour.kinds import CODES, KINDS
from cuckoo_ml_plugin.plumbing.hashes import token_hashes
from cuckoo_ml_plugin.plumbing.interrupts import workers_ignore_interrupts
from cuckoo_ml_plugin.plumbing.sources import Voices, voices_of
from cuckoo_ml_plugin.plumbing.times import day_of
from cuckoo_ml_plugin.report.labels import ANALYST
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis, sample_key, seen_at
from cuckoo_ml_plugin.store.store import OrderRange, Store

NEARLY_ALL = 0.9
"""The share of a machine's analyses from which on a token is the machine's."""
FEWEST = 20
"""The least number of analyses from which the background of a machine is learnt."""
FEWEST_VOICES = 3
"""The least number of voices; each counts alike, so that none decides alone what is background."""
MOST_OF_AN_ANALYSIS = 0.5
"""The share of a typical analysis that background may be. A machine on which the analyses have more in common than that
ran samples that are alike, such as one family, and nothing is learnt from it."""

_PARALLEL_FROM = 5_000  # analyses; for fewer, starting processes costs more time than they save
_UNKNOWN_KIND = len(KINDS)

Progress = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""


@dataclass(slots=True)
class Corpus:
    """N analyses with n distinct behaviours over v tokens, in an order that only their content decides.

    Behaviours are in the order of their digests, analyses in that of their behaviours, then of their SHA-256, then of
    their ids: however they came into the store, a fit gives the same model.

    Attributes:
        analyses, sha256, labels, stored_at: one for each analysis.
        samples: what tells the sample of each analysis from others.
        seen_at: when each analysis was made, or when it was stored if its host gave no date.
        point_of: (N,) the distinct behaviour of each analysis.
        tokens: (n, v) binary, columns in the order of ``hashes``.
        hashes: (v,) 64-bit hashes of the tokens, ascending.
        kinds: (v,) index in ``behaviour.kinds.KINDS``; ``len(KINDS)`` for a kind of another version.
        background: (v,) True for tokens that are a machine's background.
        counts: (N, c) count features, NaN where an analysis lacks one; ``count_names`` names the columns.
        damaged: ids of analyses whose stored behaviour cannot be read.
        voices: whose word each analysis is.
        by_analyst: (N,) True where the label is an analyst's.
    """

    analyses: list[str]
    sha256: list[str | None]
    labels: list[str | None]
    stored_at: list[str]
    seen_at: list[str]
    samples: list[str]
    point_of: NDArray[np.int64]
    tokens: csr_matrix
    hashes: NDArray[np.uint64]
    kinds: NDArray[np.uint8]
    background: NDArray[np.bool_]
    counts: NDArray[np.float64]
    count_names: tuple[str, ...]
    damaged: list[str]
    voices: Voices
    by_analyst: NDArray[np.bool_]

    @property
    def multiplicities(self) -> NDArray[np.int64]:
        """(n,) how many analyses have each behaviour."""
        return np.bincount(self.point_of, minlength=self.tokens.shape[0]).astype(np.int64)

    @property
    def weights(self) -> NDArray[np.int64]:
        """(n,) how many voices show each behaviour: what it weighs in a fit. Runs of one file are no news."""
        return self.voices.count_by(self.point_of, self.tokens.shape[0])

    def take(self, rows: NDArray[np.integer[Any]]) -> Corpus:
        """The corpus of the analyses in these rows (k,), in this order. The background stays that of the whole."""
        points, point_of = np.unique(self.point_of[rows], return_inverse=True)
        return replace(
            self,
            analyses=[self.analyses[row] for row in rows],
            sha256=[self.sha256[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            stored_at=[self.stored_at[row] for row in rows],
            seen_at=[self.seen_at[row] for row in rows],
            samples=[self.samples[row] for row in rows],
            point_of=point_of.astype(np.int64),
            tokens=self.tokens[points],
            counts=self.counts[rows],
            voices=self.voices.take(rows),
            by_analyst=self.by_analyst[rows],
        )


class _Row(NamedTuple):
    """What the corpus needs of one analysis."""

    analysis: str
    sha256: str | None
    label: str | None
    stored_at: str
    seen_at: str
    digest: str
    machine: str
    sample: str
    submitter: str
    day: str
    by_analyst: bool


class _Numbers(dict[bytes, int]):
    """A number for each token, in the order in which they are asked for: a token in many behaviours is hashed once."""

    def __missing__(self, token: bytes) -> int:
        self[token] = number = len(self)
        return number


@dataclass(slots=True)
class _Part:
    """One range of the store, as a worker process returns it.

    ``tokens`` holds the tokens of each distinct behaviour by their numbers, which ``hashes`` and ``kinds`` (u,) are in
    the order of; ``counts`` (a, c) the count features of each analysis, whose columns ``count_names`` names.
    """

    rows: list[_Row] = field(default_factory=list)
    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    count_names: tuple[str, ...] = ()
    digests: list[str] = field(default_factory=list)
    tokens: list[NDArray[np.int32]] = field(default_factory=list)
    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    kinds: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    damaged: list[str] = field(default_factory=list)
    baseline: set[bytes] = field(default_factory=set)  # tokens that a machine showed when no sample ran


def read_corpus(store: Store, progress: Progress | None = None) -> Corpus:
    """Read all analyses with behaviour, and the background of their machines. Raises StoreError.

    Those with a damaged record are left out.
    """
    total = store.count(with_behaviour=True)
    if total < _PARALLEL_FROM:
        parts = [_read(store, OrderRange(), progress, total)]
    else:
        from joblib import Parallel, delayed

        ranges = store.split(max(2, total // _PARALLEL_FROM))
        parts = []
        with workers_ignore_interrupts():
            read_parts = Parallel(n_jobs=-1, return_as="generator")(delayed(_read)(store, part) for part in ranges)
        for part in read_parts:
            parts.append(part)
            if progress:
                progress(sum(len(p.rows) for p in parts), total)
    return _assemble(parts)


def _read(store: Store, limits: OrderRange, progress: Progress | None = None, total: int = 0) -> _Part:
    part = _Part()
    digests: set[str] = set()
    numbers = _Numbers()
    counts_of: list[dict[str, int | float]] = []
    behaviours = store.iter_behaviours(
        limits, with_behaviour_only=False, on_damaged=lambda stored, _: part.damaged.append(stored.analysis)
    )
    for stored, joined, counts in behaviours:
        if not stored.has_behaviour:
            tokens = joined.split(b"\n")
            if BASELINE.encode() in tokens:
                part.baseline.update(tokens)
            continue
        part.rows.append(_row_of(stored))
        counts_of.append(counts)
        if stored.digest not in digests:
            digests.add(stored.digest)
            tokens = joined.split(b"\n") if joined else []
            part.digests.append(stored.digest)
            part.tokens.append(np.fromiter(map(numbers.__getitem__, tokens), np.int32, len(tokens)))
        if progress and len(part.rows) % 200 == 0:
            progress(len(part.rows), total)
    kind_ids = {kind.encode(): index for index, kind in enumerate(KINDS)}
    kinds = (kind_ids.get(token.partition(b":")[0], _UNKNOWN_KIND) for token in numbers)
    part.hashes = token_hashes(numbers)
    part.kinds = np.fromiter(kinds, np.uint8, len(numbers))
    part.counts, part.count_names = _count_matrix(counts_of)
    return part


def _row_of(stored: StoredAnalysis) -> _Row:
    return _Row(
        analysis=stored.analysis,
        sha256=stored.sha256,
        label=stored.label,
        stored_at=stored.stored_at,
        seen_at=seen_at(stored),
        digest=stored.digest,
        machine=stored.machine,
        sample=sample_key(stored.analysis, stored.sha256, stored.sample),
        submitter=stored.submitter,
        day=day_of(stored.analysed_at),
        by_analyst=bool(stored.labels.get(ANALYST)),
    )


def _assemble(parts: list[_Part]) -> Corpus:
    vocabulary, first = np.unique(_joined([part.hashes for part in parts], np.uint64), return_index=True)
    kinds = _joined([part.kinds for part in parts], np.uint8)[first]
    distinct: dict[str, NDArray[np.int32]] = {}
    for part in parts:
        columns_of = np.searchsorted(vocabulary, part.hashes).astype(np.int32)
        for digest, numbers in zip(part.digests, part.tokens, strict=True):
            if digest not in distinct:
                distinct[digest] = columns_of[numbers]
    digests = sorted(distinct)
    point_by_digest = {digest: point for point, digest in enumerate(digests)}
    lengths = [len(distinct[digest]) for digest in digests]
    columns = _joined([distinct[digest] for digest in digests], np.int32)
    starts = np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))]).astype(np.int64)
    tokens = csr_matrix((np.ones(len(columns), np.float32), columns, starts), shape=(len(lengths), len(vocabulary)))
    tokens.sort_indices()
    unordered = [row for part in parts for row in part.rows]
    order = sorted(
        range(len(unordered)),
        key=lambda i: (unordered[i].digest, unordered[i].sha256 or "", unordered[i].analysis),
    )
    rows = [unordered[i] for i in order]
    voices = voices_of([row.sample for row in rows], [row.submitter for row in rows], [row.day for row in rows])
    point_of = np.array([point_by_digest[row.digest] for row in rows], np.int64)
    background = machine_background(tokens, point_of, [row.machine for row in rows], voices)
    background |= np.isin(vocabulary, token_hashes(sorted({token for part in parts for token in part.baseline})))
    background |= kinds == CODES["task"]  # of the task, not of the sample
    counts, names = _joined_counts(parts)
    return Corpus(
        analyses=[row.analysis for row in rows],
        sha256=[row.sha256 for row in rows],
        labels=[row.label for row in rows],
        stored_at=[row.stored_at for row in rows],
        seen_at=[row.seen_at for row in rows],
        samples=[row.sample for row in rows],
        point_of=point_of,
        tokens=tokens,
        hashes=vocabulary,
        kinds=kinds,
        background=background,
        counts=counts[order],
        count_names=names,
        damaged=sorted(name for part in parts for name in part.damaged),
        voices=voices,
        by_analyst=np.array([row.by_analyst for row in rows], np.bool_),
    )


def _joined(arrays: list[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.zeros(0, kind)


def machine_background(
    tokens: csr_matrix, point_of: NDArray[np.int64], machines: Sequence[str], voices: Voices
) -> NDArray[np.bool_]:
    """(v,) True for tokens that nearly all analyses of some machine show, each voice counted alike.

    Args:
        tokens: (n, v) binary, a row for each distinct behaviour.
        point_of: (N,) the behaviour of each analysis.
        machines: (N,) the machine of each analysis; analyses of which it is not known count as those of one machine.
        voices: of the N analyses.
    """
    background = np.zeros(tokens.shape[1], np.bool_)
    names, machine_of = np.unique(np.array(machines, dtype=np.str_), return_inverse=True)
    analyses = np.bincount(machine_of, minlength=len(names))
    pairs, pair_of, runs = np.unique(
        np.stack([machine_of, voices.numbers]), axis=1, return_inverse=True, return_counts=True
    )
    heard = np.bincount(pairs[0], minlength=len(names))  # voices on each machine
    shares = 1.0 / runs[pair_of.ravel()]  # of its voice on the machine, which each analysis is
    shape = (len(names), tokens.shape[0])
    weights = csr_matrix((shares, (machine_of, point_of)), shape=shape)
    frequencies = (weights @ tokens).tocsr()
    sizes = np.diff(tokens.indptr)
    for machine in np.flatnonzero((analyses >= FEWEST) & (heard >= FEWEST_VOICES)):
        row = frequencies[machine]
        columns = row.indices[row.data >= NEARLY_ALL * heard[machine] - 1e-6]
        typical = np.median(sizes[point_of[machine_of == machine]])
        if len(columns) <= MOST_OF_AN_ANALYSIS * typical:
            background[columns] = True
    return background


def _count_matrix(counts: list[dict[str, Any]]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Counts (N, c) and the names of the columns."""
    names = tuple(sorted({name for analysis_counts in counts for name in analysis_counts}))
    matrix = np.full((len(counts), len(names)), np.nan)
    for column, name in enumerate(names):
        matrix[:, column] = [analysis_counts.get(name, np.nan) for analysis_counts in counts]
    return matrix, names


def _joined_counts(parts: list[_Part]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Counts (N, c) of the analyses of all parts, and the names of the columns."""
    names = tuple(sorted({name for part in parts for name in part.count_names}))
    matrix = np.full((sum(len(part.rows) for part in parts), len(names)), np.nan)
    start = 0
    for part in parts:
        columns = [names.index(name) for name in part.count_names]
        matrix[start : start + len(part.rows), columns] = part.counts
        start += len(part.rows)
    return matrix, names
