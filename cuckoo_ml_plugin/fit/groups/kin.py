"""Finds the kin: broad groups of clusters and of analyses in no cluster, by average linkage (Sokal & Michener 1958).

The units that are linked are the clusters and the unclustered behaviours, so a cluster lies wholly in one kin: both
levels are of one hierarchy. Two units are as alike as their medoids; the likeness of two groups is the mean over their
units, each counted by its analyses. Groups are joined while this mean reaches a level.

Families are broad in one corpus and narrow in another, so the level is chosen for each corpus, without labels. It is
the one whose groups have the greatest modularity (Newman & Girvan, Physical Review E 2004) in the graph that joins each
analysis to its ``NEAREST`` most similar ones. Groups that are too narrow cut edges of this graph, groups that are too
broad hold more pairs than edges. docs/benchmarks.md compares the choice with other levels.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.groups.alike import AspectTokens
from cuckoo_ml_plugin.fit.groups.clustering import by_size
from cuckoo_ml_plugin.fit.groups.continuity import Before, continued_cut, majorities
from cuckoo_ml_plugin.fit.groups.neighbour_graph import Neighbours
from cuckoo_ml_plugin.model.groups.clustering import NOISE, Clustering, assign, sizes_of
from cuckoo_ml_plugin.model.groups.kin import NO_KIN, Kin

EXACT: Final = 4_000
"""The most units that are linked: those with most analyses. Each other one joins the kin of the nearest of these."""
NEAREST: Final = 5
"""How many most similar analyses each analysis is joined to in the graph that the level is chosen by."""
LEVELS: Final = np.arange(0.98, 0.01, -0.02).round(2)
"""The levels among which is chosen, tightest first."""
BETTER: Final = 0.02
"""By how much the modularity at another level must be greater for a refit to change the level."""
MARGIN: Final = 0.06
"""By how much likeness must differ from the level for a refit to join or to part what was otherwise before."""
_LEAST = 2  # analyses in a kin

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


def fit_kin(
    vectors: NDArray[np.float32],
    tokens: AspectTokens,
    neighbours: Neighbours,
    clustering: Clustering,
    level: float,
    before: Before | None = None,
    old_level: float = 0.0,
    analyses: Integers | None = None,
) -> Kin:
    """Group n distinct behaviours to kin.

    Args:
        vectors: (n, d) unit rows; a zero row (none of its tokens is known) belongs to no kin.
        tokens: of the behaviours.
        neighbours, clustering: as the clustering gave them.
        level: the least mean likeness of groups that are joined, in (0, 1]; 0 to have it chosen.
        before: where the behaviours were in the kin of the model before.
        old_level: the level of the model before, which is kept while no other is better by ``BETTER``.
        analyses: (n,) by how many of these the kin are numbered, largest first; by default, by multiplicities.
    """
    placed = np.flatnonzero(vectors.any(axis=1))
    if not len(placed):
        return Kin.none(len(vectors))
    counts = clustering.multiplicities
    units, medoids, sizes = _units(vectors, counts, clustering.labels, placed)
    linked = np.sort(np.argsort(-sizes, kind="stable")[:EXACT])
    away = 1.0 - tokens.take(medoids[linked]).likeness_of_all()
    merges = _average_linkage(away, sizes[linked].astype(np.float64))
    unit_groups = np.arange(len(medoids))
    best, chosen = -np.inf, unit_groups
    graph = _graph(neighbours, counts)
    for candidate in [level] if level > 0 else LEVELS.tolist():
        groups = unit_groups.copy()
        groups[linked] = linked[_cut(merges, len(linked), 1.0 - candidate)]
        value = _modularity(*graph, np.where(units >= 0, groups[units], len(medoids)))
        if candidate == old_level:
            value += BETTER
        if value > best + 1e-9:
            best, chosen, level = value, groups, candidate
    if before is not None:
        chosen[linked] = _continued(merges, linked, units, sizes, counts, before, level)
    chosen = _joined_by_others(chosen, linked, units, medoids, neighbours, tokens, level)
    labels = by_size(np.where(units >= 0, chosen[units], NO_KIN), counts, least=_LEAST, analyses=analyses)
    kin_sizes = sizes_of(labels, counts, int(labels.max(initial=NO_KIN)) + 1)
    near = neighbours.numbers
    _, certainties = assign(labels, labels[near], neighbours.distances, counts[near], kin_sizes, counts - 1)
    return Kin(labels, np.where(labels == NO_KIN, 0.0, certainties), kin_sizes, np.array([level]))


def _continued(
    merges: list[tuple[float, int, int]],
    linked: Integers,
    units: Integers,
    sizes: Integers,
    counts: Integers,
    before: Before,
    level: float,
) -> Integers:
    """The groups of the linked units (l,), each by the number of one of its units, with regard to the kin before."""
    placed = units >= 0
    olds = majorities(units[placed], counts[placed], before.groups[placed])[linked]
    tight, cut, loose = (_cut(merges, len(linked), 1.0 - level + shift) for shift in (-MARGIN, 0.0, MARGIN))
    groups = continued_cut(tight, cut, loose, sizes[linked], olds)
    return linked[np.unique(groups, return_index=True)[1]][np.unique(groups, return_inverse=True)[1].ravel()]


def _units(
    vectors: NDArray[np.float32], counts: Integers, clusters: Integers, placed: Integers
) -> tuple[Integers, Integers, Integers]:
    """The unit (n,) of each behaviour, -1 for those that are not placed; medoid and analyses of each unit, both (u,).

    The medoid is the member whose vector is nearest to the mean of all.
    """
    keys = np.where(clusters == NOISE, int(clusters.max(initial=NOISE)) + 1 + np.arange(len(clusters)), clusters)
    kept, units_of_placed = np.unique(keys[placed], return_inverse=True)
    sums = np.zeros((len(kept), vectors.shape[1]))
    np.add.at(sums, units_of_placed, vectors[placed].astype(np.float64) * counts[placed, None])
    central = np.einsum("nd,nd->n", vectors[placed].astype(np.float64), sums[units_of_placed])
    order = np.lexsort((placed, -central.round(9), units_of_placed))
    medoids = placed[order[np.unique(units_of_placed[order], return_index=True)[1]]]
    units = np.full(len(vectors), -1)
    units[placed] = units_of_placed
    return units, medoids, np.bincount(units_of_placed, counts[placed], minlength=len(kept)).astype(np.int64)


def _average_linkage(away: Floats, weights: Floats) -> list[tuple[float, int, int]]:
    """The merges of u units with weights (u,), by their distances (u, u): distance, and one unit of each group.

    SciPy's average linkage knows no weights. This is the chain of nearest neighbours (Murtagh, 1983), which needs u
    merges of a row each.
    """
    away, weights = away.copy(), weights.copy()
    np.fill_diagonal(away, np.inf)
    left = list(range(len(away)))
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < len(away) - 1:
        if not chain:
            while np.isinf(away[left[0]]).all():
                left.pop(0)
            chain = [left[0]]
        row = away[chain[-1]]
        nearest = int(row.argmin())
        if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
            one, other = chain.pop(), chain.pop()
            merges.append((float(row[other]), one, other))
            mean = (weights[one] * away[one] + weights[other] * away[other]) / (weights[one] + weights[other])
            weights[one] += weights[other]
            away[one], away[:, one] = mean, mean
            away[one, one] = np.inf
            away[other], away[:, other] = np.inf, np.inf
        else:
            chain.append(nearest)
    return merges


def _cut(merges: list[tuple[float, int, int]], units: int, distance: float) -> Integers:
    """The group (u,) of each unit after the merges up to a distance: the number of one of its units."""
    above = list(range(units))

    def top(unit: int) -> int:
        while above[unit] != unit:
            above[unit] = above[above[unit]]
            unit = above[unit]
        return unit

    for away, one, other in merges:
        if away <= distance + 1e-12:
            above[top(other)] = top(one)
    return np.array([top(unit) for unit in range(units)], np.int64)


def _graph(neighbours: Neighbours, counts: Integers) -> tuple[Integers, Integers, Floats]:
    """The edges of each analysis to its ``NEAREST`` most similar ones: both ends (e,), and how many there are (e,)."""
    n = len(counts)
    numbers = np.concatenate([np.arange(n)[:, None], neighbours.numbers], axis=1)
    multiplicities = counts[numbers]
    multiplicities[:, 0] -= 1
    before = np.cumsum(multiplicities, axis=1) - multiplicities
    weights = np.clip(NEAREST - before, 0, multiplicities)
    rows, columns = np.nonzero(weights)
    return rows, numbers[rows, columns], (weights[rows, columns] * counts[rows]).astype(np.float64)


def _modularity(first: Integers, second: Integers, weights: Floats, groups: Integers) -> float:
    total = 2.0 * weights.sum()
    if not total:
        return 0.0
    degrees = np.bincount(first, weights, len(groups)) + np.bincount(second, weights, len(groups))
    inside = 2.0 * weights[groups[first] == groups[second]].sum()
    return float(inside / total - np.square(np.bincount(groups, degrees) / total).sum())


def _joined_by_others(
    groups: Integers,
    linked: Integers,
    units: Integers,
    medoids: Integers,
    neighbours: Neighbours,
    tokens: AspectTokens,
    level: float,
) -> Integers:
    """The groups (u,) after each other unit has joined the group of the nearest linked one, where alike enough."""
    is_linked = np.zeros(len(medoids) + 1, np.bool_)
    is_linked[linked] = True
    others = np.flatnonzero(~is_linked[:-1])
    if not len(others):
        return groups
    near = units[neighbours.numbers[medoids[others]]]
    candidates = is_linked[near] & (near >= 0)
    may_join = candidates.any(axis=1)
    others, near, candidates = others[may_join], near[may_join], candidates[may_join]
    first = candidates.argmax(axis=1)
    nearest = neighbours.numbers[medoids[others], first]
    alike = tokens.likeness_of_pairs(medoids[others], nearest) >= level
    joined = groups.copy()
    joined[others[alike]] = groups[near[np.arange(len(others)), first][alike]]
    return joined
