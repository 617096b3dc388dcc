"""Keeps groups as they were where the distance that decides has hardly changed: hysteresis of clusters and of kin.

Every refit fits the vectors anew, so distances change a little. Two clusters of the model before that now lie just
below the epsilon would be merged, and a cluster whose parts now lie just above it would be split, and the next refit
could undo either. Clusters of the model before stay apart unless they are nearer than the epsilon by ``MARGIN``, and
parts of one stay together unless they are further apart by ``MARGIN``. The same holds for kin and their level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cuckoo_ml_plugin.fit.groups.neighbour_graph import Neighbours
from cuckoo_ml_plugin.model.groups.clustering import NOISE

MARGIN: Final = 0.1

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Before:
    """Where n points were in the model before.

    Attributes:
        groups: (n,) the cluster, or the kin, of each point; -1 for none.
        known: (n,) whether the model before knew any analysis of the point.
    """

    groups: Labels
    known: NDArray[np.bool_]


def continued(labels: Labels, neighbours: Neighbours, counts: Labels, before: Labels, epsilon: float) -> Labels:
    """The labels (n,) after merges and splits that are within the margin are undone; numbers have no meaning.

    Args:
        labels: (n,) the clusters, -1 for none.
        neighbours: of the points, by the distance of the epsilon.
        counts: (n,) analyses of each point.
        before: (n,) the cluster of each point in the model before, -1 for none and for new points.
    """
    first = np.repeat(np.arange(len(labels)), neighbours.numbers.shape[1])
    second, distances = neighbours.numbers.ravel(), neighbours.distances.ravel()
    kept = (distances <= epsilon + MARGIN) & (labels[first] != NOISE) & (labels[second] != NOISE)
    first, second, distances = first[kept], second[kept], distances[kept]
    labels = _apart(labels, first, second, distances, counts, before, epsilon)
    return _together(labels, first, second, counts, before)


def _apart(
    labels: Labels,
    first: Labels,
    second: Labels,
    distances: NDArray[np.float64],
    counts: Labels,
    before: Labels,
    epsilon: float,
) -> Labels:
    """Clusters that hold several of the model before, taken apart where these are not near enough to be merged."""
    within = labels[first] == labels[second]
    near = within & (distances <= epsilon - MARGIN)
    parts = _components(len(labels), first[near], second[near])
    # A part without an analysis of the model before goes with the nearest part that has one.
    old_of = majorities(parts, counts, before)
    a, b = parts[first], parts[second]
    undecided = np.flatnonzero(within & (a != b) & ((old_of[a] == NOISE) | (old_of[b] == NOISE)))
    nearest = undecided[np.lexsort((second[undecided], first[undecided], distances[undecided]))]
    olds_of = old_of.tolist()
    for one, other in zip(a[nearest].tolist(), b[nearest].tolist(), strict=True):
        if olds_of[one] == NOISE:
            olds_of[one] = olds_of[other]
        elif olds_of[other] == NOISE:
            olds_of[other] = olds_of[one]
    olds = np.array(olds_of, np.int64)[parts]
    inside = labels != NOISE
    pairs = np.stack([labels, olds], axis=1)[inside]
    groups = np.full(len(labels), NOISE)
    if len(pairs):
        groups[inside] = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
    return groups


def _together(labels: Labels, first: Labels, second: Labels, counts: Labels, before: Labels) -> Labels:
    """Clusters that hold parts of one cluster of the model before, joined where these are near enough to stay so."""
    inside = labels != NOISE
    if not inside.any():
        return labels
    olds = majorities(labels[inside], counts[inside], before[inside])
    a, b = labels[first], labels[second]
    joined = (a != b) & (olds[a] == olds[b]) & (olds[a] != NOISE)
    groups = _components(len(olds), a[joined], b[joined])
    result = np.full(len(labels), NOISE)
    result[inside] = groups[labels[inside]]
    return result


def continued_cut(tight: Labels, cut: Labels, loose: Labels, sizes: Labels, before: Labels) -> Labels:
    """The groups (u,) of a hierarchy after merges and splits that are within a margin are undone.

    Args:
        tight, cut, loose: (u,) the groups of each unit when the hierarchy is cut below its level, there, and above it.
        sizes: (u,) analyses of each unit.
        before: (u,) the group of each unit in the model before, -1 for none.
    """
    olds = majorities(tight, sizes, before)[tight]
    mains = majorities(cut, sizes, olds)[cut]  # what was in no group goes with the most of its group
    parts = np.unique(np.stack([cut, np.where(olds == NOISE, mains, olds)], axis=1), axis=0, return_inverse=True)[1]
    parts = np.asarray(parts.ravel(), np.int64)
    olds = majorities(parts, sizes, before)[parts]
    keys = np.where(olds == NOISE, -1 - parts, olds)  # parts without an old group are joined with no other
    return np.asarray(np.unique(np.stack([loose, keys], axis=1), axis=0, return_inverse=True)[1].ravel(), np.int64)


def _components(points: int, first: Labels, second: Labels) -> Labels:
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(points, points))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def majorities(groups: Labels, counts: Labels, before: Labels) -> Labels:
    """The old cluster (g,) that most of each group's analyses were in, ties to the lower number; -1 for none."""
    result = np.full(int(groups.max(initial=NOISE)) + 1, NOISE)
    known = before != NOISE
    if not known.any():
        return result
    pairs, of_pair = np.unique(np.stack([groups[known], before[known]], axis=1), axis=0, return_inverse=True)
    sizes = np.bincount(of_pair.ravel(), counts[known])
    order = np.lexsort((-pairs[:, 1], sizes, pairs[:, 0]))  # of each group, the largest last
    result[pairs[order, 0]] = pairs[order, 1]
    return result
