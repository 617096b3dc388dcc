"""CSV files that a spreadsheet may open: texts come from malware, and none of them becomes a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

Cell = str | int | float | None
# What a spreadsheet would take for a formula; the wide ones where it is set to Chinese or Japanese.
_FORMULA = re.compile("(^|[;\t]\\s*)([=+@\t\r\uff1d\uff0b\uff0d\uff20-])")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Path:
    """Write a table; texts that a spreadsheet would take for a formula get an apostrophe. Raises OSError.

    So does what follows a semicolon or a tab in a text: a spreadsheet may split lines there, and find a formula. An
    empty list of ``columns`` writes no line of titles.
    """
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        if columns:
            writer.writerow([name.strip() if isinstance(name, str) else name for name in map(_safe, columns)])
        writer.writerows([_safe(cell) for cell in row] for row in rows)
    return path


def _safe(cell: Cell) -> Cell:
    if isinstance(cell, float):
        return float(f"{cell:.10g}")
    return _FORMULA.sub(r"\1'\2", cell) if isinstance(cell, str) else cell
