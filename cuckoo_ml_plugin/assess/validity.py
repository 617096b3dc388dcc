"""Measures that need no label: how far apart and how dense clusters are, and how long each persists in the tree."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.clustering import NOISE, Clustering
from cuckoo_ml_plugin.settings import SEED

SILHOUETTE_SAMPLE = 5_000
"""Analyses that a silhouette is computed of at most; of more, a seeded sample."""
DBCV_SAMPLE = 3_000
"""Distinct behaviours that DBCV is computed of at most; of more, a seeded sample."""

Vectors = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def silhouettes(vectors: Vectors, clusters: Labels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Silhouette coefficients (Rousseeuw 1987) by Euclidean distance.

    Args:
        vectors: (n, d).
        clusters: (n,); noise counts as a cluster if it is among them.

    Returns:
        (s,) which points they are of (all, or a seeded sample), and (s,) the coefficients in [-1, 1]; empty where
        there are fewer than two clusters.
    """
    from sklearn.metrics import silhouette_samples

    chosen = sample(len(clusters), SILHOUETTE_SAMPLE)
    groups = len(np.unique(clusters[chosen]))
    if not 2 <= groups < len(chosen):
        return chosen[:0], np.zeros(0)
    return chosen, np.asarray(silhouette_samples(vectors[chosen], clusters[chosen]), np.float64)


def silhouette(vectors: Vectors, clusters: Labels) -> float | None:
    """The mean silhouette coefficient, None where there are fewer than two clusters."""
    values = silhouettes(vectors, clusters)[1]
    return float(values.mean()) if len(values) else None


def dbcv(vectors: Vectors, clusters: Labels) -> float | None:
    """Density-based clustering validity (Moulavi et al. 2014) as hdbscan computes it, in [-1, 1].

    Args:
        vectors: (n, d) of distinct behaviours; a repeat would have a density without bound.
        clusters: (n,); noise counts against the whole, by DBCV's definition.

    Returns:
        None where fewer than two clusters hold two distinct behaviours or more: it is not defined of others, which are
        left out.
    """
    from hdbscan.validity import validity_index

    chosen = sample(len(clusters), DBCV_SAMPLE)
    points, labels = vectors[chosen].astype(np.float64), np.asarray(clusters[chosen], np.int64)
    names, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    kept = (sizes[numbers] > 1) | (labels == NOISE)
    if np.count_nonzero((sizes > 1) & (names != NOISE)) < 2:
        return None
    names, labels = np.unique(labels[kept], return_inverse=True)
    labels = labels - int(names[0] == NOISE)  # hdbscan takes clusters without a gap between their numbers
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # points at nearly the same place have a density that overflows
        found = float(validity_index(points[kept], labels, d=points.shape[1]))
    return found if np.isfinite(found) else None


def persistences(clustering: Clustering) -> list[float | None]:
    """How long each cluster persists in the condensed tree, in [0, 1], as hdbscan's ``cluster_persistence_``.

    It is the cluster's stability (Campello et al. 2015), divided by that of a cluster whose members all stay from no
    density to the greatest. None for clusters without a tree (DBSCAN).
    """
    nodes = len(clustering.node_parents)
    if not nodes:
        return [None] * clustering.clusters
    known = clustering.parents >= 0
    parents, weights = clustering.parents[known], clustering.multiplicities[known].astype(np.float64)
    sizes = np.bincount(parents, weights, minlength=nodes)
    departed = np.bincount(parents, weights * clustering.lambdas[known], minlength=nodes)
    for node in range(nodes - 1, 0, -1):  # children have higher numbers than their parents
        above = clustering.node_parents[node]
        sizes[above] += sizes[node]
        departed[above] += sizes[node] * clustering.node_lambdas[node]
    stabilities = departed - sizes * clustering.node_lambdas
    greatest = float(max(clustering.lambdas.max(initial=0.0), clustering.node_lambdas.max(initial=0.0)))
    found: list[float | None] = []
    for cluster in range(clustering.clusters):
        top = int(np.flatnonzero(clustering.node_clusters == cluster).min(initial=nodes))
        whole = sizes[top] * greatest if top < nodes else 0.0
        found.append(float(stabilities[top] / whole) if 0 < whole < np.inf else None)
    return found


def sample(total: int, most: int) -> NDArray[np.int64]:
    """All numbers below ``total``, or a seeded sample of ``most`` of them, ascending."""
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng(SEED).choice(total, most, replace=False))
