"""CSV files that a spreadsheet may open: their texts come from malware, and none of them becomes a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path

from cuckoo_ml_plugin.plumbing.files import replacing
from cuckoo_ml_plugin.plumbing.text import printable

Cell = str | int | float | None
# What a spreadsheet takes for the start of a formula, beside tabs, which are never written; the full-width signs where
# it is set to Chinese or Japanese.
_FORMULA = re.compile("(^|;\\s*)([=+@\uff1d\uff0b\uff0d\uff20-])")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Path:
    """Write a table; a text that a spreadsheet would take for a formula gets an apostrophe. Raises OSError.

    What is not printable is replaced. The part of a text that follows a semicolon is treated as a text, because a
    spreadsheet may split lines there. With an empty list of ``columns``, the file has no line of titles.
    """
    with replacing(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        writer = csv.writer(text)
        if columns:
            writer.writerow([name.strip() if isinstance(name, str) else name for name in map(_harmless, columns)])
        writer.writerows([_harmless(cell) for cell in row] for row in rows)
        text.detach()  # writes what is left, and leaves the file open for replacing() to finish
    return path


def _harmless(cell: Cell) -> Cell:
    if isinstance(cell, float):
        return float(f"{cell:.10g}")
    return _FORMULA.sub(r"\1'\2", printable(cell)) if isinstance(cell, str) else cell
