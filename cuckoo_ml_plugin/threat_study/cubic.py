"""A cubic polynomial that predicts one provider's score from another's, as the study of the ten devices had it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cuckoo_ml_plugin.errors import NotEnoughError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cubic:
    """``target`` from ``predictor``: coefficients of the powers 3, 2, 1, 0."""

    predictor: str
    target: str
    coefficients: tuple[float, float, float, float]
    rows: int
    rmse: float  # on the rows that it was fitted on
    rmse_left_out: float | None  # each row predicted without itself; None if some row cannot be left out

    def predict(self, predictor_scores: ArrayLike) -> Floats:
        """The target's score for scores of ``predictor`` (of nothing else), any shape; NaN for NaN."""
        return predict_cubic(self.coefficients, predictor_scores)


def predict_cubic(coefficients: Sequence[float], scores: ArrayLike) -> Floats:
    """The value of a polynomial whose coefficients come highest power first."""
    return np.asarray(np.polyval(np.asarray(coefficients, np.float64), np.asarray(scores, np.float64)))


def fit_cubic(predictor: str, x: Floats, target: str, y: Floats) -> Cubic:
    """Least squares over the rows on which both providers say something.

    Args:
        x: (n,) scores of ``predictor``, NaN where missing.
        y: (n,) scores of ``target``, likewise.

    Raises:
        NotEnoughError: the predictor has fewer than four different scores there.
    """
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    different = len(np.unique(x))
    if different < 4:
        raise NotEnoughError(
            f"A cubic from {predictor} to {target} needs four different scores of {predictor} "
            f"where both say something; there {'is' if different == 1 else 'are'} {different}."
        )
    fitted = np.polynomial.Polynomial.fit(x, y, 3)  # in a scaled variable: close scores make no bad condition
    coefficients = np.zeros(4)
    converted = fitted.convert().coef
    coefficients[: len(converted)] = converted
    residuals = y - fitted(x)
    third, second, first, constant = (float(value) for value in coefficients[::-1])
    return Cubic(
        predictor=predictor,
        target=target,
        coefficients=(third, second, first, constant),
        rows=len(x),
        rmse=float(np.sqrt(np.mean(residuals**2))),
        rmse_left_out=_left_out(x, residuals),
    )


def _left_out(x: Floats, residuals: Floats) -> float | None:
    """RMSE of each row under the fit of the others: residual / (1 - leverage), without fitting n times."""
    scaled = np.polynomial.polyutils.mapdomain(x, [x.min(), x.max()], [-1.0, 1.0])
    basis, _ = np.linalg.qr(np.polynomial.polynomial.polyvander(scaled, 3))
    free = 1.0 - (basis**2).sum(axis=1)
    if free.min() < 1e-9:  # without this row the cubic would not be determined
        return None
    return float(np.sqrt(np.mean((residuals / free) ** 2)))
