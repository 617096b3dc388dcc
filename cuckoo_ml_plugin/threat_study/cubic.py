"""A cubic polynomial that predicts the score of one provider from that of another, as in the original study."""

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
    rmse_left_out: float | None  # each row predicted by a fit without it; None if some row cannot be left out

    def predict(self, predictor_scores: ArrayLike) -> Floats:
        """The target's scores for scores of ``predictor`` (and of no other provider), any shape; NaN for NaN."""
        return predict_cubic(self.coefficients, predictor_scores)


def predict_cubic(coefficients: Sequence[float], scores: ArrayLike) -> Floats:
    """The values of a polynomial with these coefficients, highest power first."""
    return np.asarray(np.polyval(np.asarray(coefficients, np.float64), np.asarray(scores, np.float64)))


def fit_cubic(predictor: str, x: Floats, target: str, y: Floats) -> Cubic:
    """Fit by least squares over the rows in which both providers have a score.

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
            f"in rows where both have a score; there {'is' if different == 1 else 'are'} {different}."
        )
    fitted = np.polynomial.Polynomial.fit(x, y, 3)  # it scales x, so scores close together stay well-conditioned
    coefficients = np.zeros(4)
    converted = fitted.convert().coef
    coefficients[: len(converted)] = converted
    residuals: Floats = np.asarray(y - fitted(x), np.float64)
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
    """The RMSE of each row under the fit of the others, as residual / (1 - leverage), without n fits."""
    scaled = np.polynomial.polyutils.mapdomain(x, [x.min(), x.max()], [-1.0, 1.0])
    basis, _ = np.linalg.qr(np.polynomial.polynomial.polyvander(scaled, 3))
    free = 1.0 - (basis**2).sum(axis=1)
    if free.min() < 1e-9:  # without this row, the other rows do not determine a cubic
        return None
    return float(np.sqrt(np.mean((residuals / free) ** 2)))
