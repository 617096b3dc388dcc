"""The nearest neighbours of all points of a large corpus, in time that grows little faster than it.

Points lie in cells around pivots that are drawn with a seed (inverted lists: Jégou, Douze & Schmid, TPAMI 2011). First,
the points of a cell are compared with those of the ``PROBES`` cells whose means are nearest to its own, all at a time:
that finds about 98 of 100 neighbours on perturbed RISS (100,000 points, 48 dimensions, 65 neighbours). The missing ones
would merge clusters that only just part. So each point is then compared with every other cell that may hold a nearer
point: by the triangle inequality, none is nearer than the distance to the mean less the cell's radius. The neighbours
are exact, as far as single precision tells, but for points (1 of 100 there) with more than ``MOST`` points in such
cells, which are compared with the nearest of these cells.

A cell with many more points than the others is halved across its direction of greatest extent, again and again, so
that one place where half of a corpus lies takes no longer than the rest. What a point finds does not depend on threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cuckoo_ml_plugin.settings import SEED

PROBES = 24
"""How many cells the points of a cell are compared with first."""
MOST = 40_000
"""In how many further points, about, nearer ones are looked for; in time that grows with the corpus, not its square."""
_CELLS = 4  # times the root of the points
_LARGEST = 8  # a cell has at most so many times the points of a mean one
_BLOCK = 4_000_000  # products in the memory of a thread at a time
_SLACK = 1e-4  # of distances by products in single precision: a bound must not exclude a nearer point
_NEARER = 2e-7  # by how much a product must be greater to be of a nearer point, and no matter of rounding
_EXTENT_FROM = 1_024  # points of a cell by which its greatest extent is told


@dataclass(frozen=True, slots=True)
class _Cells:
    """n points in c cells.

    Attributes:
        order: (n,) the points in order of their cells; starts: (c + 1,) where each cell begins.
        vectors: (n, d) in this order; halves: (n,) half of the square of each length.
        means: (c, d); radii: (c,) the distance from each mean to the farthest point of its cell.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    vectors: NDArray[np.float32]
    halves: NDArray[np.float32]
    means: NDArray[np.float32]
    radii: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> _Cells:
        order, starts = _cells(vectors)
        ordered, sizes = np.ascontiguousarray(vectors[order]), np.diff(starts)
        sums = np.add.reduceat(ordered, starts[:-1], axis=0, dtype=np.float64)
        means = (sums / sizes[:, None]).astype(np.float32)
        away = ordered - np.repeat(means, sizes, axis=0)
        radii = np.sqrt(np.maximum.reduceat(np.einsum("nd,nd->n", away, away), starts[:-1]))
        halves = (np.einsum("nd,nd->n", ordered, ordered) / 2).astype(np.float32)
        return cls(order, starts, ordered, halves, means, radii.astype(np.float32))

    def distances(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
        """The distances of pairs, given by their places in the order: (m, k) from (m,) to (m, k), or (p,) of (p,)."""
        own = self.vectors[rows] if others.ndim == 1 else self.vectors[rows][:, None, :]
        away = self.vectors[others] - own
        return np.asarray(np.sqrt(np.einsum("...d,...d->...", away, away)), np.float32)


def nearest_by_cells(
    vectors: NDArray[np.float32], k: int, probes: int = PROBES, most: int = MOST
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers and distances (n, k) of the k nearest of each of n > k points, itself included, nearest first.

    Products of the vectors (n, d) choose the neighbours, differences measure them: in single precision, these tell
    1e-4 from 0, and products do not.
    """
    cells = _Cells.of(vectors)
    sizes = np.diff(cells.starts)
    count = len(sizes)
    found, far = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k), np.float32)
    probed = np.zeros((count, count), np.bool_)
    half_means = np.einsum("cd,cd->c", cells.means, cells.means) / 2

    def search_near(cell: int) -> None:
        closeness = cells.means @ cells.means[cell] - half_means
        closeness[cell] = np.inf
        nearest = np.argsort(-closeness, kind="stable")
        enough = int(np.searchsorted(np.cumsum(sizes[nearest]), 2 * k)) + 1
        searched = np.sort(nearest[: max(probes, enough)])
        probed[cell, searched] = True
        candidates = _places(cells, searched)
        compared, halves = cells.vectors[candidates], cells.halves[candidates]
        step = max(1, _BLOCK // len(candidates))
        for start in range(cells.starts[cell], cells.starts[cell + 1], step):
            rows = np.arange(start, min(start + step, cells.starts[cell + 1]))
            products = cells.vectors[rows] @ compared.T
            products -= halves
            best = candidates[np.argpartition(products, len(candidates) - k, axis=1)[:, len(candidates) - k :]]
            found[rows], far[rows] = best, cells.distances(rows, best)

    cell_of = np.repeat(np.arange(count), sizes)
    most_cells = max(1, most * count // len(vectors))

    def search_far(first: int) -> None:
        rows = np.arange(first, min(first + step_far, len(vectors)))
        own = cells.vectors[rows]
        reach = far[rows].max(axis=1)
        to_means = own @ cells.means.T
        to_means = np.sqrt(np.maximum(2 * (cells.halves[rows, None] + half_means - to_means), 0.0))
        may_hold = (to_means - cells.radii < reach[:, None] + _SLACK) & ~probed[cell_of[rows]]
        crowded = np.flatnonzero(may_hold.sum(axis=1) > most_cells)
        to_means = np.where(may_hold[crowded], to_means[crowded], np.inf)
        limits = np.partition(to_means, most_cells - 1, axis=1)[:, most_cells - 1] if len(crowded) else np.zeros(0)
        may_hold[crowded] &= to_means <= limits[:, None]
        least = cells.halves[rows] - np.square(reach) / 2 + _NEARER
        hits_of, hits = [], []
        for cell in np.flatnonzero(may_hold.any(axis=0)).tolist():
            asking = np.flatnonzero(may_hold[:, cell])
            places = slice(cells.starts[cell], cells.starts[cell + 1])
            products = own[asking] @ cells.vectors[places].T
            products -= cells.halves[places]
            of_row, place = np.nonzero(products > least[asking, None])
            hits_of.append(rows[asking[of_row]])
            hits.append(cells.starts[cell] + place)
        if hits:
            _insert(cells, found, far, np.concatenate(hits_of), np.concatenate(hits))

    step_far = max(1, 4 * _BLOCK // count)
    with threadpool_limits(1), ThreadPoolExecutor(cpu_count()) as threads:
        for work, tasks in ((search_near, range(count)), (search_far, range(0, len(vectors), step_far))):
            for _ in threads.map(work, tasks):
                pass
    numbers, distances = np.empty(found.shape, np.int64), np.empty(found.shape)
    for start in range(0, len(vectors), 4096):
        rows = slice(start, start + 4096)
        by_number = cells.order[found[rows]]
        nearest_first = np.lexsort((by_number, far[rows]), axis=1)
        numbers[cells.order[rows]] = np.take_along_axis(by_number, nearest_first, 1)
        distances[cells.order[rows]] = np.take_along_axis(far[rows], nearest_first, 1)
    return numbers, distances


def _places(cells: _Cells, some: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places in the order of all points of some cells."""
    return np.concatenate([np.arange(cells.starts[cell], cells.starts[cell + 1]) for cell in some])


def _insert(
    cells: _Cells,
    found: NDArray[np.int64],
    far: NDArray[np.float32],
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
) -> None:
    """Put further points (p,) among the neighbours (n, k) of rows (p,), in place, where they are nearer than these."""
    if not len(rows):
        return
    changed, k = np.unique(rows), found.shape[1]
    owners = np.concatenate([np.repeat(changed, k), rows])
    points = np.concatenate([found[changed].ravel(), others])
    distances = np.concatenate([far[changed].ravel(), cells.distances(rows, others)])
    order = np.lexsort((cells.order[points], distances, owners))
    starts = np.searchsorted(owners[order], changed)
    kept = order[starts[:, None] + np.arange(k)]
    found[changed], far[changed] = points[kept], distances[kept]


def _cells(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points (n,) in order of their cells, and where each cell begins, (cells + 1,); no cell is empty."""
    n = len(vectors)
    count = min(max(1, int(_CELLS * np.sqrt(n))), n)
    pivots = vectors[np.sort(np.random.default_rng(SEED).choice(n, count, replace=False))]
    halves = np.einsum("cd,cd->c", pivots, pivots) / 2
    cell_of = np.empty(n, np.int64)
    step = max(1, 4 * _BLOCK // count)
    for start in range(0, n, step):
        part = slice(start, start + step)
        cell_of[part] = (vectors[part] @ pivots.T - halves).argmax(axis=1)
    order = np.argsort(cell_of, kind="stable")
    bounds = np.flatnonzero(np.diff(cell_of[order], prepend=-1, append=count))
    most = max(_LARGEST * n // count, 1)
    parts = [part for first, last in pairwise(bounds) for part in _halved(vectors, order[first:last], most)]
    return np.concatenate(parts), np.cumsum([0, *map(len, parts)], dtype=np.int64)


def _halved(vectors: NDArray[np.float32], points: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """The points (m,) in parts of at most ``most``, each halved across its direction of greatest extent."""
    if len(points) <= most:
        return [points]
    some = vectors[points[:: max(1, len(points) // _EXTENT_FROM)]].astype(np.float64)
    some -= some.mean(axis=0)
    direction = np.linalg.eigh(some.T @ some)[1][:, -1]
    order = np.argsort(vectors[points] @ direction, kind="stable")
    middle = len(points) // 2
    return _halved(vectors, points[order[:middle]], most) + _halved(vectors, points[order[middle:]], most)
