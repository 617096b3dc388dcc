"""Many clusterings of one corpus, judged side by side: algorithms, settings, feature sets. Nothing is published."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.assess.assessment import judge_with_labels
from cuckoo_ml_plugin.assess.feature_sets import Points, feature_points
from cuckoo_ml_plugin.assess.resampling import random_parts, stability
from cuckoo_ml_plugin.assess.validity import dbcv, persistences, sample, silhouette
from cuckoo_ml_plugin.fit.clustering import fit_clustering
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.model.clustering import NOISE
from cuckoo_ml_plugin.plumbing.interrupts import workers_ignore_interrupts
from cuckoo_ml_plugin.settings import ClusteringSettings, Settings

MEASURES = (
    "ari", "ami", "v_measure", "bcubed_f", "f", "ari_with_noise", "ami_with_noise", "bcubed_f_with_noise",
    "silhouette", "silhouette_with_noise", "dbcv", "dbcv_with_noise", "persistence", "stability",
)  # fmt: skip
MOST = 5_000
"""Analyses that a sweep clusters at most; of more, a seeded sample: every trial clusters it four times."""
FITS = 3
"""Fits on random parts that stability is measured by: two pairs."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """What to try: every combination of an algorithm's settings, in every feature set."""

    features: tuple[str, ...] = ("behaviour", "simple", "nominal", "numerical", "all")
    algorithms: tuple[str, ...] = ("hdbscan", "dbscan")
    min_samples: tuple[int, ...] = (1, 3, 5)
    min_cluster_size: tuple[int, ...] = (4, 5, 10)
    selection_epsilon: tuple[float, ...] = (0.0, 0.5)
    eps: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)

    def settings(self, base: ClusteringSettings) -> list[ClusteringSettings]:
        """The settings of each clustering, the base among them; what an algorithm does not know is not turned."""
        found = [base]
        if "hdbscan" in self.algorithms:
            names = ("min_samples", "min_cluster_size", "selection_epsilon")
            values = product(*(getattr(self, name) for name in names))
            turned = (dict(zip(names, one, strict=True)) for one in values)
            found += [replace(base, algorithm="hdbscan", **one) for one in turned]
        if "dbscan" in self.algorithms:
            pairs = product(self.eps, self.min_cluster_size)
            found += [replace(base, algorithm="dbscan", eps=eps, min_cluster_size=size) for eps, size in pairs]
        return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Trial:
    """One clustering and what is measured of it; ``current`` is the one that a refit would make."""

    features: str
    settings: ClusteringSettings
    current: bool
    clusters: int
    clustered: float
    measures: dict[str, float | None]

    @property
    def name(self) -> str:
        """Short and unique in a sweep."""
        if self.settings.algorithm == "dbscan":
            return f"{self.features}, DBSCAN eps {self.settings.eps:g}, size {self.settings.min_cluster_size}"
        one = self.settings
        turned = f"size {one.min_cluster_size}, samples {one.min_samples}, epsilon {one.selection_epsilon:g}"
        return f"{self.features}, HDBSCAN {turned}"


@dataclass(frozen=True, slots=True)
class Sweep:
    """All trials, and the best by each measure among those that cluster at least ``least_clustered`` of the analyses.

    ``without`` names the feature sets of which the corpus has no feature.
    """

    analyses: int
    labelled: int
    least_clustered: float
    trials: list[Trial]
    without: list[str]
    best: dict[str, Trial]


@dataclass(frozen=True, slots=True)
class _Ground:
    """A feature set made ready: the whole, and the random parts for stability, embedded anew each."""

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
    tell: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Cluster the corpus (a seeded sample of more than 5,000 analyses) in every way of the grid, and judge each.

    Args:
        jobs: processes, as joblib counts them; -1 is one a core. A joblib backend that is active is taken.
        tell: called with (trials done, of how many).
    """
    from joblib import Parallel, delayed

    grid = grid or Grid()
    corpus = corpus.take(sample(len(corpus.analyses), MOST))
    parts = random_parts(len(corpus.analyses), FITS)
    grounds = [_ground(corpus, parts, name, settings) for name in grid.features]
    without = [name for name, ground in zip(grid.features, grounds, strict=True) if ground is None]
    wanted = [(ground, one) for ground in grounds if ground for one in grid.settings(settings.clustering)]
    trials: list[Trial] = []
    work = (delayed(_trial)(ground, one, settings, corpus.labels, parts) for ground, one in wanted)
    with workers_ignore_interrupts():
        done = Parallel(n_jobs=jobs, return_as="generator")(work)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")  # joblib replaces those that have grown
        for trial in done:
            trials.append(trial)
            if tell:
                tell(len(trials), len(wanted))
    return Sweep(
        analyses=len(corpus.analyses),
        labelled=sum(label is not None for label in corpus.labels),
        least_clustered=least_clustered,
        trials=trials,
        without=without,
        best=best_of(trials, least_clustered),
    )


def best_of(trials: Sequence[Trial], least_clustered: float) -> dict[str, Trial]:
    """The best trial by each measure, of those that cluster enough: clustering little is an easy way to high ones."""
    enough = [trial for trial in trials if trial.clustered >= least_clustered and trial.clusters > 1]
    best: dict[str, Trial] = {}
    for name in MEASURES:
        known = [(value, trial) for trial in enough if (value := trial.measures[name]) is not None]
        if known:
            best[name] = max(known, key=lambda pair: pair[0])[1]
    return best


def _ground(corpus: Corpus, parts: list[Labels], name: str, settings: Settings) -> _Ground | None:
    whole = feature_points(corpus, name, settings)
    some = [feature_points(corpus.take(part), name, settings) for part in parts]
    if whole is None or any(one is None for one in some):
        return None
    return _Ground(name, whole, [one for one in some if one is not None])


def _trial(
    ground: _Ground, clustering: ClusteringSettings, settings: Settings, labels: list[str | None], parts: list[Labels]
) -> Trial:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        fitted = fit_clustering(ground.whole.vectors, ground.whole.multiplicities, clustering)
        again = [_clusters(points, clustering) for points in ground.parts]
    clusters = fitted.labels[ground.whole.point_of]
    lasting = [value for value in persistences(fitted) if value is not None]
    return Trial(
        features=ground.name,
        settings=clustering,
        current=ground.name == "behaviour" and clustering == settings.clustering,
        clusters=fitted.clusters,
        clustered=float((clusters != NOISE).mean()) if len(clusters) else 0.0,
        measures={
            **_against(labels, clusters),
            **_without_labels(ground.whole, fitted.labels),
            "persistence": float(np.mean(lasting)) if lasting else None,
            "stability": stability(parts, again, clusters).ari,
        },
    )


def _clusters(points: Points, clustering: ClusteringSettings) -> Labels:
    return fit_clustering(points.vectors, points.multiplicities, clustering).labels[points.point_of]


def _against(labels: list[str | None], clusters: Labels) -> dict[str, float | None]:
    judged = judge_with_labels(labels, clusters)
    found: dict[str, float | None] = {}
    for name in MEASURES[: MEASURES.index("silhouette")]:
        whole = name.endswith("_with_noise")
        agreed: Any = (judged.with_noise if whole else judged.clustered) if judged else None
        found[name] = getattr(agreed, name.removesuffix("_with_noise")) if agreed else None
    return found


def _without_labels(points: Points, labels: Labels) -> dict[str, float | None]:
    inside = labels != NOISE
    vectors, clusters = points.vectors[points.point_of], labels[points.point_of]
    clustered = clusters != NOISE
    return {
        "silhouette": silhouette(vectors[clustered], clusters[clustered]),
        "silhouette_with_noise": silhouette(vectors, clusters),
        "dbcv": dbcv(points.vectors[inside], labels[inside]),
        "dbcv_with_noise": dbcv(points.vectors, labels),
    }
