"""The clusters of a model, and the placement of a new vector among them. NumPy only.

``fit/groups/clustering.py`` finds the clusters.

A new vector is placed as ``hdbscan.approximate_predict`` and ``approximate_predict_scores`` place it (McInnes et al.,
hdbscan, JOSS 2017): its nearest neighbour by mutual reachability determines the cluster of the condensed tree from
which it departs, and the density at which it does. Two differences are intended, and
``benchmarks/quality/agreement.py`` counts them. Where the selection epsilon joined branches to one cluster, hdbscan
(0.8) calls newcomers of all branches but one noise, although its own fit does not; here they are members. GLOSH scores
below 0, of newcomers in a region denser than any fitted one, become 0.

Distances are the Euclidean distances of unit vectors that have the *similarity* of two behaviours as their product: the
mean of the cosine of their vectors and of their likeness (``behaviour/likeness.py``). The cosine knows which behaviour
occurs together; the likeness forgets nothing, however rare. The vectors give the candidates, the mixture their order.

A certainty threshold comes on top: an analysis is assigned only when its *certainty* reaches it. Let the cluster have n
analyses other than this one, let h of the k = min(n, 16) most similar analyses be of the cluster, and let s be the
similarity to the most similar one of the cluster. Then the certainty is s * h / (k + 1/2): how near the nearest is, and
how many of those that could agree do. The half is for what was not seen, so that one witness counts less than sixteen.
This rule holds for fitted and for new analyses, for HDBSCAN's members and for its noise, which goes to the cluster of
its nearest clustered neighbour. The certainty is also the membership probability that is reported. HDBSCAN's own
probability compares a member with the densest region of its cluster, and means little where a cluster holds repeats of
one behaviour, as half of a real corpus does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Prefix, Shape
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex

CANDIDATES = 64
"""How many distinct behaviours are considered for an assignment, nearest first."""
WITNESSES = 16
"""How many of the most similar analyses tell how certain an assignment is."""
NOISE = -1
SAME = 0.1
"""Distance below which behaviours count as being in one place (cosine 0.995); no density exceeds 1 / ``SAME``."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an analysis belongs.

    Attributes:
        cluster: 0 to clusters - 1, or -1 for none.
        probability: how sure the membership is, in [0, 1]; 0 without a cluster.
        outlier_score: GLOSH, in [0, 1].
        certainty: of the assignment to the nearest cluster, in [0, 1], whether or not it reaches the threshold.
        density_cluster, density_probability: HDBSCAN's own cluster and probability, without the threshold.
        neighbours, distances: (k,) the nearest fitted points and their distances, nearest first.
    """

    cluster: int
    probability: float
    outlier_score: float
    certainty: float
    density_cluster: int
    density_probability: float
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clustering(ModelPart):
    """The clustering of n points (distinct behaviours): c clusters and the t nodes of the condensed tree.

    Attributes:
        index: the points' vectors.
        multiplicities: (n,) analyses that each point stands for.
        labels, probabilities, outlier_scores, certainties: (n,) the placement of each fitted point.
        density_labels: (n,) HDBSCAN's (or DBSCAN's) cluster of each point, without the threshold; -1 is noise.
        centroids: (c, d) unit vectors.
        density_sizes: (c,) analyses in each cluster, without the threshold.
        likeness_weight: (1,) the weight of the likeness in a similarity, beside that of the vectors; empty in a model
            from before 0.3.0, which knows the vectors alone.
        core_distances: (n,) as ``approximate_predict`` uses them.
        parents, lambdas: (n,) the node that each point departs from, and the density (1 / distance) at which it does.
        node_parents, node_lambdas: (t,) the node above each node (-1 above the root), and where it splits off.
        node_clusters: (t,) the cluster that each node lies in, -1 for none.
        node_max_lambdas: (t,) greatest density of the node's cluster.
        node_depths: (t,) greatest density in the node or below it.
        min_samples: the setting of the fit.
        certainty: the threshold.
        same: distance below which behaviours count as being in one place.
    """

    index: Annotated[NeighbourIndex, Prefix("index_")]
    multiplicities: Annotated[NDArray[np.int64], Shape("n")]
    labels: Annotated[NDArray[np.int64], Shape("n")]
    probabilities: Annotated[NDArray[np.float64], Shape("n")]
    outlier_scores: Annotated[NDArray[np.float64], Shape("n")]
    certainties: Annotated[NDArray[np.float64], Shape("n")]
    density_labels: Annotated[NDArray[np.int64], Shape("n")]
    centroids: Annotated[NDArray[np.float32], Shape("c", "d")]
    density_sizes: Annotated[NDArray[np.int64], Shape("z", since="0.3.0")]
    likeness_weight: Annotated[NDArray[np.float64], Shape("w", since="0.3.0")]
    core_distances: Annotated[NDArray[np.float64], Shape("n")]
    parents: Annotated[NDArray[np.int64], Shape("n")]
    lambdas: Annotated[NDArray[np.float64], Shape("n")]
    node_parents: Annotated[NDArray[np.int64], Shape("t")]
    node_lambdas: Annotated[NDArray[np.float64], Shape("t")]
    node_clusters: Annotated[NDArray[np.int64], Shape("t")]
    node_max_lambdas: Annotated[NDArray[np.float64], Shape("t")]
    node_depths: Annotated[NDArray[np.float64], Shape("t")]
    min_samples: int
    certainty: float
    same: float = SAME

    @property
    def clusters(self) -> int:
        return len(self.centroids)

    @property
    def mixes_likeness(self) -> bool:
        """Whether distances are those of the mixture; else, of the vectors alone."""
        return bool(self.likeness_weight.sum() > 0)

    def nearest(self, vector: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Numbers and distances (k,) of the candidates for a unit vector (d,): the nearest by the vectors alone.

        There are none for a zero vector, of which nothing is known.
        """
        if not vector.any():
            return np.zeros(0, np.int64), np.zeros(0)
        return self.index.nearest(vector, max(CANDIDATES, 2 * self.min_samples))

    def place(
        self,
        vector: NDArray[np.float32],
        nearest: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
        likenesses: NDArray[np.float64] | None = None,
    ) -> Placement:
        """Place a unit vector (d,); a zero vector, of which nothing is known, belongs to no cluster.

        A fitted vector (distance 0) is placed where the fit placed it.

        Args:
            nearest: what :meth:`nearest` gave for it.
            likenesses: (k,) of the analysis with each of these; needed by a clustering that mixes the likeness in.
        """
        neighbours, distances = nearest or self.nearest(vector)
        if not len(neighbours):
            return Placement(NOISE, 0.0, 1.0, 0.0, NOISE, 0.0, neighbours, distances)
        if self.mixes_likeness and likenesses is not None:
            distances = mixed_distances(distances, likenesses)
            order = np.lexsort((neighbours, distances))
            neighbours, distances = neighbours[order], distances[order]
        if distances[0] == 0:
            return self._fitted_placement(int(neighbours[0]), neighbours, distances)
        density_cluster, density_probability, outlier_score = self.density(neighbours, distances)
        labels = self.density_labels[neighbours]
        if self.mixes_likeness:
            density_cluster = NOISE  # the nearest decides: a refit may have kept parts of a branch apart
        sizes = self._sizes()
        clusters, certainties = assign(
            np.array([density_cluster]), labels[None], distances[None], self.multiplicities[neighbours][None], sizes
        )
        cluster, certainty = int(clusters[0]), float(certainties[0])
        if not len(self.node_parents):  # DBSCAN, or no cluster: there are no densities to compare
            outlier_score = 1.0 - certainty
        if certainty < self.certainty or cluster == NOISE:
            cluster = NOISE
        probability = certainty if cluster != NOISE else 0.0
        return Placement(
            cluster, probability, outlier_score, certainty, density_cluster, density_probability, neighbours, distances
        )

    def _sizes(self) -> NDArray[np.int64]:
        if len(self.density_sizes) == self.clusters:
            return self.density_sizes
        return sizes_of(self.density_labels, self.multiplicities, self.clusters)

    def _fitted_placement(self, point: int, neighbours: NDArray[np.int64], distances: NDArray[np.float64]) -> Placement:
        return Placement(
            cluster=int(self.labels[point]),
            probability=float(self.probabilities[point]),
            outlier_score=float(self.outlier_scores[point]),
            certainty=float(self.certainties[point]),
            density_cluster=int(self.density_labels[point]),
            density_probability=float(self.probabilities[point]),
            neighbours=neighbours,
            distances=distances,
        )

    def density(self, neighbours: NDArray[np.int64], distances: NDArray[np.float64]) -> tuple[int, float, float]:
        """HDBSCAN's cluster, membership probability and GLOSH score; a neighbour counts as often as it occurs."""
        if not len(self.node_parents) or not len(neighbours):
            return NOISE, 0.0, 1.0
        k = 2 * self.min_samples
        repeated = np.repeat(np.arange(len(neighbours)), np.minimum(self.multiplicities[neighbours], k))[:k]
        own_core = distances[repeated[min(self.min_samples, len(repeated) - 1)]]
        reach = np.maximum(np.maximum(self.core_distances[neighbours[repeated]], own_core), distances[repeated])
        reach = np.maximum(reach, self.same)
        nearest = int(reach.argmin())
        point = neighbours[repeated[nearest]]
        density = 1.0 / reach[nearest] if reach[nearest] > 0 else np.finfo(np.float64).max
        node = int(self.parents[point])
        if node < 0:
            return NOISE, 0.0, 1.0
        # a fitted point departs where it did in the fit, whatever rounding makes of its distance
        outlier_density = float(self.lambdas[point]) if distances[0] == 0 else density
        deepest = float(self.node_depths[node])
        sparser = (deepest - float(outlier_density)) / deepest if 0 < deepest < np.inf else 0.0
        outlier_score = min(max(sparser, 0.0), 1.0)
        if self.lambdas[point] > density:
            while self.node_parents[node] >= 0 and self.node_lambdas[node] >= density:
                node = int(self.node_parents[node])
        cluster = int(self.node_clusters[node])
        if cluster == NOISE:
            return NOISE, 0.0, outlier_score
        densest = float(self.node_max_lambdas[node])
        probability = min(density, densest) / densest if 0 < densest < np.inf else 1.0
        return cluster, float(probability), outlier_score


def mixed_distances(distances: NDArray[np.floating[Any]], likenesses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distances of the mixture (any shape), from those of the vectors and the likenesses."""
    cosines = np.maximum(1.0 - np.square(distances.astype(np.float64)) / 2, 0.0)
    return np.asarray(np.sqrt(np.maximum(2.0 - likenesses - cosines, 0.0)))


def sizes_of(labels: NDArray[np.int64], multiplicities: NDArray[np.int64], clusters: int) -> NDArray[np.int64]:
    """The analyses (c,) in each cluster, from the labels (n,) and multiplicities (n,) of the points."""
    members = labels >= 0
    return np.bincount(labels[members], multiplicities[members], minlength=clusters).astype(np.int64)


def assign(
    density_clusters: NDArray[np.int64],
    neighbour_labels: NDArray[np.int64],
    distances: NDArray[np.floating[Any]],
    multiplicities: NDArray[np.integer[Any]],
    sizes: NDArray[np.int64],
    own: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The candidate cluster of each of m points and the certainty of belonging to it, both (m,).

    Args:
        density_clusters: (m,) HDBSCAN's cluster; for its noise (-1), the candidate is the nearest clustered
            neighbour's.
        neighbour_labels, distances, multiplicities: (m, k) of the neighbours, nearest first.
        sizes: (c,) the analyses in each cluster.
        own: (m,) the other analyses of the same behaviour, which are the nearest of all; by default none.
            Fitted points are counted in the size of their cluster, so these need ``own``.
    """
    rows = np.arange(len(density_clusters))
    clusters = density_clusters.copy()
    if not neighbour_labels.shape[1] or not len(sizes):
        neighbour_labels, distances, multiplicities = (
            np.full((len(rows), 1), NOISE), np.full((len(rows), 1), 2.0), np.zeros((len(rows), 1), np.int64)
        )  # fmt: skip
    clustered = neighbour_labels >= 0
    nearest = neighbour_labels[rows, clustered.argmax(axis=1)]
    clusters = np.where(clusters == NOISE, np.where(clustered.any(axis=1), nearest, NOISE), clusters)
    placed = clusters != NOISE
    is_same = (neighbour_labels == clusters[:, None]) & placed[:, None]
    others = np.where(placed, sizes[clusters], 0) if len(sizes) else np.zeros(len(rows), np.int64)
    same_nearest = np.where(is_same.any(axis=1), distances[rows, is_same.argmax(axis=1)], np.inf)
    counted = np.asarray(multiplicities, np.int64)
    if own is not None:
        is_member = placed & (density_clusters != NOISE)
        others = others - is_member  # the point itself is in its cluster
        counted = np.concatenate([own[:, None], counted], axis=1)
        is_same = np.concatenate([is_member[:, None], is_same], axis=1)
        same_nearest = np.where(is_member & (own > 0), 0.0, same_nearest)
    most = np.minimum(others, WITNESSES)
    before = np.cumsum(counted, axis=1) - counted
    weights = np.clip(most[:, None] - before, 0, counted)
    witnesses, agreeing = weights.sum(axis=1), (weights * is_same).sum(axis=1)
    similarity = np.maximum(1.0 - np.square(np.minimum(same_nearest, 2.0)) / 2, 0.0)
    return clusters, np.where(placed, similarity * agreeing / (witnesses + 0.5), 0.0)
