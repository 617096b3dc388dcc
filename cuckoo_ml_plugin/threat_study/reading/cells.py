"""Reads the cells of one column of scores: numbers in [0, 1], percentages, missing and invalid values."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset(("", "-", "?", "na", "n/a", "nan", "null", "none", "<na>"))
"""Texts that stand for a missing score, in lower case."""


@dataclass(slots=True)
class ScoreColumn:
    """Collects the cells of a column.

    ``percent``: the numbers are percentages. ``clip``: numbers outside [0, 1] are set to its nearest end.
    """

    name: str
    percent: bool = False
    clip: bool = False
    decimal_comma: bool = False
    values: array[float] = field(default_factory=lambda: array("d"))  # NaN for a missing score
    numbers: int = 0
    first_text: tuple[int, str] | None = None  # line or row of the first cell that is not a number, and its text
    first_outside: tuple[int, float] | None = None  # line or row of the first number outside [0, 1], and its value

    def add(self, cell: Any, where: int) -> None:
        """Read one cell. Errors are kept, not raised, so that a column without any number can be ignored."""
        try:
            value = self._number(cell)
        except (ValueError, OverflowError, ArithmeticError):
            self.first_text = self.first_text or (where, str(cell)[:80])
            self.values.append(math.nan)
            return
        if math.isnan(value):
            self.values.append(value)
            return
        self.numbers += 1
        if not 0.0 <= value <= 1.0:
            if self.clip:
                value = min(max(value, 0.0), 1.0)
            else:
                self.first_outside = self.first_outside or (where, value * 100 if self.percent else value)
        self.values.append(value)

    def _number(self, cell: Any) -> float:
        if cell is None:
            return math.nan
        if isinstance(cell, (bool, int, float, Decimal)):
            return float(cell) / 100 if self.percent else float(cell)
        if not isinstance(cell, str):
            raise ValueError("neither a number nor a text")
        text = cell.strip()
        if text.lower() in MISSING:
            return math.nan
        share = self.percent or text.endswith("%")
        text = text.removesuffix("%")
        number = float(text.replace(",", ".") if self.decimal_comma else text)
        if math.isnan(number) or "_" in text:  # float() takes 1_000, which is no score
            raise ValueError("not a number")
        return number / 100 if share else number

    def array(self) -> NDArray[np.float64]:
        return np.frombuffer(self.values, np.float64) if self.values else np.empty(0)
