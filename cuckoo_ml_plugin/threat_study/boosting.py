"""Gradient-boosted trees that predict one provider's score from all answers of the others.

A seeded split into training, validation and test rows; as many trees as serve the validation rows best; errors on all
three beside those of plain least squares and of the mean; and for each row a prediction by trees that have not seen it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.errors import NotEnoughError
from cuckoo_ml_plugin.settings import SEED

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
LEAST_ROWS = 50
PARTS = ("training", "validation", "test")
_SHARES = (0.6, 0.8)  # where training and validation end
_LEARNING_RATE = 0.05
_MOST_TREES = 1000
_PATIENCE = 50  # trees without a better validation error before the search ends
_FOLDS = 5
_UNSAID = -1.0  # below every score; scikit-learn's own way with NaN fails on a column that is nothing else


@dataclass(frozen=True, slots=True)
class Errors:
    """How far a model is off on the rows of one part."""

    model: str
    part: str
    rows: int
    rmse: float
    mean_absolute: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Importance:
    """By how much the RMSE on test rows rises when one answer is shuffled: mean and standard deviation of ten times."""

    column: str
    rise: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Boosted:
    """What the trees say of n rows, and how they came about."""

    target: str
    columns: list[str]
    trees: int
    training_curve: list[float]  # RMSE after each tree
    validation_curve: list[float]
    errors: list[Errors]
    importance: list[Importance]  # the most important first
    part: list[str]  # n; "" where the target says nothing
    prediction: Floats  # (n,) by the trees of the training rows
    left_out: Floats  # (n,) by trees that have not seen the row; where the target says nothing as ``prediction``


def fit_boosted(columns: list[str], answers: Floats, target: str, y: Floats) -> Boosted:
    """Fit the trees.

    Args:
        columns: c names.
        answers: (n, c) answers of the other providers; NaN where nothing is said, which is a value of its own.
        y: (n,) the target's score; NaN where it says nothing.

    Raises:
        NotEnoughError: the target says something in fewer than ``LEAST_ROWS`` rows, or always the same.
    """
    known = np.flatnonzero(~np.isnan(y))
    if len(known) < LEAST_ROWS:
        raise NotEnoughError(
            f"Boosted trees need {LEAST_ROWS} rows with a score of {target}; there {_are(len(known))}."
        )
    if np.ptp(y[known]) < 1e-12:
        raise NotEnoughError(f"{target} is {y[known[0]]:g} in every row: there is nothing to predict.")
    answers = np.nan_to_num(answers, nan=_UNSAID)
    parts = _split(known)
    trees, curves = _search(answers, y, parts)
    model = _trees(trees).fit(answers[parts[0]], y[parts[0]])
    prediction = np.asarray(model.predict(answers), np.float64)
    part = [""] * len(y)
    for name, rows in zip(PARTS, parts, strict=True):
        for row in rows:
            part[row] = name
    return Boosted(
        target=target,
        columns=columns,
        trees=trees,
        training_curve=curves[0],
        validation_curve=curves[1],
        errors=_errors(answers, y, parts, prediction),
        importance=_importance(model, columns, answers[parts[2]], y[parts[2]]),
        part=part,
        prediction=prediction,
        left_out=_left_out(trees, answers, y, known, prediction),
    )


def _are(number: int) -> str:
    return f"is {number}" if number == 1 else f"are {number}"


def _split(known: Indices) -> list[Indices]:
    order = np.random.default_rng(SEED).permutation(known)
    return list(np.split(order, [int(share * len(known)) for share in _SHARES]))


def _trees(number: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        learning_rate=_LEARNING_RATE,
        max_iter=number,
        max_leaf_nodes=15,
        min_samples_leaf=10,
        early_stopping=False,  # the validation rows are ours to choose
        warm_start=True,
        random_state=SEED,
    )


def _search(answers: Floats, y: Floats, parts: list[Indices]) -> tuple[int, tuple[list[float], list[float]]]:
    """How many trees serve the validation rows best, and the RMSE after each tree on training and validation rows."""
    model = _trees(0)
    curve: list[float] = []
    while len(curve) < _MOST_TREES and len(curve) - int(np.argmin(curve or [0])) <= _PATIENCE:
        model.set_params(max_iter=len(curve) + _PATIENCE).fit(answers[parts[0]], y[parts[0]])
        curve = [_rmse(y[parts[1]] - p) for p in model.staged_predict(answers[parts[1]])]
    training = [_rmse(y[parts[0]] - p) for p in model.staged_predict(answers[parts[0]])]
    return int(np.argmin(curve)) + 1, (training, curve)


def _rmse(off: Floats) -> float:
    return float(np.sqrt(np.mean(off**2)))


def _errors(answers: Floats, y: Floats, parts: list[Indices], prediction: Floats) -> list[Errors]:
    models = {
        "boosted trees": prediction,
        "least squares": _least_squares(answers, y, parts[0]),
        "mean": np.full(len(y), y[parts[0]].mean()),
    }
    found = []
    for model, predicted in models.items():
        for part, rows in zip(PARTS, parts, strict=True):
            off = np.abs(predicted[rows] - y[rows])
            found.append(Errors(model, part, len(rows), _rmse(off), float(off.mean()), float(off.max())))
    return found


def _least_squares(answers: Floats, y: Floats, training: Indices) -> Floats:
    """(n,) plain linear least squares, a missing answer taken as 0."""
    X = np.column_stack([np.maximum(answers, 0.0), np.ones(len(y))])
    weights = np.linalg.lstsq(X[training], y[training], rcond=None)[0]
    return np.asarray(X @ weights, np.float64)


def _importance(model: Any, columns: list[str], X: Floats, y: Floats) -> list[Importance]:
    from sklearn.inspection import permutation_importance

    found = permutation_importance(model, X, y, scoring="neg_root_mean_squared_error", n_repeats=10, random_state=SEED)
    rises = zip(columns, found.importances_mean, found.importances_std, strict=True)
    return sorted((Importance(c, float(m), float(s)) for c, m, s in rises), key=lambda one: -one.rise)


def _left_out(trees: int, answers: Floats, y: Floats, known: Indices, prediction: Floats) -> Floats:
    """(n,) each row with a score predicted by trees of the other four fifths."""
    found = prediction.copy()
    for fold in np.array_split(np.random.default_rng([SEED, 1]).permutation(known), _FOLDS):
        others = np.setdiff1d(known, fold)
        found[fold] = _trees(trees).fit(answers[others], y[others]).predict(answers[fold])
    return found
