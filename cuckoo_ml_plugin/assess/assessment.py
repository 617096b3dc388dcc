"""The assessment of the model in force: as a whole, by cluster and by label.

assessment = assess_model(engine.require_model(), read_corpus(engine.store), engine.settings)
assessment.with_labels.clustered.ami
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.assess.measures import Agreement, clustered_agreement
from cuckoo_ml_plugin.assess.resampling import Stability, resampled
from cuckoo_ml_plugin.assess.validity import dbcv, persistences, silhouette, silhouettes
from cuckoo_ml_plugin.errors import NotEnoughError
from cuckoo_ml_plugin.fit.corpus import Corpus, Progress
from cuckoo_ml_plugin.fit.fitted_rows import fitted_rows
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import ClusteringSettings, FeatureSettings, Settings, VectorSettings

RESAMPLES = 4
"""Fits on random parts by default; they make three pairs."""

Labels = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WithLabels:
    """Agreement with the labels: of the labelled analyses in a cluster, and of all of them with noise as a cluster."""

    analyses: int
    labels: int
    clustered: Agreement | None
    with_noise: Agreement | None


@dataclass(frozen=True, slots=True)
class WithoutLabels:
    """The measures without labels: silhouette and DBCV in [-1, 1], each without and with noise, and persistence.

    ``persistence`` is the mean over clusters, in [0, 1]. A measure that is undefined is None.
    """

    silhouette: float | None
    silhouette_with_noise: float | None
    dbcv: float | None
    dbcv_with_noise: float | None
    persistence: float | None


@dataclass(frozen=True, slots=True)
class ClusterJudgement:
    """One cluster: its labels, commonest first, and the measures that are defined for single clusters.

    ``purity`` is the share of its labelled analyses with its commonest label, ``found_again`` the mean Jaccard
    similarity to the most similar cluster of each fit on a random part.
    """

    cluster: str
    name: str
    size: int
    labelled: int
    labels: dict[str, int]
    purity: float | None
    silhouette: float | None
    persistence: float | None
    found_again: float | None


@dataclass(frozen=True, slots=True)
class LabelJudgement:
    """One label: its analyses, their share in a cluster, the number of these clusters, and the commonest one."""

    label: str
    analyses: int
    clustered: float
    clusters: int
    cluster: str | None
    in_cluster: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """The assessment of a clustering; ``newer`` counts stored analyses that are not in the fit and not assessed.

    >>> from cuckoo_ml_plugin import Desk
    >>> assessment = Desk("cuckoo-ml-demo").assess(resamples=0)
    >>> assessment.clusters, round(assessment.clustered, 3), assessment.stability
    (34, 0.963, None)
    """

    model: str
    analyses: int
    newer: int
    clusters: int
    clustered: float
    with_labels: WithLabels | None
    without_labels: WithoutLabels
    stability: Stability | None
    per_cluster: list[ClusterJudgement]
    per_label: list[LabelJudgement]


def assess_model(
    model: Model,
    corpus: Corpus,
    settings: Settings,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Assessment:
    """Assess a model on the stored analyses that it was fitted on, with their current labels.

    Args:
        resamples: fits on random parts of 80 %; with fewer than two, stability is left out.
        progress: called with the fits done, and how many there are.

    Raises:
        NotEnoughError: none of the fitted analyses is stored any more.
    """
    rows, points = fitted_rows(model, corpus)
    if not len(rows):
        raise NotEnoughError(f"Model {model.id}: none of its analyses is in the store; fit a new model.")
    newer = len(corpus.analyses) - len(rows)
    corpus = corpus.take(rows)
    clusters = model.clustering.labels[points].astype(np.int64)
    vectors = model.clustering.index.in_order()[points]
    stability = None
    if resamples >= 2:
        stability = resampled(corpus, fitted_settings(model, settings), clusters, resamples, progress)
    persistence = persistences(model.clustering)
    return Assessment(
        model=model.id,
        analyses=len(clusters),
        newer=newer,
        clusters=len(model.clusters),
        clustered=float((clusters != NOISE).mean()),
        with_labels=judge_with_labels(corpus.labels, clusters),
        without_labels=judge_without_labels(vectors, clusters, corpus.point_of, persistence),
        stability=stability,
        per_cluster=_per_cluster(model, corpus, vectors, clusters, persistence, stability),
        per_label=_per_label(model, corpus.labels, clusters),
    )


def fitted_settings(model: Model, settings: Settings) -> Settings:
    """The settings in force, with those of the fit taken from the model."""
    facts = model.facts["settings"]
    return replace(
        settings,
        features=FeatureSettings(tuple(facts["features"]["leave_out"])),
        vectors=VectorSettings(**facts["vectors"]),
        clustering=ClusteringSettings(**facts["clustering"]),
    )


def judge_with_labels(labels: list[str | None], clusters: Labels) -> WithLabels | None:
    """Agreement of labels and clusters (N,); None without any label."""
    present = [label for label in labels if label is not None]
    if not present:
        return None
    return WithLabels(len(present), len(set(present)), *clustered_agreement(labels, clusters))


def judge_without_labels(
    vectors: Vectors, clusters: Labels, point_of: Labels, persistence: list[float | None]
) -> WithoutLabels:
    """Compute the measures that need the vectors alone.

    Args:
        vectors: (N, d), one for each analysis.
        clusters: (N,).
        point_of: (N,) the distinct behaviour of each analysis.
        persistence: of each cluster.
    """
    inside = clusters != NOISE
    distinct = np.unique(point_of, return_index=True)[1]  # the first analysis of each distinct behaviour
    distinct_inside = distinct[inside[distinct]]
    defined = [value for value in persistence if value is not None]
    return WithoutLabels(
        silhouette=silhouette(vectors[inside], clusters[inside]),
        silhouette_with_noise=silhouette(vectors, clusters),
        dbcv=dbcv(vectors[distinct_inside], clusters[distinct_inside]),
        dbcv_with_noise=dbcv(vectors[distinct], clusters[distinct]),
        persistence=float(np.mean(defined)) if defined else None,
    )


def _per_cluster(
    model: Model, corpus: Corpus, vectors: Vectors, clusters: Labels, persistence: list[float | None],
    stability: Stability | None,
) -> list[ClusterJudgement]:  # fmt: skip
    inside = np.flatnonzero(clusters != NOISE)
    chosen, values = silhouettes(vectors[inside], clusters[inside])
    of_values = clusters[inside][chosen]
    found_again = stability.found_again if stability else []
    judgements = []
    for number, facts in enumerate(model.clusters):
        members = np.flatnonzero(clusters == number)
        labels = Counter(label for i in members if (label := corpus.labels[i]) is not None)
        labelled = sum(labels.values())
        own = values[of_values == number]
        judgements.append(
            ClusterJudgement(
                cluster=facts.id,
                name=facts.name,
                size=len(members),
                labelled=labelled,
                labels=dict(sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))),
                purity=max(labels.values()) / labelled if labelled else None,
                silhouette=float(own.mean()) if len(own) else None,
                persistence=persistence[number],
                found_again=found_again[number] if number < len(found_again) else None,
            )
        )
    return judgements


def _per_label(model: Model, labels: list[str | None], clusters: Labels) -> list[LabelJudgement]:
    clusters_of_label: dict[str, Counter[int]] = {}
    for label, cluster in zip(labels, clusters.tolist(), strict=True):
        if label is not None:
            clusters_of_label.setdefault(label, Counter())[cluster] += 1
    judgements = []
    for label, counts in sorted(clusters_of_label.items(), key=lambda pair: (-sum(pair[1].values()), pair[0])):
        total = sum(counts.values())
        inside = sorted(((count, -cluster) for cluster, count in counts.items() if cluster != NOISE), reverse=True)
        judgements.append(
            LabelJudgement(
                label=label,
                analyses=total,
                clustered=1 - counts[NOISE] / total,
                clusters=len(inside),
                cluster=model.clusters[-inside[0][1]].id if inside else None,
                in_cluster=inside[0][0] if inside else 0,
            )
        )
    return judgements
