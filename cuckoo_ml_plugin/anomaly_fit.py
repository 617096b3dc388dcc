"""Fitting the anomaly detector: what its scores are compared with. Needs SciPy matrices; scoring does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.anomaly import (
    CANDIDATES,
    DECIMALS,
    NEIGHBOURS,
    PRIOR,
    SMOOTHING,
    AnomalyDetector,
    background_of,
    clipped,
    mean_log_distance,
    share_missing,
)
from cuckoo_ml_plugin.settings import SEED

COMMON = 5
"""A token that fewer analyses show says nothing about what neighbours have in common."""
REFERENCE = 10_000
"""Analyses that the score is calibrated on: at 0.95 their rank is off by 0.2 % (one standard error)."""
TOKENS_PER_POINT = 512
"""Mean of the common tokens kept per point; above it a seeded sample of columns is kept: shares stay what they are."""


def fit_anomaly(
    vectors: NDArray[np.floating[Any]],
    explained: NDArray[np.floating[Any]],
    tokens: csr_matrix,
    multiplicities: NDArray[np.integer[Any]],
    seed: int = SEED,
) -> AnomalyDetector:
    """Fit on n points, each a behaviour that ``multiplicities`` analyses share.

    Args:
        vectors: (n, d) unit rows.
        explained: (n,) share of each behaviour's length that the embedding explains, in [0, 1].
        tokens: (n, v) binary.
        multiplicities: (n,) at least 1 each.
    """
    rng = np.random.default_rng(seed)
    weights = np.asarray(multiplicities, np.int64)
    binary = csr_matrix((np.ones(len(tokens.data), np.float32), tokens.indices, tokens.indptr), shape=tokens.shape)
    counted = np.asarray(binary.T @ weights).ravel().astype(np.int64)
    kept = _common_columns(binary, counted, rng)
    rows = binary[:, kept].tocsr()
    rows.sort_indices()
    column_map = np.full(tokens.shape[1], -1, np.int32)
    column_map[kept] = np.arange(len(kept), dtype=np.int32)
    analyses = int(weights.sum())
    none = np.zeros(0)
    detector = AnomalyDetector(
        multiplicities=weights,
        explained=np.asarray(explained, np.float32),
        column_map=column_map,
        frequencies=counted[kept],
        row_starts=rows.indptr.astype(np.int64),
        row_columns=rows.indices.astype(np.int32),
        reference_distance=none,
        reference_missing=none,
        reference_score=none,
        analyses=analyses,
        background=background_of(counted[kept], analyses),
    )
    if analyses < 2:
        return detector
    return _calibrated(detector, np.asarray(vectors, np.float32), rows, rng)


def _common_columns(tokens: csr_matrix, counted: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    columns = np.flatnonzero(counted >= COMMON)
    entries = np.bincount(tokens.indices, minlength=tokens.shape[1])[columns].sum()
    share = TOKENS_PER_POINT * max(tokens.shape[0], 1) / max(int(entries), 1)
    return columns if share >= 1 else columns[rng.random(len(columns)) < share]


def _calibrated(
    detector: AnomalyDetector, vectors: NDArray[np.float32], rows: csr_matrix, rng: np.random.Generator
) -> AnomalyDetector:
    """Score reference analyses as if each had not been among the fitted, and keep their scores, ascending."""
    of_analysis = np.repeat(np.arange(len(vectors)), detector.multiplicities)
    if len(of_analysis) > REFERENCE:
        of_analysis = rng.choice(of_analysis, REFERENCE, replace=False)
    points, back = np.unique(of_analysis, return_inverse=True)
    nearest = _nearest(vectors, points)
    found = np.array([_left_out(detector, vectors, rows, p, q) for p, q in zip(points, nearest, strict=True)])
    distance, missing = np.round(found[back], DECIMALS).T
    combined = (_middle_ranks(distance) + _middle_ranks(missing)) / 2
    return replace(
        detector,
        reference_distance=np.sort(distance),
        reference_missing=np.sort(missing),
        reference_score=np.sort(np.round(combined, DECIMALS)),
    )


def _nearest(vectors: NDArray[np.float32], points: NDArray[np.int64]) -> NDArray[np.int64]:
    """(len(points), k) the fitted points nearest to each, itself among them, nearest first."""
    k = min(CANDIDATES + 1, len(vectors))
    found = np.empty((len(points), k), np.int64)
    step = max(1, 20_000_000 // len(vectors))
    for start in range(0, len(points), step):
        similar = vectors[points[start : start + step]] @ vectors.T
        best = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similar, best, axis=1), axis=1, kind="stable")
        found[start : start + step] = np.take_along_axis(best, order, axis=1)
    return found


def _left_out(
    detector: AnomalyDetector, vectors: NDArray[np.float32], rows: csr_matrix, point: int, nearest: NDArray[np.int64]
) -> tuple[float, float]:
    """Mean log distance and missing share of one analysis of ``point``, its other repeats being its nearest.

    The embedding itself was fitted with this analysis in it, so it explains it a little better than a new one; where
    analyses are few for the dimensions, that makes the score cautious (fewer alarms than the threshold asks for).
    """
    others = np.concatenate([[point], nearest[nearest != point]])
    weights = detector.multiplicities[others].copy()
    weights[0] -= 1
    weights = clipped(weights, CANDIDATES)
    scaled = vectors[others].astype(np.float64) * detector.explained[others, None]
    distances = np.sqrt(((scaled - scaled[0]) ** 2).sum(axis=1))
    used = weights > 0
    mean_log = mean_log_distance(distances[used], weights[used])
    return mean_log, _left_out_missing(detector, rows, point, others, clipped(weights, NEIGHBOURS))


def _left_out_missing(
    detector: AnomalyDetector, rows: csr_matrix, point: int, others: NDArray[np.int64], weights: NDArray[np.int64]
) -> float:
    counts = np.zeros(len(detector.frequencies))
    for other, weight in zip(others, weights, strict=True):
        if weight:
            counts[rows.indices[rows.indptr[other] : rows.indptr[other + 1]]] += weight
    own = rows.indices[rows.indptr[point] : rows.indptr[point + 1]]
    total = float(weights.sum())
    base = PRIOR / (total + PRIOR) / detector.analyses  # one analysis fewer than there are
    seen = np.flatnonzero(counts)
    ground = base * (detector.frequencies[seen] + SMOOTHING)
    expected = base * base * detector.background + ((counts[seen] / (total + PRIOR) + ground) ** 2 - ground**2).sum()
    full = counts[own] / (total + PRIOR) + base * (detector.frequencies[own] + SMOOTHING)
    without = full - base  # this analysis does not count among those that show its tokens
    expected += (without**2 - full**2).sum()
    return share_missing(float(expected), float((without**2).sum()))


def _middle_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")
    return ranks / (2 * len(values))
