"""Compares clusterings of one corpus by algorithm, settings and feature set. Nothing is published."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.assess.assessment import judge_with_labels
from cuckoo_ml_plugin.assess.feature_sets import Points, feature_points
from cuckoo_ml_plugin.assess.resampling import random_parts, stability
from cuckoo_ml_plugin.assess.validity import dbcv, persistences, sample, silhouette
from cuckoo_ml_plugin.fit.corpus import Corpus, Progress
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.model.groups.clustering import NOISE, Clustering
from cuckoo_ml_plugin.plumbing.interrupts import workers_ignore_interrupts
from cuckoo_ml_plugin.settings import ClusteringSettings, Settings

MEASURES = (
    "ari", "ami", "v_measure", "bcubed_f", "f", "ari_with_noise", "ami_with_noise", "bcubed_f_with_noise",
    "silhouette", "silhouette_with_noise", "dbcv", "dbcv_with_noise", "persistence", "stability",
)  # fmt: skip
MOST = 5_000
"""The most analyses that a sweep clusters, four times in each trial; a larger corpus is sampled with a seed."""
FITS = 3
"""Fits on random parts for the stability of each trial; they make two pairs."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """The trials of a sweep: every combination of an algorithm's settings, in every feature set."""

    features: tuple[str, ...] = ("behaviour", "simple", "nominal", "numerical", "all")
    algorithms: tuple[str, ...] = ("hdbscan", "dbscan")
    min_samples: tuple[int, ...] = (1, 3, 5)
    min_cluster_size: tuple[int, ...] = (2, 4, 10)
    selection_epsilon: tuple[float, ...] = (0.0, 0.7)
    eps: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)

    def settings(self, base: ClusteringSettings) -> list[ClusteringSettings]:
        """The settings of each clustering, the base first; each algorithm varies only its own settings."""
        combinations = [base]
        if "hdbscan" in self.algorithms:
            names = ("min_samples", "min_cluster_size", "selection_epsilon")
            values = product(*(getattr(self, name) for name in names))
            changes = (dict(zip(names, combination, strict=True)) for combination in values)
            combinations += [replace(base, algorithm="hdbscan", **change) for change in changes]
        if "dbscan" in self.algorithms:
            pairs = product(self.eps, self.min_cluster_size)
            combinations += [replace(base, algorithm="dbscan", eps=eps, min_cluster_size=size) for eps, size in pairs]
        return list(dict.fromkeys(combinations))


@dataclass(frozen=True, slots=True)
class Trial:
    """One clustering and its measures; ``current`` marks the one that a refit would make."""

    features: str
    settings: ClusteringSettings
    current: bool
    clusters: int
    clustered: float
    measures: dict[str, float | None]

    @property
    def name(self) -> str:
        """A short name, unique in its sweep."""
        values = self.settings
        if values.algorithm == "dbscan":
            return f"{self.features}, DBSCAN eps {values.eps:g}, size {values.min_cluster_size}"
        return (
            f"{self.features}, HDBSCAN size {values.min_cluster_size}, samples {values.min_samples}, "
            f"epsilon {values.selection_epsilon:g}"
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials, and the best by each measure among those that cluster at least ``least_clustered`` of the analyses.

    ``without`` names the feature sets whose features the corpus lacks.
    """

    analyses: int
    labelled: int
    least_clustered: float
    trials: list[Trial]
    without: list[str]
    best: dict[str, Trial]


@dataclass(frozen=True, slots=True)
class _EmbeddedSet:
    """A feature set as vectors: of the whole corpus, and of each random part, embedded on its own."""

    name: str
    whole: Points
    parts: list[Points]


def sweep(
    corpus: Corpus,
    settings: Settings,
    grid: Grid | None = None,
    *,
    least_clustered: float = 0.5,
    jobs: int = -1,
    progress: Progress | None = None,
) -> Sweep:
    """Cluster the corpus, or a seeded sample of 5,000 analyses, in every way of the grid, and measure each result.

    Args:
        jobs: processes, as joblib counts them; -1 means one for each core. An active joblib backend is used.
        progress: called with the trials done, and how many there are.
    """
    from joblib import Parallel, delayed

    grid = grid or Grid()
    corpus = corpus.take(sample(len(corpus.analyses), MOST))
    parts = random_parts(len(corpus.analyses), FITS)
    sets = [_embedded_set(corpus, parts, name, settings) for name in grid.features]
    without = [name for name, embedded in zip(grid.features, sets, strict=True) if embedded is None]
    planned = [
        (embedded, clustering) for embedded in sets if embedded for clustering in grid.settings(settings.clustering)
    ]
    trials: list[Trial] = []
    work = (delayed(_trial)(*trial, settings, corpus.labels, parts) for trial in planned)
    with workers_ignore_interrupts():
        finished = Parallel(n_jobs=jobs, return_as="generator")(work)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")  # joblib replaces workers whose memory has grown
        for trial in finished:
            trials.append(trial)
            if progress:
                progress(len(trials), len(planned))
    return Sweep(
        analyses=len(corpus.analyses),
        labelled=sum(label is not None for label in corpus.labels),
        least_clustered=least_clustered,
        trials=trials,
        without=without,
        best=best_of(trials, least_clustered),
    )


def best_of(trials: Sequence[Trial], least_clustered: float) -> dict[str, Trial]:
    """The best trial by each measure. Trials that cluster too little are left out: they reach high values easily."""
    enough = [trial for trial in trials if trial.clustered >= least_clustered and trial.clusters > 1]
    best: dict[str, Trial] = {}
    for name in MEASURES:
        defined = [(value, trial) for trial in enough if (value := trial.measures[name]) is not None]
        if defined:
            best[name] = max(defined, key=lambda pair: pair[0])[1]
    return best


def _embedded_set(corpus: Corpus, parts: list[Labels], name: str, settings: Settings) -> _EmbeddedSet | None:
    whole = feature_points(corpus, name, settings)
    points_of_parts = [feature_points(corpus.take(part), name, settings) for part in parts]
    if whole is None or any(points is None for points in points_of_parts):
        return None
    return _EmbeddedSet(name, whole, [points for points in points_of_parts if points is not None])


def _trial(
    embedded: _EmbeddedSet,
    clustering: ClusteringSettings,
    settings: Settings,
    labels: list[str | None],
    parts: list[Labels],
) -> Trial:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        fitted = _fit(embedded.whole, clustering)
        clusters_of_parts = [_clusters(points, clustering) for points in embedded.parts]
    clusters = fitted.labels[embedded.whole.point_of]
    persistence = [value for value in persistences(fitted) if value is not None]
    return Trial(
        features=embedded.name,
        settings=clustering,
        current=embedded.name == "behaviour" and clustering == settings.clustering,
        clusters=fitted.clusters,
        clustered=float((clusters != NOISE).mean()) if len(clusters) else 0.0,
        measures={
            **_measures_with_labels(labels, clusters),
            **_measures_without_labels(embedded.whole, fitted.labels),
            "persistence": float(np.mean(persistence)) if persistence else None,
            "stability": stability(parts, clusters_of_parts, clusters).ari,
        },
    )


def _clusters(points: Points, clustering: ClusteringSettings) -> Labels:
    return _fit(points, clustering).labels[points.point_of]


def _fit(points: Points, clustering: ClusteringSettings) -> Clustering:
    return fit_clustering(points.vectors, points.weights, clustering, tokens=points.tokens)


def _measures_with_labels(labels: list[str | None], clusters: Labels) -> dict[str, float | None]:
    agreements = judge_with_labels(labels, clusters)
    measures: dict[str, float | None] = {}
    for name in MEASURES[: MEASURES.index("silhouette")]:
        with_noise = name.endswith("_with_noise")
        agreement: Any = (agreements.with_noise if with_noise else agreements.clustered) if agreements else None
        measures[name] = getattr(agreement, name.removesuffix("_with_noise")) if agreement else None
    return measures


def _measures_without_labels(points: Points, labels: Labels) -> dict[str, float | None]:
    inside = labels != NOISE
    vectors, clusters = points.vectors[points.point_of], labels[points.point_of]
    clustered = clusters != NOISE
    return {
        "silhouette": silhouette(vectors[clustered], clusters[clustered]),
        "silhouette_with_noise": silhouette(vectors, clusters),
        "dbcv": dbcv(points.vectors[inside], labels[inside]),
        "dbcv_with_noise": dbcv(points.vectors, labels),
    }
