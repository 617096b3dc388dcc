"""Measures of a clustering against labels. Where noise is counted, it is one cluster of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.groups.clustering import NOISE


@dataclass(frozen=True, slots=True)
class Agreement:
    """How clusters agree with labels. Identical partitions give 1 in all measures, chance gives 0 in ARI and AMI.

    Attributes:
        analyses: how many were compared.
        ari: adjusted Rand index (Hubert & Arabie 1985).
        ami: adjusted mutual information (Vinh et al. 2010), with the arithmetic mean.
        homogeneity, completeness, v_measure: Rosenberg & Hirschberg 2007.
        bcubed_precision, bcubed_recall, bcubed_f: Bagga & Baldwin 1998; Amigó et al. 2009.
        precision, recall, f: those of Malheur (Rieck et al. 2011): the share of analyses with the commonest label of
            their cluster, and the share in the commonest cluster of their label.
    """

    analyses: int
    ari: float
    ami: float
    homogeneity: float
    completeness: float
    v_measure: float
    bcubed_precision: float
    bcubed_recall: float
    bcubed_f: float
    precision: float
    recall: float
    f: float


MEASURES = tuple(name for name in Agreement.__slots__ if name != "analyses")


def agreement(labels: Sequence[Any] | NDArray[Any], clusters: NDArray[np.integer[Any]]) -> Agreement | None:
    """Compare the labels and the clusters (n,) of n analyses; None without any analysis."""
    from sklearn import metrics
    from sklearn.metrics.cluster import contingency_matrix

    if not len(labels):
        return None
    numbers = np.unique(np.asarray(labels), return_inverse=True)[1]
    table = contingency_matrix(numbers, clusters, sparse=True).tocsr().astype(np.float64)  # labels × clusters
    total = table.sum()
    of_label, of_cluster = np.asarray(table.sum(axis=1)).ravel(), np.asarray(table.sum(axis=0)).ravel()
    squares = table.multiply(table)
    bcubed = (
        float((squares @ (1 / of_cluster)).sum() / total),
        float((squares.T @ (1 / of_label)).sum() / total),
    )
    malheur = float(table.max(axis=0).sum() / total), float(table.max(axis=1).sum() / total)
    homogeneity, completeness, v_measure = metrics.homogeneity_completeness_v_measure(numbers, clusters)
    return Agreement(
        analyses=int(total),
        ari=float(metrics.adjusted_rand_score(numbers, clusters)),
        ami=float(metrics.adjusted_mutual_info_score(numbers, clusters)),
        homogeneity=float(homogeneity),
        completeness=float(completeness),
        v_measure=float(v_measure),
        bcubed_precision=bcubed[0],
        bcubed_recall=bcubed[1],
        bcubed_f=harmonic_mean(*bcubed),
        precision=malheur[0],
        recall=malheur[1],
        f=harmonic_mean(*malheur),
    )


def harmonic_mean(first: float, second: float) -> float:
    """The harmonic mean of two numbers of at least 0; 0 if both are 0."""
    return 2 * first * second / (first + second) if first + second > 0 else 0.0


def clustered_agreement(
    labels: Sequence[str | None], clusters: NDArray[np.integer[Any]]
) -> tuple[Agreement | None, Agreement | None]:
    """Agreement over the labelled of n analyses: of those in a cluster, and of all with noise as one cluster."""
    labelled = np.array([label is not None for label in labels], bool)
    inside = labelled & (clusters != NOISE)
    named = np.array([label or "" for label in labels], dtype=object).astype(str)
    return agreement(named[inside], clusters[inside]), agreement(named[labelled], clusters[labelled])
