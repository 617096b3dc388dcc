"""Reads the rows of a CSV or Parquet file, recognised by content. Pickles are refused: reading one can run code."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.errors import TableError
from cuckoo_ml_plugin.plumbing.extras import optional_package

MAX_ROWS = 5_000_000
MAX_COLUMNS = 2_000
_DELIMITERS = ",;\t|"
_PICKLE_NAMES = (".pkl", ".pickle", ".p")
_RECIPE = "python -c \"import pandas; pandas.read_pickle('FILE.pkl').to_parquet('FILE.parquet')\""


@dataclass(frozen=True, slots=True)
class Source:
    """The header and the rows of a file; ``rows`` yields (line or row number, cells) once."""

    header: list[str]
    rows: Iterator[tuple[int, Sequence[Any]]]
    unit: str  # what the numbers count: "line" or "row"
    decimal_comma: bool = False


def open_source(path: Path) -> Source:
    """Open a file of scores.

    Raises:
        TableError: the file is a pickle, neither CSV nor Parquet, damaged, or too large. Reading the rows can raise
            it, too.
        CuckooMLError: the file is Parquet and pyarrow is not installed.
        OSError: there is no such file, or it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if path.suffix.lower() in _PICKLE_NAMES or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        raise TableError(
            f"{path}: the file is a pickle, which can run code when it is read; if you trust its origin, "
            f"convert it to Parquet: {_RECIPE}."
        )
    if start.startswith(b"PAR1"):
        return _parquet(path)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
        raise TableError(f"{path}: the file is neither Parquet nor CSV in UTF-8; save it as one of them.")
    return _csv(path)


def _csv(path: Path) -> Source:
    rows = _csv_rows(path)
    _, header = next(rows, (0, []))
    if not header:
        raise TableError(f"{path}: the file is empty; it needs a line with the names of the columns, then the rows.")
    _check_width(path, len(header))
    return Source([name.strip() for name in header], rows, "line", decimal_comma=_delimiter(path) == ";")


def _delimiter(path: Path) -> str:
    """The delimiter that occurs most often in the first line."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline(1_000_000)
    return max(_DELIMITERS, key=first.count)


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line that is not blank, starting with the header."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=_delimiter(path), strict=False)
        width = lines = 0
        try:
            for cells in reader:
                if not cells or (len(cells) == 1 and not cells[0].strip()):
                    continue
                width, lines = width or len(cells), lines + 1
                if len(cells) > width:
                    raise TableError(
                        f"{path}: line {reader.line_num} has {len(cells)} cells, the header {width}; correct the line."
                    )
                if lines > MAX_ROWS + 1:
                    raise _too_long(path)
                yield reader.line_num, cells
        except csv.Error as error:
            raise TableError(f"{path}: line {reader.line_num} is not CSV ({error}); correct the line.") from error


def _parquet(path: Path) -> Source:
    parquet = optional_package("pyarrow.parquet", "Parquet files")
    arrow = optional_package("pyarrow", "Parquet files")
    try:
        file = parquet.ParquetFile(path)
        rows, names = file.metadata.num_rows, _flat_columns(file.schema_arrow, arrow.types)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    _check_width(path, len(names))
    if rows > MAX_ROWS:
        raise _too_long(path)
    return Source(names, _parquet_rows(path, file, names, arrow.ArrowException), "row")


def _flat_columns(schema: Any, types: Any) -> list[str]:
    """The columns that can hold scores or names: numbers, texts and categories, but not dates, lists or structures."""
    flat = [
        getattr(types, f"is_{kind}")
        for kind in ("integer", "floating", "boolean", "decimal", "string", "large_string", "dictionary", "null")
    ]
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in flat)]


def _parquet_rows(
    path: Path, file: Any, names: list[str], damage: type[Exception]
) -> Iterator[tuple[int, Sequence[Any]]]:
    number = 0
    try:
        for batch in file.iter_batches(batch_size=10_000, columns=names):
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                number += 1
                yield number, cells
    except (damage, OSError, ValueError, OverflowError) as error:  # the last two come from invalid dates and bytes
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> TableError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return TableError(f"{path}: the file cannot be read as Parquet ({reason}); write it again.")


def _check_width(path: Path, columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise TableError(
            f"{path}: the file has {columns:,} columns, of which {MAX_COLUMNS:,} can be read; remove some."
        )


def _too_long(path: Path) -> TableError:
    return TableError(f"{path}: the file has more than {MAX_ROWS:,} rows; split it.")
