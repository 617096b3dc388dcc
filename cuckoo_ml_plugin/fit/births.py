"""How alike the members of a cluster are, by which analyses between two refits are told to be of one kind."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.likeness import likenesses
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import SEED

LEAST: Final = 0.1
"""The share of the members of clusters that may be less like their nearest fellow than the level says."""
_MOST_POINTS: Final = 2_000  # a larger corpus is sampled with a seed
_NEAREST: Final = 10  # fellows that are compared exactly: the nearest by their vectors


def birth_likeness(model: Model) -> float | None:
    """The likeness, in [0, 1], that all but ``LEAST`` of the clusters' distinct behaviours have to a fellow.

    None where no cluster has two distinct behaviours.
    """
    labels = np.asarray(model.clustering.labels)
    sizes = np.bincount(labels[labels != NOISE], minlength=len(model.clusters))
    points = np.flatnonzero((labels != NOISE) & (sizes[labels] > 1)) if len(sizes) else np.zeros(0, np.int64)
    if len(points) > _MOST_POINTS:
        points = np.sort(np.random.default_rng(SEED).choice(points, _MOST_POINTS, replace=False))
    if not len(points):
        return None
    vectors = model.clustering.index.in_order()
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(sizes) + 1))
    nearest: NDArray[np.float64] = np.zeros(len(points))
    marks = np.zeros(model.columns, np.int64)
    for place, point in enumerate(points.tolist()):
        cluster = labels[point]
        fellows = order[starts[cluster] : starts[cluster + 1]]
        fellows = fellows[fellows != point]
        closeness = vectors[fellows] @ vectors[point]
        if len(fellows) > _NEAREST:  # sorting all of a large cluster takes longer than all the rest
            least = np.partition(closeness, len(fellows) - _NEAREST)[len(fellows) - _NEAREST]
            fellows, closeness = fellows[closeness >= least], closeness[closeness >= least]
        fellows = fellows[np.argsort(-closeness, kind="stable")[:_NEAREST]]
        columns = model.rows.columns_of(point)
        own = model.rows.sizes_of(np.array([point]))[0]
        marks[columns] = 1
        nearest[place] = likenesses(own, model.rows.sizes_of(fellows), model.rows.sums(marks, fellows)).max()
        marks[columns] = 0
    return round(float(np.quantile(nearest, LEAST)), 4)
