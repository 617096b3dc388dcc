"""The clusters of a model, and the placement of a new vector among them. NumPy only; ``fit/clustering.py`` finds them.

A new vector is placed as ``hdbscan.approximate_predict`` and ``approximate_predict_scores`` place it (McInnes et al.,
hdbscan, JOSS 2017): its nearest neighbour by mutual reachability determines the cluster of the condensed tree from
which it departs, and the density at which it does. Two differences are intended, and
``benchmarks/quality/agreement.py`` counts them. Where the selection epsilon joined branches to one cluster, hdbscan
(0.8) calls newcomers of all branches but one noise, although its own fit does not; here they are members. GLOSH scores
below 0, of newcomers in a region denser than any fitted one, become 0.

A certainty threshold comes on top: an analysis is assigned only when its *certainty*, the similarity to the nearest
member times the similarity to the cluster's centroid, reaches the threshold. This rule holds for fitted and for new
analyses, for HDBSCAN's members and for its noise, which goes to the cluster of its nearest clustered neighbour. The
certainty is also the membership probability that is reported. HDBSCAN's own probability compares a member with the
densest region of its cluster, and means little where a cluster holds repeats of one behaviour, as half of a real corpus
does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Prefix, Shape
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex

CANDIDATES = 64
"""How many distinct behaviours are considered for an assignment, nearest first."""
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
        neighbours, distances: (k,) the nearest fitted points and their distances.
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

    def place(self, vector: NDArray[np.float32]) -> Placement:
        """Place a unit vector (d,); a zero vector, of which nothing is known, belongs to no cluster.

        A fitted vector (distance 0) is placed where the fit placed it.
        """
        if not vector.any():
            return Placement(NOISE, 0.0, 1.0, 0.0, NOISE, 0.0, np.zeros(0, np.int64), np.zeros(0))
        neighbours, distances = self.index.nearest(vector, max(CANDIDATES, 2 * self.min_samples))
        if len(distances) and distances[0] == 0:
            return self._fitted_placement(int(neighbours[0]), neighbours, distances)
        density_cluster, density_probability, outlier_score = self.density(neighbours, distances)
        cluster, certainty = assign(vector, density_cluster, self.density_labels[neighbours], distances, self.centroids)
        if not len(self.node_parents):  # DBSCAN, or no cluster: there are no densities to compare
            outlier_score = 1.0 - certainty
        if certainty < self.certainty or cluster == NOISE:
            cluster = NOISE
        probability = certainty if cluster != NOISE else 0.0
        return Placement(
            cluster, probability, outlier_score, certainty, density_cluster, density_probability, neighbours, distances
        )

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


def assign(
    vector: NDArray[np.float32],
    density_cluster: int,
    neighbour_labels: NDArray[np.int64],
    distances: NDArray[np.float64],
    centroids: NDArray[np.float32],
) -> tuple[int, float]:
    """The candidate cluster of a vector (d,) and the certainty of belonging to it.

    Args:
        density_cluster: HDBSCAN's cluster; for its noise (-1), the candidate is the nearest clustered neighbour's.
        neighbour_labels, distances: (k,) of its neighbours, nearest first.
        centroids: (c, d).
    """
    is_member = neighbour_labels == density_cluster if density_cluster != NOISE else neighbour_labels >= 0
    members = np.flatnonzero(is_member)
    if not len(members):
        return NOISE, 0.0
    first = members[0]
    cluster = int(neighbour_labels[first])
    return cluster, certainty_of(float(distances[first]), float(centroids[cluster] @ vector))


def certainty_of(nearest_distance: float, centroid_similarity: float) -> float:
    """Cosine similarity to the nearest member, computed from its distance, times that to the centroid; in [0, 1]."""
    nearest = max(1.0 - nearest_distance * nearest_distance / 2, 0.0)
    return min(nearest * max(centroid_similarity, 0.0), 1.0)
