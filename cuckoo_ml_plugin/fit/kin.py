"""Finds the kin: broad groups of clusters and of analyses in no cluster, by average linkage (Sokal & Michener 1958).

The units that are linked are the clusters and the unclustered behaviours, so a cluster lies wholly in one kin. The
distance of two units is the root mean square of the distances between their members: with unit vectors it follows from
the mean vectors alone, without a comparison of all pairs. The tree is cut at a share of the median distance of all
pairs, so the setting means the same on a corpus of any kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cuckoo_ml_plugin.fit.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.model.clustering import NOISE
from cuckoo_ml_plugin.model.kin import NEIGHBOURS, NO_KIN, Kin, kin_shares
from cuckoo_ml_plugin.settings import SEED, ClusteringSettings

EXACT = 4_000
"""The most units that are linked; of more, the largest are, and each other one joins the kin of the nearest of them."""
_PAIRS_OF = 2_000  # behaviours whose pairs give the median distance
_LEAST = 2  # analyses in a kin
_BLOCK = 2_048

Floats = NDArray[np.floating[Any]]


def fit_kin(
    vectors: NDArray[np.float32],
    multiplicities: NDArray[np.int64],
    clusters: NDArray[np.int64],
    settings: ClusteringSettings,
) -> Kin:
    """Group n distinct behaviours to kin.

    Args:
        vectors: (n, d) unit rows; a zero row (none of its tokens is known) belongs to no kin.
        multiplicities: (n,) analyses that each stands for.
        clusters: (n,) the cluster of each, -1 for none.
        settings: ``kin_level``: the share of the median distance of all pairs at which groups are no longer joined.
    """
    labels = np.full(len(vectors), NO_KIN)
    placed = np.flatnonzero(vectors.any(axis=1))
    if not len(placed):
        return Kin.none(len(vectors))
    units, counts, means = _units(vectors[placed], multiplicities[placed], clusters[placed])
    level = settings.kin_level * _median_distance(vectors[placed])
    labels[placed] = _groups(means, counts, level)[units]
    labels = _by_size(labels, multiplicities)
    return Kin(labels, _certainties(vectors, multiplicities, labels))


def _units(
    vectors: NDArray[np.float32], multiplicities: NDArray[np.int64], clusters: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """The unit (n,) of each behaviour; the analyses (u,) in each unit, and the mean (u, d) of their vectors."""
    alone = clusters == NOISE
    keys = np.where(alone, int(clusters.max(initial=NOISE)) + 1 + np.arange(len(clusters)), clusters)
    kept, units = np.unique(keys, return_inverse=True)
    counts = np.bincount(units, multiplicities, minlength=len(kept))
    sums = np.zeros((len(kept), vectors.shape[1]))
    np.add.at(sums, units, vectors.astype(np.float64) * multiplicities[:, None])
    return units, counts.astype(np.int64), sums / counts[:, None]


def _median_distance(vectors: NDArray[np.float32]) -> float:
    """The median Euclidean distance of all pairs of behaviours, of a sample where there are many."""
    if len(vectors) > _PAIRS_OF:
        vectors = vectors[np.random.default_rng(SEED).choice(len(vectors), _PAIRS_OF, replace=False)]
    upper = np.triu_indices(len(vectors), 1)
    distances = _distances(vectors, vectors)[upper]
    return float(np.median(distances)) if len(distances) else 0.0


def _distances(one: Floats, other: Floats) -> Floats:
    """(a, b) the root mean square distances between units with the means ``one`` (a, d) and ``other`` (b, d)."""
    return np.sqrt(np.maximum(2.0 - 2.0 * (one.astype(np.float64) @ other.astype(np.float64).T), 0.0))


def _groups(means: Floats, counts: NDArray[np.int64], level: float) -> NDArray[np.int64]:
    """The group (u,) of each unit; units further than ``level`` from every group are groups of their own."""
    if len(means) < 2:
        return np.zeros(len(means), np.int64)
    order = np.argsort(-counts, kind="stable")
    linked, others = np.sort(order[:EXACT]), np.sort(order[EXACT:])
    distances = _distances(means[linked], means[linked])
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), method="average")
    groups = np.zeros(len(means), np.int64)
    groups[linked] = fcluster(tree, level, criterion="distance") - 1
    alone = int(groups.max()) + 1
    for start in range(0, len(others), _BLOCK):
        part = others[start : start + _BLOCK]
        away = _distances(means[part], means[linked])
        nearest = away.argmin(axis=1)
        joins = away[np.arange(len(part)), nearest] <= level
        groups[part] = np.where(joins, groups[linked[nearest]], alone + start + np.arange(len(part)))
    return groups


def _by_size(labels: NDArray[np.int64], multiplicities: NDArray[np.int64]) -> NDArray[np.int64]:
    """The labels (n,) renumbered, largest kin first, ties by the first member; too small ones become none."""
    members = np.flatnonzero(labels != NO_KIN)
    _, firsts, groups = np.unique(labels[members], return_index=True, return_inverse=True)
    sizes = np.bincount(groups, multiplicities[members], minlength=len(firsts))
    order = np.lexsort((firsts, -sizes))
    order = order[sizes[order] >= _LEAST]
    renamed = np.full(len(firsts), NO_KIN)
    renamed[order] = np.arange(len(order))
    result = np.full(len(labels), NO_KIN)
    result[members] = renamed[groups]
    return result


def _certainties(
    vectors: NDArray[np.float32], multiplicities: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n,) the share of the nearest other analyses that are in the kin of each behaviour; repeats of it are others."""
    certainties = np.zeros(len(vectors))
    numbers, _ = nearest_of_all(vectors, NEIGHBOURS + 1)
    for point in np.flatnonzero(labels != NO_KIN).tolist():
        near = numbers[point][numbers[point] != point]
        near = np.concatenate([[point], near])
        counts = multiplicities[near].copy()
        counts[0] -= 1  # one analysis of the point is the one that is placed
        counted = counts > 0
        certainties[point] = kin_shares(labels[near[counted]], counts[counted]).get(int(labels[point]), 0.0)
    return certainties
