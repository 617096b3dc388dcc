"""Fits the models between providers of threat scores: each provider's score from those of the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.providers import LEAST_OFF, UNSAID, ProviderModels, joined_scores
from cuckoo_ml_plugin.report.threat_scores import MALSCORE, SIGMA
from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_plugin.store.store import Store

Floats = NDArray[np.float64]
ENOUGH = 100
"""The least files with scores of a provider and of another one: with fewer, 1 % of them is less than one file."""
MOST_PROVIDERS = 8
MOST_FILES = 5_000
_FALSE_ALARMS = 0.01
_LEFT_OUT = frozenset((MALSCORE, SIGMA))
"""Providers that are shown and not compared: CAPE sets its malscore by its detections, which speak for the sandbox."""
_TREES, _DEPTH, _LEARNING_RATE, _FOLDS = 60, 3, 0.1, 5


@dataclass(frozen=True, slots=True)
class ProviderFit:
    """The models, and a summary of the fit."""

    models: ProviderModels
    summary: str


def fit_providers(store: Store) -> ProviderFit:
    """Fit on the latest analysis with threat scores of each file. Raises StoreError."""
    latest: dict[str, dict[str, float]] = {}
    for analysis in store.all_threat_scores():
        latest[analysis.sha256 or analysis.analysis] = joined_scores(analysis.scores)
    return fit_rows(list(latest.values()))


def fit_rows(rows: Sequence[dict[str, float]]) -> ProviderFit:
    """Fit on the joined scores of each file by provider."""
    rows = [{name: score for name, score in row.items() if name not in _LEFT_OUT} for row in rows]
    if len(rows) > MOST_FILES:
        chosen = np.random.default_rng(SEED).choice(len(rows), MOST_FILES, replace=False)
        rows = [rows[i] for i in np.sort(chosen)]
    files = Counter(name for row in rows for name in row if len(row) > 1)
    names = sorted(name for name, count in files.most_common(MOST_PROVIDERS) if count >= ENOUGH)
    X = np.array([[row.get(name, UNSAID) for name in names] for row in rows]).reshape(len(rows), len(names))
    fitted = {number: fit for number in range(len(names)) if (fit := _fit_provider(X, number)) is not None}
    if not fitted:
        most = max(files.values(), default=0)
        return ProviderFit(
            ProviderModels.none(),
            f"no predictions between providers: these need {ENOUGH} files with scores of two providers that differ; "
            f"{most:,} files have scores of two",
        )
    predicted = ", ".join(f"{names[i]} (off by {fit.off:.2f}, {fit.files:,} files)" for i, fit in fitted.items())
    return ProviderFit(_as_arrays(names, fitted), f"predicted from the other providers' scores: {predicted}")


@dataclass(frozen=True, slots=True)
class _FittedProvider:
    """The trees of one provider, the mean error on held-back files, and the number of files."""

    score: Any
    spread: Any
    allowed: float
    off: float
    files: int


def _fit_provider(X: Floats, number: int) -> _FittedProvider | None:
    others = X.copy()
    others[:, number] = UNSAID
    rows = np.flatnonzero((X[:, number] != UNSAID) & (others != UNSAID).any(axis=1))
    others, y = others[rows], X[rows, number]
    if len(rows) < ENOUGH or np.ptp(y) < 1e-9:
        return None
    off = np.abs(np.clip(_held_back(others, y), 0, 1) - y)
    # The allowed error grows with the error that is usual for such scores: each error is divided by a prediction of
    # it, and the quotient that 99 % of the held-back files keep to becomes the limit (normalised conformal prediction,
    # Papadopoulos, Gammerman and Vovk 2008).
    quotients = np.sort(off / np.maximum(_held_back(others, off), LEAST_OFF))
    rank = min(math.ceil((len(off) + 1) * (1 - _FALSE_ALARMS)), len(off))
    score, spread = _boosted(others, y), _boosted(others, off)
    return _FittedProvider(score, spread, float(quotients[rank - 1]), float(off.mean()), len(rows))


def _held_back(X: Floats, y: Floats) -> Floats:
    """(n,) each row predicted by a fit on the other four fifths."""
    predictions = np.empty(len(y))
    for fold in np.array_split(np.random.default_rng(SEED).permutation(len(y)), _FOLDS):
        rest = np.setdiff1d(np.arange(len(y)), fold)
        predictions[fold] = _boosted(X[rest], y[rest]).predict(X[fold])
    return predictions


def _boosted(X: Floats, y: Floats) -> Any:
    """Boosted trees. A refit fits thousands, and examining data and parameters anew for each takes a quarter of it."""
    from sklearn import config_context
    from sklearn.ensemble import GradientBoostingRegressor

    boosting = GradientBoostingRegressor(
        n_estimators=_TREES,
        max_depth=_DEPTH,
        learning_rate=_LEARNING_RATE,
        min_samples_leaf=5,
        random_state=SEED,
    )
    with config_context(assume_finite=True, skip_parameter_validation=True):
        return boosting.fit(X, y)


def _as_arrays(names: list[str], fitted: dict[int, _FittedProvider]) -> ProviderModels:
    """The trees of scikit-learn as arrays, which NumPy alone can evaluate."""
    nodes = 2 ** (_DEPTH + 1) - 1
    shape = (len(names), 2, _TREES, nodes)
    features, splits, values = np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape)
    children = np.zeros((*shape, 2), np.int64)
    children[:] = np.arange(nodes)[:, None]  # a leaf is its own child
    base, allowed = np.full((len(names), 2), np.nan), np.full(len(names), np.nan)
    for number, provider in fitted.items():
        allowed[number] = provider.allowed
        for which, model in enumerate((provider.score, provider.spread)):
            base[number, which] = float(np.ravel(model.init_.predict(np.zeros((1, len(names)))))[0])
            for t, estimator in enumerate(model.estimators_[:, 0]):
                tree, place = estimator.tree_, (number, which, t)
                inner = np.flatnonzero(tree.children_left >= 0)
                features[place][inner] = tree.feature[inner]
                splits[place][inner] = _rounded_down(tree.threshold[inner])
                children[place][inner, 0] = tree.children_left[inner]
                children[place][inner, 1] = tree.children_right[inner]
                values[place][: tree.node_count] = _LEARNING_RATE * tree.value[:, 0, 0]
    return ProviderModels(tuple(names), features, splits, children, values, base, allowed, _DEPTH)


def _rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """The greatest 32-bit number that is not above each threshold: 32-bit scores compare with both alike."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
