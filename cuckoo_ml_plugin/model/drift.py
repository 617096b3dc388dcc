"""Drift of what is known: whether recent analyses of known clusters are more unusual than these clusters were.

After a fit, all analyses may become stranger at once: the machine gets an update, the sandbox a new version. Then more
than the promised share of known behaviour is anomalous. Analyses that are placed in clusters tell it without labels.
Each is compared with the fitted members of its own cluster, so that a change in how often the families come is no
drift. A cluster counts once, however many analyses it has: neither a family that moves on nor a flood of one kind is a
drift. Where significantly more clusters have become more unusual than less, recent analyses take the place of most of
the reference of the anomaly scores (conformal prediction by weights that follow time: Barber, Candes, Ramdas and
Tibshirani, "Conformal prediction beyond exchangeability", 2023).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.model.model import Model

SIGNIFICANCE: Final = 0.001
"""The chance that a day without drift is taken for one with it (sign test over clusters)."""
RECENT: Final = 300
"""How many recent analyses make the reference in a drift: the newest."""
PLACED: Final = 400
"""How many recent analyses in clusters are compared with these: the newest."""
FITTED: Final = 50
"""As how many analyses the reference of the fit counts in a drift."""


def unusualness_at(model: Model, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unusualness (k,) that has these anomaly scores (k,), by the model's reference, which must not be empty."""
    reference = np.asarray(model.detector.reference)
    return np.asarray(reference[np.minimum((scores * len(reference)).astype(np.int64), len(reference) - 1)])


def typical_unusualness(model: Model) -> NDArray[np.float64]:
    """(c,) the median unusualness of each cluster's fitted analyses; empty for a model without a reference."""
    if not len(model.detector.reference):
        return np.zeros(0)
    labels = np.asarray(model.clustering.labels)
    values = unusualness_at(model, np.asarray(model.fitted_scores))
    order = np.lexsort((values, labels))
    order = order[np.searchsorted(labels[order], NOISE, side="right") :]
    weights = np.cumsum(np.asarray(model.detector.multiplicities)[order])
    ends = np.searchsorted(labels[order], np.arange(len(model.clusters)), side="right")
    totals = np.concatenate([[0], weights[ends - 1]]) if len(ends) else np.zeros(1)
    middles = np.searchsorted(weights, (totals[:-1] + totals[1:]) / 2)
    return np.asarray(values[order[middles]])


def has_drifted(excesses: Iterable[tuple[str, float]]) -> bool:
    """Whether significantly more clusters have become more unusual than less.

    Args:
        excesses: of recent analyses, the cluster of each and by how much it is more unusual than the cluster's fitted
            members.
    """
    by_cluster: dict[str, list[float]] = {}
    for cluster, excess in excesses:
        by_cluster.setdefault(cluster, []).append(excess)
    medians = np.array([np.median(values) for values in by_cluster.values()])
    more, less = int((medians > 0).sum()), int((medians < 0).sum())
    chance = math.fsum(math.comb(more + less, k) for k in range(more, more + less + 1)) / 2.0 ** (more + less)
    return chance < SIGNIFICANCE


def recent_reference(model: Model, recent: Iterable[float]) -> NDArray[np.float64]:
    """The reference (r,), ascending, in a drift: the unusualness of recent analyses, and a little of the fit's."""
    quantiles = (np.arange(FITTED) + 0.5) / FITTED
    fitted = np.quantile(np.asarray(model.detector.reference), quantiles)
    return np.sort(np.concatenate([fitted, np.fromiter(recent, np.float64)]))


def with_reference(model: Model, reference: NDArray[np.float64]) -> Model:
    """The model with another reference (r,), ascending; what was fitted keeps its score."""
    return replace(model, detector=replace(model.detector, reference=reference))
