"""Fits the models between providers: each one's joined score from the others', with a calibrated threshold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.providers import LEAST_OFF, UNSAID, ProviderModels, joined_scores
from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_plugin.store.store import Store

Floats = NDArray[np.float64]
ENOUGH = 100
"""Files that a provider and another one both say something of: with fewer, the 1 % furthest off cannot be told."""
MOST_PROVIDERS = 8
MOST_FILES = 5_000
_FALSE_ALARMS = 0.01
_TREES, _DEPTH, _LEARNING_RATE, _FOLDS = 60, 3, 0.1, 5


@dataclass(frozen=True, slots=True)
class ProviderFit:
    """The models, and a sentence that says what was found."""

    models: ProviderModels
    found: str


def fit_providers(store: Store) -> ProviderFit:
    """Fit on every analysis whose host wrote scores down; of a file that was analysed often, on the latest.

    Raises StoreError.
    """
    latest: dict[str, dict[str, float]] = {}
    for one in store.all_threat_scores():
        latest[one.sha256 or one.analysis] = joined_scores(one.scores)
    return fit_rows(list(latest.values()))


def fit_rows(rows: Sequence[dict[str, float]]) -> ProviderFit:
    """The same from the joined scores of each file: provider -> score."""
    if len(rows) > MOST_FILES:
        chosen = np.random.default_rng(SEED).choice(len(rows), MOST_FILES, replace=False)
        rows = [rows[i] for i in np.sort(chosen)]
    known = Counter(name for row in rows for name in row if len(row) > 1)
    names = sorted(name for name, count in known.most_common(MOST_PROVIDERS) if count >= ENOUGH)
    X = np.array([[row.get(name, UNSAID) for name in names] for row in rows]).reshape(len(rows), len(names))
    fitted = {number: one for number in range(len(names)) if (one := _fit_one(X, number)) is not None}
    if not fitted:
        most = max(known.values(), default=0)
        return ProviderFit(
            ProviderModels.none(),
            f"no models between providers: {ENOUGH} files with different scores of two providers are needed, "
            f"{most:,} have scores of two",
        )
    told = ", ".join(f"{names[i]} (off by {one.off:.2f}, {one.files:,} files)" for i, one in fitted.items())
    return ProviderFit(_as_arrays(names, fitted), f"from the others' scores is predicted: {told}")


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The trees of one provider, how far held-back files are off on average, and how many files there were."""

    score: Any
    spread: Any
    allowed: float
    off: float
    files: int


def _fit_one(X: Floats, number: int) -> _Fitted | None:
    others = X.copy()
    others[:, number] = UNSAID
    rows = np.flatnonzero((X[:, number] != UNSAID) & (others != UNSAID).any(axis=1))
    others, y = others[rows], X[rows, number]
    if len(rows) < ENOUGH or np.ptp(y) < 1e-9:
        return None
    off = np.abs(np.clip(_held_back(others, y), 0, 1) - y)
    # Where the others leave much open, more is allowed: distances are divided by what is usual for such scores, and
    # the greatest quotient is allowed that 99 % of held-back files keep to (normalised conformal prediction,
    # Papadopoulos, Gammerman and Vovk 2008).
    quotients = np.sort(off / np.maximum(_held_back(others, off), LEAST_OFF))
    rank = min(math.ceil((len(off) + 1) * (1 - _FALSE_ALARMS)), len(off))
    score, spread = _boosting().fit(others, y), _boosting().fit(others, off)
    return _Fitted(score, spread, float(quotients[rank - 1]), float(off.mean()), len(rows))


def _held_back(X: Floats, y: Floats) -> Floats:
    """(n,) each row predicted by a fit on the other four fifths."""
    found = np.empty(len(y))
    for fold in np.array_split(np.random.default_rng(SEED).permutation(len(y)), _FOLDS):
        rest = np.setdiff1d(np.arange(len(y)), fold)
        found[fold] = _boosting().fit(X[rest], y[rest]).predict(X[fold])
    return found


def _boosting() -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(
        n_estimators=_TREES,
        max_depth=_DEPTH,
        learning_rate=_LEARNING_RATE,
        min_samples_leaf=5,
        random_state=SEED,
    )


def _as_arrays(names: list[str], fitted: dict[int, _Fitted]) -> ProviderModels:
    """The trees of scikit-learn as arrays that NumPy can walk."""
    nodes = 2 ** (_DEPTH + 1) - 1
    shape = (len(names), 2, _TREES, nodes)
    features, splits, values = np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape)
    children = np.zeros((*shape, 2), np.int64)
    children[:] = np.arange(nodes)[:, None]  # a leaf is its own child
    base, allowed = np.full((len(names), 2), np.nan), np.full(len(names), np.nan)
    for number, one in fitted.items():
        allowed[number] = one.allowed
        for which, model in enumerate((one.score, one.spread)):
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
    """The greatest 32-bit number that is not greater: the comparison with 32-bit scores stays the same."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
