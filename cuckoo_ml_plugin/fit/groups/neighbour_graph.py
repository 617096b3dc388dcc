"""The nearest neighbours of all points, and from their graph a spanning tree of many points.

The neighbours are exact up to ``EXACT_NEIGHBOURS`` points, and but for a few beyond (``neighbour_cells``). The graph
joins each point to its nearest. Within each connected group of the graph the minimum spanning tree under mutual
reachability is exact. Boruvka rounds over ``REPRESENTATIVES`` members of each group then join the groups, so only the
distances at which whole groups meet may differ from the true tree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from sklearn.neighbors import NearestNeighbors

from cuckoo_ml_plugin.fit.groups.neighbour_cells import nearest_by_cells

EXACT_NEIGHBOURS = 16_000
"""The most points whose neighbours are searched for among all others."""
NEIGHBOURS = 16
REPRESENTATIVES = 24
OTHERS = 8
"""How many points of other groups, nearest by their vectors, are considered for the edge of a representative."""
_NO_ZERO = 1e-9  # sparse graphs read 0 as "no edge"

Floats = NDArray[np.floating[Any]]


def nearest_of_all(vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers and distances (n, min(k, n)) of each point's nearest points, nearest first, itself included.

    They are exact up to ``EXACT_NEIGHBOURS`` points.
    """
    k = min(k, len(vectors))
    if k == 0:
        return np.zeros((0, 0), np.int64), np.zeros((0, 0))
    if len(vectors) > EXACT_NEIGHBOURS:
        return nearest_by_cells(vectors, k)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=1).fit(vectors)
    distances, numbers = search.kneighbors(vectors)
    # Products in float32 cannot tell 1e-4 from 0, so the distances to these neighbours are computed again.
    for start in range(0, len(vectors), 4096):
        part = slice(start, start + 4096)
        away = vectors[numbers[part]].astype(np.float64) - vectors[part, None, :].astype(np.float64)
        distances[part] = np.sqrt((away * away).sum(axis=2))
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(numbers, order, 1).astype(np.int64), np.take_along_axis(distances, order, 1)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest of each of n points, nearest first, ties by number; no point is its own neighbour.

    Attributes:
        numbers, distances: (n, k).
    """

    numbers: NDArray[np.int64]
    distances: NDArray[np.float64]


def sorted_neighbours(numbers: NDArray[np.int64], distances: NDArray[np.float64]) -> Neighbours:
    """Neighbours (n, k) from rows (n, k + 1) in any order, of which each has its own point or one too many."""
    if not numbers.size:
        return Neighbours(np.zeros((len(numbers), 0), np.int64), np.zeros((len(numbers), 0)))
    is_own = numbers == np.arange(len(numbers))[:, None]
    order = np.argsort(numbers, axis=1, kind="stable")
    keys = np.take_along_axis(np.where(is_own, -1.0, distances), order, 1)
    order = np.take_along_axis(order, np.argsort(keys, axis=1, kind="stable"), 1)
    numbers, distances = np.take_along_axis(numbers, order, 1), np.take_along_axis(distances, order, 1)
    first = is_own.any(axis=1).astype(np.int64)[:, None]
    columns = np.arange(numbers.shape[1] - 1)[None, :] + first
    return Neighbours(np.take_along_axis(numbers, columns, 1), np.take_along_axis(distances, columns, 1))


Distances = Callable[[NDArray[np.integer[Any]], NDArray[np.integer[Any]], Floats], Floats]
"""The distances of pairs (p,), given by the numbers of their points and the Euclidean distances of their vectors."""


def neighbour_graph_tree(points: NDArray[np.float32], min_samples: int) -> Floats:
    """Edges (n - 1, 3) of a spanning tree of the points (n, d): from, to, mutual reachability distance."""
    neighbours = sorted_neighbours(*nearest_of_all(points, max(NEIGHBOURS, min_samples) + 1))
    n, k = neighbours.distances.shape
    core = neighbours.distances[:, min(min_samples, k) - 1] if k else np.zeros(n)
    return spanning_tree(points, neighbours, core, lambda first, second, distances: distances)


def spanning_tree(points: NDArray[np.float32], neighbours: Neighbours, core: Floats, distances_of: Distances) -> Floats:
    """Edges (n - 1, 3) of a spanning tree: from, to, mutual reachability distance.

    Args:
        points: (n, d) vectors, by which the edges between groups are looked for.
        neighbours: by the distance of the tree.
        core: (n,) core distances.
        distances_of: gives the distance of the tree.
    """
    n = len(points)
    source = np.repeat(np.arange(n), neighbours.numbers.shape[1])
    target = neighbours.numbers.ravel()
    reach = np.maximum(np.maximum(core[source], core[target]), neighbours.distances.ravel())
    graph = coo_matrix((reach + _NO_ZERO, (source, target)), shape=(n, n)).tocsr()
    forest = minimum_spanning_tree(graph.minimum(graph.T) + _one_way(graph)).tocoo()
    edges = [np.stack([forest.row, forest.col, np.maximum(forest.data - _NO_ZERO, 0.0)], axis=1)]
    components, group = connected_components(forest, directed=False)
    while components > 1:
        bridges = _bridges(points, core, group, components, distances_of)
        edges.append(bridges)
        ends = group[bridges[:, :2].astype(np.int64)]
        joined = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(components, components))
        components, merged = connected_components(joined, directed=False)
        group = merged[group]
    return np.concatenate(edges)


def _one_way(graph: csr_matrix) -> csr_matrix:
    """The edges that only one of their ends lists; the minimum with the transpose reads these as 0."""
    mutual = graph.minimum(graph.T)
    return (graph - mutual).maximum(0)


def _bridges(
    points: NDArray[np.float32], core: Floats, group: NDArray[Any], components: int, distances_of: Distances
) -> Floats:
    """The shortest edge of each group to another group, over representatives, as a forest over the groups."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(components + 1))
    chosen = np.concatenate(
        [order[np.unique(np.linspace(a, b - 1, min(b - a, REPRESENTATIVES)).astype(int))] for a, b in pairwise(starts)]
    )
    vectors, own = points[chosen], group[chosen]
    best_reach, best = np.empty(len(chosen)), np.empty(len(chosen), np.int64)
    step = max(1, 40_000_000 // len(chosen))
    for start in range(0, len(chosen), step):
        part = slice(start, start + step)
        similar = vectors[part] @ vectors.T
        similar[own[part, None] == own[None, :]] = -np.inf
        k = min(OTHERS, len(chosen))
        others = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        others.sort(axis=1)
        is_other = np.isfinite(np.take_along_axis(similar, others, 1))
        away = vectors[part][:, None, :].astype(np.float64) - vectors[others].astype(np.float64)
        euclidean = np.sqrt((away * away).sum(axis=2))
        mine = np.repeat(chosen[part], k)
        reach = distances_of(mine, chosen[others].ravel(), euclidean.ravel())
        reach = np.maximum(np.maximum(core[mine], core[chosen[others].ravel()]), reach).reshape(others.shape)
        nearest = np.where(is_other, reach, np.inf).argmin(axis=1)
        rows = np.arange(len(others))
        best[part], best_reach[part] = others[rows, nearest], reach[rows, nearest]
    reach = best_reach
    shortest = np.lexsort((np.arange(len(chosen)), reach, own))
    first = shortest[np.unique(own[shortest], return_index=True)[1]]
    joined = csr_matrix((reach[first] + _NO_ZERO, (own[first], own[best[first]])), shape=(components, components))
    tree = minimum_spanning_tree(joined.maximum(joined.T)).tocoo()
    ends = {(int(a), int(b)): i for i, a, b in zip(first, own[first], own[best[first]], strict=True)}
    bridges = [ends.get((int(a), int(b)), ends.get((int(b), int(a)))) for a, b in zip(tree.row, tree.col, strict=True)]
    index = np.array(bridges, np.int64)
    return np.stack([chosen[index], chosen[best[index]], reach[index]], axis=1)
