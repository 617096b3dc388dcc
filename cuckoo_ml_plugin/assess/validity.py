"""Measures without labels: how dense and how far apart clusters are, and how long each persists in the tree."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.groups.hdbscan_adapter import has_reference
from cuckoo_ml_plugin.model.groups.clustering import NOISE, Clustering
from cuckoo_ml_plugin.settings import SEED

SILHOUETTE_SAMPLE = 5_000
"""The most analyses in a silhouette; more are sampled with a seed."""
DBCV_SAMPLE = 3_000
"""The most distinct behaviours in DBCV; more are sampled with a seed."""

Vectors = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def silhouettes(vectors: Vectors, clusters: Labels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Silhouette coefficients (Rousseeuw 1987) by Euclidean distance.

    Args:
        vectors: (n, d).
        clusters: (n,); noise counts as a cluster if it is among them.

    Returns:
        (s,) the numbers of the points (all, or a seeded sample), and (s,) their coefficients in [-1, 1]. Both are
        empty for fewer than two clusters.
    """
    from sklearn.metrics import silhouette_samples

    chosen = sample(len(clusters), SILHOUETTE_SAMPLE)
    groups = len(np.unique(clusters[chosen]))
    if not 2 <= groups < len(chosen):
        return chosen[:0], np.zeros(0)
    return chosen, np.asarray(silhouette_samples(vectors[chosen], clusters[chosen]), np.float64)


def silhouette(vectors: Vectors, clusters: Labels) -> float | None:
    """The mean silhouette coefficient; None for fewer than two clusters."""
    values = silhouettes(vectors, clusters)[1]
    return float(values.mean()) if len(values) else None


def dbcv(vectors: Vectors, clusters: Labels) -> float | None:
    """Density-based clustering validity (Moulavi et al. 2014), as hdbscan computes it, in [-1, 1].

    Args:
        vectors: (n, d) of distinct behaviours; the density of repeats would have no bound.
        clusters: (n,); noise lowers the result, by DBCV's definition.

    Returns:
        None unless two clusters hold at least two distinct behaviours each, and where hdbscan is not installed. Smaller
        clusters, for which it is undefined, are left out.
    """
    if not has_reference():
        return None
    from hdbscan.validity import validity_index

    chosen = sample(len(clusters), DBCV_SAMPLE)
    points, labels = vectors[chosen].astype(np.float64), np.asarray(clusters[chosen], np.int64)
    names, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    kept = (sizes[numbers] > 1) | (labels == NOISE)
    if np.count_nonzero((sizes > 1) & (names != NOISE)) < 2:
        return None
    names, labels = np.unique(labels[kept], return_inverse=True)
    labels = labels - int(names[0] == NOISE)  # hdbscan expects cluster numbers without gaps
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the density of nearly identical points overflows
        validity = float(validity_index(points[kept], labels, d=points.shape[1]))
    return validity if np.isfinite(validity) else None


def persistences(clustering: Clustering) -> list[float | None]:
    """How long each cluster persists in the condensed tree, in [0, 1], as hdbscan's ``cluster_persistence_``.

    It is the stability of the cluster (Campello et al. 2015), divided by the stability that it would have if all its
    members stayed up to the greatest density. None for clusters without a tree (DBSCAN).
    """
    nodes = len(clustering.node_parents)
    if not nodes:
        return [None] * clustering.clusters
    in_tree = clustering.parents >= 0
    parents, weights = clustering.parents[in_tree], clustering.multiplicities[in_tree].astype(np.float64)
    sizes = np.bincount(parents, weights, minlength=nodes)
    departed = np.bincount(parents, weights * clustering.lambdas[in_tree], minlength=nodes)
    for node in range(nodes - 1, 0, -1):  # children have higher numbers than their parents
        above = clustering.node_parents[node]
        sizes[above] += sizes[node]
        departed[above] += sizes[node] * clustering.node_lambdas[node]
    stabilities = departed - sizes * clustering.node_lambdas
    greatest = float(max(clustering.lambdas.max(initial=0.0), clustering.node_lambdas.max(initial=0.0)))
    persistence: list[float | None] = []
    for cluster in range(clustering.clusters):
        top = int(np.flatnonzero(clustering.node_clusters == cluster).min(initial=nodes))
        whole = sizes[top] * greatest if top < nodes else 0.0
        persistence.append(float(stabilities[top] / whole) if 0 < whole < np.inf else None)
    return persistence


def sample(total: int, most: int) -> NDArray[np.int64]:
    """All numbers below ``total``, or ``most`` of them sampled with a seed, ascending."""
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng(SEED).choice(total, most, replace=False))
