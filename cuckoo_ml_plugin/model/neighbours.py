"""The exact nearest neighbours of one vector among many, with NumPy alone, in time that hardly grows with the corpus.

Points are kept in cells around pivots. By the triangle inequality no point of a cell is nearer than the distance to the
pivot minus the cell's radius. The nearest cells give a bound, and only cells that can beat it are searched (Burkhard &
Keller, CACM 1973). Groups of malware are so tight that most cells cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape

_FIRST_CELLS = 4
_ENOUGH_TO_PRUNE = 4_000  # with fewer points, searching all of them is quicker
_SLACK = 1e-5  # error of squared distances in float32: a bound must not exclude a true neighbour


@dataclass(frozen=True, slots=True)
class NeighbourIndex(ModelPart):
    """n points in p cells.

    Attributes:
        vectors: (n, d) unit vectors or zero vectors, in order of their cells.
        numbers: (n,) the number by which callers know each point.
        pivots: (p, d) the pivot of each cell.
        radii: (p,) distance from each pivot to the farthest point of its cell.
        starts: (p + 1,) where each cell begins in ``vectors``.
    """

    vectors: Annotated[NDArray[np.float32], Shape("n", "d")]
    numbers: Annotated[NDArray[np.int64], Shape("n")]
    pivots: Annotated[NDArray[np.float32], Shape("p", "d")]
    radii: Annotated[NDArray[np.float32], Shape("p")]
    starts: Annotated[NDArray[np.int64], Shape("p + 1", delimits="n")]

    @classmethod
    def build(cls, vectors: NDArray[np.float32], seed: int) -> NeighbourIndex:
        """Index the rows of ``vectors`` (n, d), which get the numbers 0 to n - 1."""
        n = len(vectors)
        cells = max(1, int(np.sqrt(n))) if n >= _ENOUGH_TO_PRUNE else 1
        chosen = np.sort(np.random.default_rng(seed).choice(n, cells, replace=False)) if n else np.zeros(0, np.int64)
        pivots = np.ascontiguousarray(vectors[chosen], np.float32)
        cell_of = np.zeros(n, np.int64)
        for start in range(0, n, 8192):
            products = vectors[start : start + 8192] @ pivots.T
            cell_of[start : start + 8192] = products.argmax(axis=1)
        order = np.argsort(cell_of, kind="stable")
        sorted_vectors = np.ascontiguousarray(vectors[order], np.float32)
        starts = np.searchsorted(cell_of[order], np.arange(len(pivots) + 1)).astype(np.int64)
        distances = np.sqrt(((sorted_vectors - pivots[cell_of[order]]) ** 2).sum(axis=1)) if n else np.zeros(0)
        radii = np.array([distances[a:b].max(initial=0.0) for a, b in pairwise(starts)])
        return cls(sorted_vectors, order.astype(np.int64), pivots, radii.astype(np.float32), starts)

    def in_order(self) -> NDArray[np.float32]:
        """The vectors (n, d) in order of their numbers, as they were given to :meth:`build`."""
        ordered = np.empty_like(self.vectors)
        ordered[self.numbers] = self.vectors
        return ordered

    def nearest(self, vector: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Numbers and Euclidean distances, both (k,), of the k nearest points, nearest first, ties by number.

        They are fewer than k where there are fewer points.
        """
        n = len(self.vectors)
        k = min(k, n)
        if k == 0:
            return np.zeros(0, np.int64), np.zeros(0)
        cells = self._cells(vector, k) if n >= _ENOUGH_TO_PRUNE else np.arange(len(self.pivots))
        rows, products = self._products(cells, vector)
        rows = rows[products >= _largest(products, k) - _SLACK / 2]  # its error is half that of a squared distance
        exact = self.vectors[rows].astype(np.float64) - vector.astype(np.float64)
        distances = np.sqrt((exact * exact).sum(axis=1))
        numbers = self.numbers[rows]
        order = np.lexsort((numbers, distances))[:k]
        return numbers[order], distances[order]

    def _cells(self, vector: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """The cells that may hold any of the k nearest points."""
        lengths = np.einsum("pd,pd->p", self.pivots, self.pivots) + vector @ vector
        to_pivot = lengths - 2 * (self.pivots @ vector)  # squared
        sizes = np.diff(self.starts)
        order = np.argsort(to_pivot, kind="stable")
        enough = int(np.searchsorted(np.cumsum(sizes[order]), k)) + 1
        _, products = self._products(order[: max(_FIRST_CELLS, enough)], vector)
        worst = np.sqrt(
            max(2.0 - 2.0 * _largest(products, k), 0.0) + _SLACK
        )  # an upper bound, as no vector is longer than 1
        bounds = np.sqrt(np.maximum(to_pivot - _SLACK, 0)) - self.radii
        return np.flatnonzero((bounds <= worst) & (sizes > 0))

    def _products(
        self, cells: NDArray[np.int64], vector: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The positions of all points of the cells, and their dot products with a vector."""
        ends = list(zip(self.starts[cells].tolist(), self.starts[cells + 1].tolist(), strict=True))
        positions = np.concatenate([np.arange(first, last) for first, last in ends])
        return positions, np.concatenate([self.vectors[first:last] @ vector for first, last in ends])


def _largest(values: NDArray[np.float32], k: int) -> float:
    """The k-th largest of at least k values."""
    return float(np.partition(values, len(values) - k)[len(values) - k])
