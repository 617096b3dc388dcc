"""What anomaly scores of fitted analyses rest on: their neighbours but themselves, and the likeness to these.

``score_fitted`` gives the calibrated score of each fitted analysis, computed as if it had not been fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.behaviour.kinds import ASPECTS
from cuckoo_ml_plugin.behaviour.likeness import ASPECT_NUMBERS, NO_ASPECT, likenesses
from cuckoo_ml_plugin.fit.groups.alike import aspect_sizes
from cuckoo_ml_plugin.fit.groups.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.fit.groups.pair_likeness import are_many, likeness_of_many
from cuckoo_ml_plugin.model.anomaly import NEIGHBOURS, of_one_source, unusualness
from cuckoo_ml_plugin.model.embedding import Embedding

_MARKS = 16_000_000  # entries of the table of marks, a byte each
_BLOCK = 128
_ROWS = 256  # analyses that are compared with all points at a time


class WeightedTokens:
    """The tokens of n fitted behaviours that have an aspect, and weight in an embedding: those that a likeness counts.

    Attributes:
        tokens: (n, u) binary, those of an aspect together.
        columns: (u,) their columns in the embedding.
        sizes: (n, 8) how many tokens each behaviour has in each aspect.
    """

    def __init__(self, embedding: Embedding, known: csr_matrix) -> None:
        """From the embedding, and the behaviours over the tokens that it knows (n, v)."""
        aspects = ASPECT_NUMBERS[embedding.kinds]
        order = np.argsort(aspects, kind="stable")
        self.columns = order[(aspects[order] != NO_ASPECT) & (embedding.weights[order] > 0)]
        self.aspects = aspects[self.columns]
        self.tokens = self.of(known)
        self.sizes = self.sizes_of(self.tokens)

    def of(self, known: csr_matrix) -> csr_matrix:
        """The same tokens of other behaviours (m, v)."""
        tokens = known[:, self.columns].tocsr()
        tokens.sort_indices()
        return tokens

    def sizes_of(self, tokens: csr_matrix) -> NDArray[np.int64]:
        """How many of the tokens (m, u) each behaviour has in each aspect, (m, 8)."""
        return aspect_sizes(tokens, self.aspects)

    def likeness_to(
        self, queries: csr_matrix, candidates: NDArray[np.int64], lost: csr_matrix | None = None
    ) -> NDArray[np.float64]:
        """The likeness (m, k) of each query to its candidates; 0 for none.

        Args:
            queries: (m, u) binary.
            candidates: (m, k) fitted behaviours; -1 for none.
            lost: (m, u) tokens that would not be known without the query; the candidates do not have them either.
        """
        found = np.zeros(candidates.shape)
        if lost is None and are_many(candidates.size):
            query, place = np.nonzero(candidates >= 0)
            found[query, place] = likeness_of_many(
                queries, self.sizes_of(queries), self.tokens, self.sizes, self.aspects, query, candidates[query, place]
            )
            return found
        block = max(1, min(_BLOCK, _MARKS // max(queries.shape[1], 1)))
        for start in range(0, queries.shape[0], block):
            part = slice(start, start + block)
            found[part] = self._likeness_to(queries[part], candidates[part], None if lost is None else lost[part])
        return found

    def _likeness_to(
        self, queries: csr_matrix, candidates: NDArray[np.int64], lost: csr_matrix | None
    ) -> NDArray[np.float64]:
        query, place = np.nonzero(candidates >= 0)
        points = candidates[query, place]
        common = self._common(queries, query, points)
        sizes = self.sizes[points]
        if lost is not None:
            sizes = sizes - self._common(lost, query, points)
        found = np.zeros(candidates.shape)
        found[query, place] = likenesses(self.sizes_of(queries)[query], sizes, common)
        return found

    def _common(self, queries: csr_matrix, query: NDArray[np.int64], points: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many tokens p pairs share in each aspect, (p, 8)."""
        marks = np.zeros(queries.shape, np.bool_)
        marks[np.repeat(np.arange(queries.shape[0]), np.diff(queries.indptr)), queries.indices] = True
        rows = self.tokens[points]
        of_pair = np.repeat(np.arange(len(points)), np.diff(rows.indptr))
        shared = marks[query[of_pair], rows.indices]
        slots = of_pair[shared] * len(ASPECTS) + self.aspects[rows.indices[shared]]
        return np.bincount(slots, minlength=len(points) * len(ASPECTS)).reshape(-1, len(ASPECTS)).astype(np.int64)


def score_fitted(
    placed: NDArray[np.float32],
    weighted: WeightedTokens,
    multiplicities: NDArray[np.int64],
    sources: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The share of the fitted voices that are less unusual than each fitted point, its own voice left out.

    The points are compared with each other, not with the reference: the embedding was fitted on all of them.

    Args:
        placed: (n, d + 1) where each point lies.
        weighted: the tokens of the points.
        multiplicities: (n,) voices that each point stands for.
        sources: (n,) the small source from which alone each point is known, -1 where there is none.

    Returns:
        (n,) in [0, 1].
    """
    values = left_out_unusualness(placed, weighted, multiplicities, sources)
    order = np.argsort(values, kind="stable")
    below = np.concatenate([[0], np.cumsum(multiplicities[order])])
    return np.asarray(below[np.searchsorted(values[order], values)] / max(int(multiplicities.sum()), 1))


def left_out_unusualness(
    placed: NDArray[np.float32],
    weighted: WeightedTokens,
    multiplicities: NDArray[np.int64],
    sources: NDArray[np.int64],
) -> NDArray[np.float64]:
    """The unusualness (n,) of one voice of each fitted point among all others; arguments as ``score_fitted``."""
    numbers, distances = nearest_of_all(placed, NEIGHBOURS + 1)
    points = np.arange(len(placed))
    others, far = without_own(numbers, distances, points, multiplicities)
    counts = counts_without_own(others, points, multiplicities)
    likeness = weighted.likeness_to(weighted.tokens, others)
    lone = without_source(sources, others, counts, likeness)
    for start in range(0, len(lone.rows), _ROWS):
        rows = lone.rows[start : start + _ROWS]
        others[rows], far[rows] = nearest_elsewhere(
            placed[rows], placed, sources, lone.sources[start : start + _ROWS], points[rows], others.shape[1]
        )
        counts[rows] = counts_without_own(others[rows], points[rows], multiplicities)
        likeness[rows] = weighted.likeness_to(weighted.tokens[rows], others[rows])
    return unusualness(far, counts, likeness.max(axis=1, initial=0.0))


def counts_without_own(
    others: NDArray[np.int64], points: NDArray[np.int64], multiplicities: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many voices neighbours (m, k), -1 for none, stand for without one of each own point (m,)."""
    counts = multiplicities[np.maximum(others, 0)] - (others == points[:, None])
    counts[others < 0] = 0
    return np.asarray(counts)


@dataclass(frozen=True, slots=True)
class Lone:
    """Analyses all of whose neighbours are known from one small source alone.

    Attributes:
        rows, sources: (r,) their rows, and the source of each.
    """

    rows: NDArray[np.int64]
    sources: NDArray[np.int64]


def without_source(
    sources: NDArray[np.int64], others: NDArray[np.int64], counts: NDArray[np.int64], likeness: NDArray[np.float64]
) -> Lone:
    """Leave out, in place, the neighbours of the source from which alone the most alike is known.

    Args:
        sources: (n,) of the fitted points.
        others: (m, k) neighbours, -1 for none; counts, likeness: (m, k), which become 0.

    Returns:
        the analyses that had neighbours and have none left.
    """
    if not others.shape[1]:
        return Lone(np.zeros(0, np.int64), np.zeros(0, np.int64))
    of_neighbours = np.where(others >= 0, sources[np.maximum(others, 0)], -1)
    left_out = of_one_source(of_neighbours, likeness, counts)
    had = counts.any(axis=1)
    counts[left_out] = 0
    likeness[left_out] = 0.0
    rows = np.flatnonzero(had & ~counts.any(axis=1))
    return Lone(rows, of_neighbours[rows, np.argmax(left_out[rows], axis=1)])


def nearest_elsewhere(
    own: NDArray[np.float32],
    placed: NDArray[np.float32],
    sources: NDArray[np.int64],
    left_out: NDArray[np.int64],
    points: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Neighbours (r, k), -1 for none, and distances among the points that are not of one source, nor the own ones.

    Args:
        own: (r, d + 1) where the analyses lie; placed: (n, d + 1) where the points lie.
        sources: (n,) of the points; left_out: (r,) the source that each analysis is compared without.
        points: (r,) the analyses' own points.
    """
    closeness = own @ placed.T
    closeness[sources[None] == left_out[:, None]] = -np.inf
    closeness[np.arange(len(own)), points] = -np.inf
    best = np.argpartition(closeness, len(placed) - k, axis=1)[:, len(placed) - k :]
    away = placed[best].astype(np.float64) - own[:, None, :].astype(np.float64)
    far = np.sqrt((away * away).sum(axis=2))
    absent = ~np.isfinite(np.take_along_axis(closeness, best, axis=1))
    order = np.lexsort((best, np.where(absent, np.inf, far)), axis=1)
    numbers = np.where(np.take_along_axis(absent, order, axis=1), -1, np.take_along_axis(best, order, axis=1))
    return numbers, np.where(numbers < 0, 0.0, np.take_along_axis(far, order, axis=1))


def without_own(
    numbers: NDArray[np.int64],
    distances: NDArray[np.float64],
    points: NDArray[np.int64],
    multiplicities: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The neighbours of one analysis of each point among the other analyses, with their distances, both (m, k).

    A point with other analyses stays its own neighbour, the nearest; one without is left out. Places that are left
    over hold -1 and 0.

    Args:
        numbers, distances: (m, k + 1) of the nearest points, nearest first.
        points: (m,) the analyses' own points.
    """
    k = min(NEIGHBOURS, numbers.shape[1])
    own = numbers == points[:, None]
    repeated = multiplicities[points] > 1
    ranks = np.where(own, np.where(repeated, -1, numbers.shape[1])[:, None], np.arange(numbers.shape[1])[None])
    order = np.argsort(ranks, axis=1, kind="stable")[:, :k]
    others = np.take_along_axis(numbers, order, axis=1)
    far = np.take_along_axis(distances, order, axis=1)
    absent = (others == points[:, None]) & ~repeated[:, None]
    far = np.where(others == points[:, None], 0.0, far)
    # Among many points of one place the own one may not be listed.
    first = repeated & ~own.any(axis=1)
    others[first] = np.hstack([points[first, None], others[first, :-1]])
    far[first] = np.hstack([np.zeros((int(first.sum()), 1)), far[first, :-1]])
    others[absent] = -1
    return others, far
