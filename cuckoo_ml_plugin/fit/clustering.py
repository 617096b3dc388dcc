"""Finds the clusters, by HDBSCAN (Campello, Moulavi & Sander 2013; McInnes & Healy 2017) or DBSCAN (Ester et al. 1996).

The minimum spanning tree under mutual reachability takes most of the time. It comes from

* the ``hdbscan`` library up to ``SMALL`` points (it compiles nothing, and it is the reference),
* the parallel Boruvka of ``fast_hdbscan`` up to ``EXACT`` points (the same tree, ties aside),
* a neighbour graph beyond (:mod:`~cuckoo_ml_plugin.fit.neighbour_graph`): space trees are slow in many dimensions.

Everything after the tree is hdbscan's own code. Identical behaviours are one point with a multiplicity. Such a point
enters the tree as often as it occurs; more than ``min_samples + 1`` copies change nothing but sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.hdbscan_adapter import boruvka_tree, linkage, outlier_scores, reference_tree, select_clusters
from cuckoo_ml_plugin.fit.neighbour_graph import nearest_of_all, neighbour_graph_tree
from cuckoo_ml_plugin.model.clustering import CANDIDATES, NOISE, SAME, Clustering, assign
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.settings import SEED, ClusteringSettings

SMALL = 4_000
"""The most points for which hdbscan computes the tree."""
EXACT = 8_000
"""The most points for which the tree is exact."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class _Density:
    """The result of HDBSCAN or DBSCAN for n points: the arrays of ``Clustering``, before the certainty threshold."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    outlier_scores: NDArray[np.float64]
    parents: NDArray[np.int64]
    lambdas: NDArray[np.float64]
    node_parents: NDArray[np.int64]
    node_lambdas: NDArray[np.float64]
    node_clusters: NDArray[np.int64]
    node_max_lambdas: NDArray[np.float64]
    node_depths: NDArray[np.float64]


def fit_clustering(
    vectors: NDArray[np.float32],
    multiplicities: NDArray[np.integer[Any]],
    settings: ClusteringSettings,
    tree: str = "auto",
    same: float = SAME,
) -> Clustering:
    """Cluster n distinct behaviours.

    Args:
        vectors: (n, d) unit rows; a zero row (none of its tokens is known) belongs to no cluster.
        multiplicities: (n,) at least 1 each.
        settings: the algorithm, its parameters and the certainty threshold.
        tree: "hdbscan", "fast_hdbscan" or "graph", to compare one tree with another.
        same: distance below which behaviours count as identical; 0 to compare with hdbscan.

    Raises:
        CuckooMLError: the installed hdbscan or fast-hdbscan is not as tested.
    """
    counts = np.asarray(multiplicities, np.int64)
    placed = np.flatnonzero(vectors.any(axis=1))
    if settings.algorithm == "dbscan":
        density = _dbscan(vectors[placed], counts[placed], settings)
    else:
        density = _hdbscan(vectors[placed], counts[placed], settings, tree, same)
    density = _spread(density, placed, len(vectors))
    labels = _by_size(density.labels, counts)
    renamed = np.full(density.labels.max(initial=NOISE) + 2, NOISE)
    renamed[density.labels] = labels
    node_clusters = renamed[density.node_clusters]
    fitted = Clustering(
        index=NeighbourIndex.build(vectors, SEED),
        multiplicities=counts,
        labels=labels,
        probabilities=density.probabilities,
        outlier_scores=density.outlier_scores,
        certainties=np.zeros(len(vectors)),
        density_labels=labels,
        centroids=_centroids(vectors, labels, counts),
        core_distances=np.zeros(len(vectors)),
        parents=density.parents,
        lambdas=density.lambdas,
        node_parents=density.node_parents,
        node_lambdas=density.node_lambdas,
        node_clusters=node_clusters,
        node_max_lambdas=density.node_max_lambdas,
        node_depths=density.node_depths,
        min_samples=settings.min_samples,
        certainty=settings.certainty,
        same=same,
    )
    return _without_dissolved(_with_certainties(fitted, vectors))


def _with_certainties(fitted: Clustering, vectors: NDArray[np.float32]) -> Clustering:
    """Assign one analysis of every fitted point as if it were new, and compute the core distances."""
    numbers, distances = nearest_of_all(vectors, max(CANDIDATES, 2 * fitted.min_samples) + 1)
    labels = np.full(len(vectors), NOISE)
    certainties = np.zeros(len(vectors))
    probabilities = np.zeros(len(vectors))
    outlier_scores = fitted.outlier_scores.copy()
    cores = np.zeros(len(vectors))
    for point in range(len(vectors)):
        others = numbers[point] != point
        cores[point] = _core_distance(fitted, point, numbers[point][others], distances[point][others])
        if not vectors[point].any():
            outlier_scores[point] = 1.0
            continue
        near, away = numbers[point][others], distances[point][others]
        if fitted.multiplicities[point] > 1:
            near, away = np.concatenate([[point], near]), np.concatenate([[0.0], away])
        own = int(fitted.density_labels[point])
        cluster, certainty = assign(vectors[point], own, fitted.density_labels[near], away, fitted.centroids)
        certainties[point] = certainty
        if not len(fitted.node_parents):
            outlier_scores[point] = 1.0 - certainty
        if cluster != NOISE and certainty >= fitted.certainty:
            labels[point] = cluster
            probabilities[point] = certainty
    return replace(
        fitted, labels=labels, certainties=certainties, probabilities=probabilities, outlier_scores=outlier_scores,
        core_distances=cores,
    )  # fmt: skip


def _without_dissolved(fitted: Clustering) -> Clustering:
    """Dissolve each cluster that the certainty threshold left with fewer than two analyses; renumber the others."""
    labels = _by_size(fitted.labels, fitted.multiplicities, fitted.clusters, least=2)
    renamed = np.full(fitted.clusters + 1, NOISE)
    renamed[fitted.labels] = labels
    kept = np.flatnonzero(renamed[:-1] != NOISE)
    return replace(
        fitted,
        labels=labels,
        probabilities=np.where(labels == NOISE, 0.0, fitted.probabilities),
        density_labels=renamed[fitted.density_labels],
        node_clusters=renamed[fitted.node_clusters],
        centroids=fitted.centroids[kept[np.argsort(renamed[kept])]],
    )


def _core_distance(fitted: Clustering, point: int, near: NDArray[np.int64], away: Floats) -> float:
    """The distance to the ``min_samples``-th nearest analysis, itself included, as in hdbscan's prediction data."""
    counted = np.concatenate([[fitted.multiplicities[point]], fitted.multiplicities[near]]).cumsum()
    reached = int(np.searchsorted(counted, fitted.min_samples))
    return float(np.concatenate([[0.0], away])[min(reached, len(away))])


def _hdbscan(
    vectors: NDArray[np.float32],
    multiplicities: NDArray[np.int64],
    settings: ClusteringSettings,
    tree: str,
    same: float,
) -> _Density:
    analyses = int(multiplicities.sum())
    if analyses <= max(settings.min_cluster_size, settings.min_samples + 1):
        return _unclustered(len(vectors))
    if _in_one_place(vectors, same):
        return _one_cluster(len(vectors))
    points = np.repeat(np.arange(len(vectors)), np.minimum(multiplicities, settings.min_samples + 1))
    if tree == "auto":
        tree = "hdbscan" if len(points) <= SMALL else "fast_hdbscan" if len(points) <= EXACT else "graph"
    edges = _TREES[tree](vectors[points], settings.min_samples)
    edges, points = _with_all_copies(edges, points, multiplicities)
    edges[:, 2] = np.maximum(edges[:, 2], same)
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0], edges[:, 2]))]
    labels, probabilities, condensed = select_clusters(
        vectors[points], linkage(edges), settings.min_cluster_size, settings.selection_epsilon
    )
    scores = np.clip(np.nan_to_num(outlier_scores(condensed), nan=0.0), 0.0, 1.0)
    first = np.unique(points, return_index=True)[1]  # the first copy stands for all
    return replace(
        _condensed_tree(condensed, labels, first, len(points)),
        labels=labels[first],
        probabilities=np.nan_to_num(probabilities[first], nan=1.0),
        outlier_scores=scores[first],
    )


_TREES = {"hdbscan": reference_tree, "fast_hdbscan": boruvka_tree, "graph": neighbour_graph_tree}


def _with_all_copies(
    edges: Floats, points: NDArray[np.int64], multiplicities: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Add the copies that are not in the tree as leaves of the first copy of their behaviour, at distance 0."""
    first = np.unique(points, return_index=True)[1]
    missing = multiplicities - np.bincount(points, minlength=len(multiplicities))
    extra = np.repeat(np.arange(len(multiplicities)), missing)
    numbers = len(points) + np.arange(len(extra))
    leaves = np.stack([first[extra], numbers, np.zeros(len(extra))], axis=1)
    return np.concatenate([edges, leaves]), np.concatenate([points, extra])


def _condensed_tree(
    condensed: NDArray[Any], labels: NDArray[np.int64], first: NDArray[np.int64], total: int
) -> _Density:
    """The condensed tree as arrays over its nodes (numbered from 0, the root) and the distinct points."""
    parent, child = condensed["parent"].astype(np.int64) - total, condensed["child"].astype(np.int64)
    density = condensed["lambda_val"].astype(np.float64)
    nodes = int(parent.max()) + 1
    is_point = child < total
    point_parents = np.full(total, -1)
    point_lambdas = np.zeros(total)
    point_parents[child[is_point]], point_lambdas[child[is_point]] = parent[is_point], density[is_point]
    node_parents, node_lambdas = np.full(nodes, -1), np.zeros(nodes)
    below = child[~is_point] - total
    node_parents[below], node_lambdas[below] = parent[~is_point], density[~is_point]
    own_depths = np.zeros(nodes)
    np.maximum.at(own_depths, parent, density)
    depths = own_depths.copy()
    for node in range(nodes - 1, 0, -1):  # children have higher numbers than their parents
        depths[node_parents[node]] = max(depths[node_parents[node]], depths[node])
    clusters, densest = _clusters_of_nodes(node_parents, own_depths, point_parents, labels)
    unset = np.zeros(0)
    return _Density(
        labels=labels, probabilities=unset, outlier_scores=unset, parents=point_parents[first],
        lambdas=point_lambdas[first], node_parents=node_parents, node_lambdas=node_lambdas, node_clusters=clusters,
        node_max_lambdas=densest, node_depths=depths,
    )  # fmt: skip


def _clusters_of_nodes(
    node_parents: NDArray[np.int64], own_depths: Floats, point_parents: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cluster of each node, and the cluster's greatest density.

    A cluster is the deepest node that holds all its members, with everything below it.
    """
    tops = np.full(labels.max(initial=NOISE) + 1, -1)
    for cluster in range(len(tops)):
        holders = set(point_parents[labels == cluster].tolist())
        while len(holders) > 1:  # replace the deepest node by its parent; node numbers grow downwards
            deepest = max(holders)
            holders.remove(deepest)
            holders.add(int(node_parents[deepest]))
        tops[cluster] = holders.pop()
    clusters, densest = np.full(len(node_parents), NOISE), np.zeros(len(node_parents))
    for cluster, top in enumerate(tops):
        clusters[top], densest[top] = cluster, own_depths[top]
    for node in range(1, len(node_parents)):
        above = node_parents[node]
        if clusters[node] == NOISE and clusters[above] != NOISE:
            clusters[node], densest[node] = clusters[above], densest[above]
    return clusters, densest


def _dbscan(vectors: NDArray[np.float32], multiplicities: NDArray[np.int64], settings: ClusteringSettings) -> _Density:
    from sklearn.cluster import DBSCAN

    unclustered = _unclustered(len(vectors))
    if not len(vectors):
        return unclustered
    fitted = DBSCAN(eps=settings.eps, min_samples=settings.min_cluster_size)
    labels = fitted.fit(vectors.astype(np.float64), sample_weight=multiplicities).labels_
    return replace(unclustered, labels=np.asarray(labels, np.int64), probabilities=(labels >= 0).astype(np.float64))


def _unclustered(points: int) -> _Density:
    """Points outside all clusters, without a tree."""
    no_nodes, no_densities = np.zeros(0, np.int64), np.zeros(0)
    return _Density(
        labels=np.full(points, NOISE), probabilities=np.zeros(points), outlier_scores=np.ones(points),
        parents=np.full(points, -1), lambdas=np.zeros(points), node_parents=no_nodes, node_lambdas=no_densities,
        node_clusters=no_nodes, node_max_lambdas=no_densities, node_depths=no_densities,
    )  # fmt: skip


def _in_one_place(vectors: NDArray[np.float32], same: float) -> bool:
    """Whether all points lie so close together that they count as identical."""
    away = vectors.astype(np.float64) - vectors[:1]
    return bool(2 * np.sqrt((away * away).sum(axis=1)).max(initial=0.0) <= same)


def _one_cluster(points: int) -> _Density:
    """Identical points as one cluster. HDBSCAN would find none: nothing is denser than its surroundings."""
    return replace(
        _unclustered(points),
        labels=np.zeros(points, np.int64),
        probabilities=np.ones(points),
        outlier_scores=np.zeros(points),
    )


def _spread(density: _Density, placed: NDArray[np.int64], points: int) -> _Density:
    """The result for the placed points as a result for all; the others are in no cluster."""
    if len(placed) == points:
        return density
    spread = _unclustered(points)
    for name in ("labels", "probabilities", "outlier_scores", "parents", "lambdas"):
        getattr(spread, name)[placed] = getattr(density, name)
    return replace(
        density, labels=spread.labels, probabilities=spread.probabilities, outlier_scores=spread.outlier_scores,
        parents=spread.parents, lambdas=spread.lambdas,
    )  # fmt: skip


def _by_size(
    labels: NDArray[np.int64], multiplicities: NDArray[np.int64], count: int | None = None, least: int = 1
) -> NDArray[np.int64]:
    """Labels with clusters renumbered: largest first, ties by first member; those below ``least`` become noise."""
    count = int(labels.max(initial=NOISE)) + 1 if count is None else count
    sizes = np.bincount(labels[labels >= 0], multiplicities[labels >= 0], minlength=count)
    firsts = np.full(count, len(labels))
    np.minimum.at(firsts, labels[labels >= 0], np.flatnonzero(labels >= 0))
    order = np.lexsort((firsts, -sizes))
    order = order[sizes[order] >= least]
    renamed = np.full(count + 1, NOISE)
    renamed[order] = np.arange(len(order))
    return renamed[labels]


def _centroids(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], multiplicities: NDArray[np.int64]
) -> NDArray[np.float32]:
    sums = np.zeros((labels.max(initial=NOISE) + 1, vectors.shape[1]))
    members = labels >= 0
    np.add.at(sums, labels[members], vectors[members].astype(np.float64) * multiplicities[members, None])
    norms = np.sqrt((sums**2).sum(axis=1, keepdims=True))
    centroids: NDArray[np.float64] = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 0)
    return centroids.astype(np.float32)
