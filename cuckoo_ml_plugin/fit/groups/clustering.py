"""Finds the clusters, by HDBSCAN (Campello, Moulavi & Sander 2013; McInnes & Healy 2017) or DBSCAN (Ester et al. 1996).

Distances are those of the mixture (``model/groups/clustering.py``) where the tokens are given, and else those of the
vectors.

The minimum spanning tree under mutual reachability takes most of the time. For the mixture it comes from a neighbour
graph (:mod:`~cuckoo_ml_plugin.fit.groups.neighbour_graph`). For vectors it comes from

* the ``hdbscan`` library up to ``SMALL`` points (it compiles nothing, and it is the reference),
* the parallel Boruvka of ``fast_hdbscan`` up to ``EXACT`` points (the same tree, ties aside),
* a neighbour graph beyond: space trees are slow in many dimensions.

Everything after the tree is hdbscan's own code. Identical behaviours are one point with a multiplicity. Such a point
enters the tree as often as it occurs; more than ``min_samples + 1`` copies change nothing but sizes.

DBSCAN knows the distances of the vectors alone, as CuckooML's did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.groups.alike import AspectTokens, nearest_alike
from cuckoo_ml_plugin.fit.groups.continuity import Before, continued
from cuckoo_ml_plugin.fit.groups.hdbscan_adapter import (
    boruvka_tree,
    linkage,
    lowest_common,
    outlier_scores,
    reference_tree,
    select_clusters,
)
from cuckoo_ml_plugin.fit.groups.neighbour_graph import Neighbours, neighbour_graph_tree, spanning_tree
from cuckoo_ml_plugin.model.groups.clustering import (
    CANDIDATES,
    NOISE,
    SAME,
    Clustering,
    assign,
    mixed_distances,
    sizes_of,
)
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.settings import SEED, ClusteringSettings

SMALL = 4_000
"""The most points for which hdbscan computes the tree."""
EXACT = 8_000
"""The most points for which the tree is exact."""

Floats = NDArray[np.floating[Any]]


HYSTERESIS = 0.1
"""By how much the certainty of an analysis may miss the threshold if it was in a cluster before, or must pass it if it
was in none: of those near the threshold, no refit moves many to and fro."""


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
    tokens: AspectTokens | None = None,
    before: Before | None = None,
) -> Clustering:
    """Cluster n distinct behaviours; see :func:`clustering_and_neighbours`."""
    return clustering_and_neighbours(vectors, multiplicities, settings, tree, same, tokens, before)[0]


def clustering_and_neighbours(
    vectors: NDArray[np.float32],
    multiplicities: NDArray[np.integer[Any]],
    settings: ClusteringSettings,
    tree: str = "auto",
    same: float = SAME,
    tokens: AspectTokens | None = None,
    before: Before | None = None,
    analyses: NDArray[np.int64] | None = None,
) -> tuple[Clustering, Neighbours]:
    """Cluster n distinct behaviours; also return the neighbours by which they were clustered.

    Args:
        vectors: (n, d) unit rows; a zero row (none of its tokens is known) belongs to no cluster.
        multiplicities: (n,) at least 1 each.
        settings: the algorithm, its parameters and the certainty threshold.
        tree: "hdbscan", "fast_hdbscan" or "graph", to compare one tree with another.
        same: distance below which behaviours count as identical; 0 to compare with hdbscan.
        tokens: of the behaviours; without them, only the vectors count.
        before: where the points were in the model before.
        analyses: (n,) by how many of these the clusters are numbered, largest first; by default, by multiplicities.

    Raises:
        CuckooMLError: the installed hdbscan or fast-hdbscan is not as tested.
    """
    counts = np.asarray(multiplicities, np.int64)
    if settings.algorithm == "dbscan":
        tokens = None
    placed = np.flatnonzero(vectors.any(axis=1))
    some, some_tokens = vectors[placed], tokens.take(placed) if tokens is not None else None
    near = nearest_alike(some, some_tokens, max(CANDIDATES, 2 * settings.min_samples))
    if settings.algorithm == "dbscan":
        density = _dbscan(some, counts[placed], settings)
    elif some_tokens is not None and tree == "auto":
        edges = _mixed_tree(some, some_tokens, near, counts[placed], settings.min_samples)
        density = _hdbscan(some, counts[placed], settings, same, *edges)
    else:
        edges = _vector_tree(some, counts[placed], settings, tree)
        density = _hdbscan(some, counts[placed], settings, same, *edges)
    density = _spread(density, placed, len(vectors))
    near = _spread_neighbours(near, placed, len(vectors))
    groups = density.labels
    if before is not None and tokens is not None:
        groups = continued(groups, near, counts, before.groups, settings.selection_epsilon)
    labels = by_size(groups, counts)
    renamed = np.full(density.labels.max(initial=NOISE) + 2, NOISE)
    renamed[density.labels] = labels  # of clusters that were taken apart, one part for all: see Clustering.place
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
        density_sizes=sizes_of(labels, counts, int(labels.max(initial=NOISE)) + 1),
        likeness_weight=np.full(1, 0.5 if tokens is not None else 0.0),
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
    return _without_dissolved(_with_certainties(fitted, vectors, near, before), analyses), near


def _with_certainties(
    fitted: Clustering, vectors: NDArray[np.float32], near: Neighbours, before: Before | None
) -> Clustering:
    """Assign one analysis of every fitted point as if it were new, and compute the core distances."""
    counts = fitted.multiplicities
    is_placed = vectors.any(axis=1)
    clusters, certainties = assign(
        fitted.density_labels,
        fitted.density_labels[near.numbers],
        near.distances,
        counts[near.numbers],
        fitted.density_sizes,
        counts - 1,
    )
    certainties = np.where(is_placed, certainties, 0.0)
    scores = 1.0 - certainties if not len(fitted.node_parents) else np.where(is_placed, fitted.outlier_scores, 1.0)
    threshold = fitted.certainty - (0.0 if before is None else _margins(before))
    is_member = is_placed & (clusters != NOISE) & (certainties >= threshold)
    return replace(
        fitted,
        labels=np.where(is_member, clusters, NOISE),
        certainties=certainties,
        probabilities=np.where(is_member, certainties, 0.0),
        outlier_scores=scores,
        core_distances=core_distances(near, counts, fitted.min_samples, own=1),
    )


def _margins(before: Before) -> NDArray[np.float64]:
    """(n,) by how much each point's certainty may miss the threshold, or must pass it where negative."""
    return np.where(before.groups != NOISE, HYSTERESIS, np.where(before.known, -HYSTERESIS, 0.0))


def _without_dissolved(fitted: Clustering, analyses: NDArray[np.int64] | None) -> Clustering:
    """Dissolve each cluster that the certainty threshold left with fewer than two voices; renumber the others."""
    labels = by_size(fitted.labels, fitted.multiplicities, fitted.clusters, least=2, analyses=analyses)
    renamed = np.full(fitted.clusters + 1, NOISE)
    renamed[fitted.labels] = labels
    kept = np.flatnonzero(renamed[:-1] != NOISE)
    return replace(
        fitted,
        labels=labels,
        probabilities=np.where(labels == NOISE, 0.0, fitted.probabilities),
        density_labels=renamed[fitted.density_labels],
        density_sizes=fitted.density_sizes[kept[np.argsort(renamed[kept])]],
        node_clusters=renamed[fitted.node_clusters],
        centroids=fitted.centroids[kept[np.argsort(renamed[kept])]],
    )


def core_distances(
    near: Neighbours, multiplicities: NDArray[np.int64], count: int, own: int = 0
) -> NDArray[np.float64]:
    """The distance (n,) from each point to the ``count``-th nearest analysis, repeats included.

    Args:
        own: 1 to count the analysis itself, too, as hdbscan does for prediction, but not for its tree.
    """
    n, k = near.distances.shape
    counted = np.concatenate([multiplicities[:, None] - 1 + own, multiplicities[near.numbers]], axis=1).cumsum(axis=1)
    reached = np.minimum((counted < count).sum(axis=1), k)
    distances = np.concatenate([np.zeros((n, 1)), near.distances], axis=1)
    return np.asarray(distances[np.arange(n), reached])


def _mixed_tree(
    vectors: NDArray[np.float32],
    tokens: AspectTokens,
    near: Neighbours,
    multiplicities: NDArray[np.int64],
    min_samples: int,
) -> tuple[Floats, NDArray[np.int64]]:
    """The spanning tree of the mixture: edges (m, 3) over nodes, of which each is a copy of one point (m + 1,)."""
    n = len(vectors)
    if not n:
        return np.zeros((0, 3)), np.zeros(0, np.int64)

    def distances_of(first: NDArray[Any], second: NDArray[Any], distances: Floats) -> Floats:
        return mixed_distances(distances, tokens.likeness_of_pairs(first, second))

    core = core_distances(near, multiplicities, min_samples)
    edges = spanning_tree(vectors, near, core, distances_of)
    copies = np.repeat(np.arange(n), multiplicities - 1)
    leaves = np.stack([copies, n + np.arange(len(copies)), core[copies]], axis=1)
    return np.concatenate([edges, leaves]), np.concatenate([np.arange(n), copies])


def _vector_tree(
    vectors: NDArray[np.float32], multiplicities: NDArray[np.int64], settings: ClusteringSettings, tree: str
) -> tuple[Floats, NDArray[np.int64]]:
    """The spanning tree of the vectors, as :func:`_mixed_tree` gives it."""
    points = np.repeat(np.arange(len(vectors)), np.minimum(multiplicities, settings.min_samples + 1))
    if len(points) < 2:
        return np.zeros((0, 3)), points
    if tree == "auto":
        tree = "hdbscan" if len(points) <= SMALL else "fast_hdbscan" if len(points) <= EXACT else "graph"
    return _with_all_copies(_TREES[tree](vectors[points], settings.min_samples), points, multiplicities)


def _hdbscan(
    vectors: NDArray[np.float32],
    multiplicities: NDArray[np.int64],
    settings: ClusteringSettings,
    same: float,
    edges: Floats,
    points: NDArray[np.int64],
) -> _Density:
    analyses = int(multiplicities.sum())
    if analyses <= max(settings.min_cluster_size, settings.min_samples + 1):
        return _unclustered(len(vectors))
    if edges[:, 2].max(initial=0.0) <= same:
        return _one_cluster(len(vectors))
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
        tops[cluster] = lowest_common(node_parents, point_parents[labels == cluster])
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


def _spread_neighbours(near: Neighbours, placed: NDArray[np.int64], points: int) -> Neighbours:
    """The neighbours of the placed points as neighbours of all; the others have themselves, far away."""
    if len(placed) == points:
        return near
    k = near.numbers.shape[1]
    numbers = np.repeat(np.arange(points)[:, None], k, axis=1)
    distances = np.full((points, k), 2.0)
    numbers[placed], distances[placed] = placed[near.numbers], near.distances
    return Neighbours(numbers, distances)


def by_size(
    labels: NDArray[np.int64],
    multiplicities: NDArray[np.int64],
    count: int | None = None,
    least: int = 1,
    analyses: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Labels with groups renumbered: largest first, ties by first member; those below ``least`` become noise.

    ``analyses``: (n,) by how many of these groups are ordered; by default, by the multiplicities.
    """
    count = int(labels.max(initial=NOISE)) + 1 if count is None else count
    members = labels >= 0
    sizes = np.bincount(labels[members], multiplicities[members], minlength=count)
    shown = sizes if analyses is None else np.bincount(labels[members], analyses[members], minlength=count)
    firsts = np.full(count, len(labels))
    np.minimum.at(firsts, labels[members], np.flatnonzero(members))
    order = np.lexsort((firsts, -shown))
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
