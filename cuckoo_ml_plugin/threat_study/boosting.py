"""Gradient-boosted trees that predict the score of one provider from all answers of the others.

A seed splits the rows into training, validation and test rows. The validation rows choose the number of trees. Errors
on all three parts stand beside those of plain least squares and of the mean. Every row is also predicted by trees that
were fitted without it.
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
_SHARES = (0.6, 0.8)  # where the training rows end, and the validation rows
_LEARNING_RATE = 0.05
_MOST_TREES = 1000
_PATIENCE = 50  # the search ends after so many trees without a better validation error
_FOLDS = 5
_MISSING = -1.0  # below every score; scikit-learn fails on a column that holds nothing but NaN


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of a model on the rows of one part."""

    model: str
    part: str
    rows: int
    rmse: float
    mean_absolute: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Importance:
    """The rise of the RMSE on test rows when one column is shuffled: mean and standard deviation over ten times."""

    column: str
    rise: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Boosted:
    """The predictions of the trees for n rows, and the course of the fit."""

    target: str
    columns: list[str]
    trees: int
    training_curve: list[float]  # RMSE after each tree
    validation_curve: list[float]
    errors: list[Errors]
    importance: list[Importance]  # the most important first
    part: list[str]  # n; "" where the target has no score
    prediction: Floats  # (n,) by the trees of the training rows
    left_out: Floats  # (n,) by trees fitted without the row; equal to ``prediction`` where the target has no score


def fit_boosted(columns: list[str], answers: Floats, target: str, y: Floats) -> Boosted:
    """Fit the trees.

    Args:
        columns: c names.
        answers: (n, c) answers of the other providers; NaN for none, which the trees treat as a value of its own.
        y: (n,) the target's score; NaN for none.

    Raises:
        NotEnoughError: the target has a score in fewer than ``LEAST_ROWS`` rows, or the same score in all.
    """
    scored = np.flatnonzero(~np.isnan(y))
    if len(scored) < LEAST_ROWS:
        raise NotEnoughError(
            f"Boosted trees need {LEAST_ROWS} rows with a score of {target}; {_there_are(len(scored))}."
        )
    if np.ptp(y[scored]) < 1e-12:
        raise NotEnoughError(f"{target} is {y[scored[0]]:g} in every row: there is nothing to predict.")
    answers = np.nan_to_num(answers, nan=_MISSING)
    parts = _split(scored)
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
        left_out=_left_out(trees, answers, y, scored, prediction),
    )


def _there_are(number: int) -> str:
    return f"there is {number}" if number == 1 else f"there are {number}"


def _split(scored: Indices) -> list[Indices]:
    order = np.random.default_rng(SEED).permutation(scored)
    return list(np.split(order, [int(share * len(scored)) for share in _SHARES]))


def _trees(number: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        learning_rate=_LEARNING_RATE,
        max_iter=number,
        max_leaf_nodes=15,
        min_samples_leaf=10,
        early_stopping=False,  # the search below has its own validation rows
        warm_start=True,
        random_state=SEED,
    )


def _search(answers: Floats, y: Floats, parts: list[Indices]) -> tuple[int, tuple[list[float], list[float]]]:
    """The number of trees with the least RMSE on the validation rows, and the RMSE after each tree on both parts."""
    model = _trees(0)
    curve: list[float] = []
    while len(curve) < _MOST_TREES and len(curve) - int(np.argmin(curve or [0])) <= _PATIENCE:
        model.set_params(max_iter=len(curve) + _PATIENCE).fit(answers[parts[0]], y[parts[0]])
        curve = [_rmse(y[parts[1]] - p) for p in model.staged_predict(answers[parts[1]])]
    training = [_rmse(y[parts[0]] - p) for p in model.staged_predict(answers[parts[0]])]
    return int(np.argmin(curve)) + 1, (training, curve)


def _rmse(differences: Floats) -> float:
    return float(np.sqrt(np.mean(differences**2)))


def _errors(answers: Floats, y: Floats, parts: list[Indices], prediction: Floats) -> list[Errors]:
    models = {
        "boosted trees": prediction,
        "least squares": _least_squares(answers, y, parts[0]),
        "mean": np.full(len(y), y[parts[0]].mean()),
    }
    errors = []
    for model, predicted in models.items():
        for part, rows in zip(PARTS, parts, strict=True):
            differences = np.abs(predicted[rows] - y[rows])
            mean, greatest = float(differences.mean()), float(differences.max())
            errors.append(Errors(model, part, len(rows), _rmse(differences), mean, greatest))
    return errors


def _least_squares(answers: Floats, y: Floats, training: Indices) -> Floats:
    """(n,) the predictions of plain linear least squares, with 0 for a missing answer."""
    X = np.column_stack([np.maximum(answers, 0.0), np.ones(len(y))])
    weights = np.linalg.lstsq(X[training], y[training], rcond=None)[0]
    return np.asarray(X @ weights, np.float64)


def _importance(model: Any, columns: list[str], X: Floats, y: Floats) -> list[Importance]:
    from sklearn.inspection import permutation_importance

    result = permutation_importance(model, X, y, scoring="neg_root_mean_squared_error", n_repeats=10, random_state=SEED)
    rises = zip(columns, result.importances_mean, result.importances_std, strict=True)
    importance = (Importance(column, float(mean), float(deviation)) for column, mean, deviation in rises)
    return sorted(importance, key=lambda column: -column.rise)


def _left_out(trees: int, answers: Floats, y: Floats, scored: Indices, prediction: Floats) -> Floats:
    """(n,) the predictions, for rows with a score by trees fitted on the other four fifths."""
    predictions = prediction.copy()
    for fold in np.array_split(np.random.default_rng([SEED, 1]).permutation(scored), _FOLDS):
        others = np.setdiff1d(scored, fold)
        predictions[fold] = _trees(trees).fit(answers[others], y[others]).predict(answers[fold])
    return predictions
