"""A table of threat scores: a row for each domain on a device, a column in [0, 1] for each answer of a provider."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.errors import TableError
from cuckoo_ml_plugin.threat_study.reading.cells import ScoreColumn
from cuckoo_ml_plugin.threat_study.reading.sources import Source, open_source

Floats = NDArray[np.float64]
_RESULTS = ("score", "joint", "prediction", "error")  # columns that a study adds
SPREADS = ("mean", "highest")  # after a provider's name, and a space: columns that a study adds beside the provider's


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """Options for reading a file. They name columns; ``percent`` and ``leave_out`` may name providers, too."""

    device: str = "device"
    domain: str = "domain"
    count: str = "count"
    percent: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    clip: bool = False


@dataclass(slots=True)
class ScoreTable:
    """The scores of a file, n rows and c columns."""

    columns: list[str]  # c, such as "vt.urls"
    providers: list[str]  # of each column, such as "vt"
    scores: Floats  # (n, c) in [0, 1]; NaN where a provider has no score
    devices: list[str] | None  # n
    domains: list[str] | None  # n
    counts: Floats | None  # (n,)
    notes: list[str] = field(default_factory=list)  # remarks for the reader, each a sentence
    device_word: str = "device"  # the word for each of `devices` in results; likewise for `domains`
    domain_word: str = "domain"
    beside: frozenset[str] = frozenset()  # the providers that are no exchange; all others are in sum and joint score


def provider_of(column: str) -> str:
    """The provider of a column: its name up to the first dot."""
    return column.partition(".")[0]


def read_score_table(path: Path, options: ReadingOptions | None = None) -> ScoreTable:
    """Read a CSV or Parquet file.

    Columns with a dot, such as ``vt.urls``, hold scores of the provider before the dot. Without such columns, every
    column of numbers is a provider, except keys and results of an earlier study (score, prediction).

    Raises:
        TableError: the file is not a table of scores; the message names line and column.
        CuckooMLError: the file is Parquet and pyarrow is not installed.
        OSError: there is no such file, or it cannot be read.
    """
    options = options or ReadingOptions()
    source = open_source(path)
    _check_header(path, source.header, options)
    keys = {key: _position(source.header, getattr(options, key)) for key in ("device", "domain", "count")}
    names_of_columns = _score_columns(source.header, keys, options)
    columns = {
        position: ScoreColumn(name, _is_named(name, options.percent), options.clip, source.decimal_comma)
        for position, name in names_of_columns.items()
    }
    counts = ScoreColumn(options.count, decimal_comma=source.decimal_comma)
    names = _fill(source, columns, keys, counts)
    table = _checked(path, source.unit, list(columns.values()))
    table.devices = names["device"]
    table.domains = names["domain"]
    table.counts = None if keys["count"] is None else _checked_counts(path, counts)
    if not len(table.scores):
        raise TableError(f"{path}: the file has a header, but no row; add at least one.")
    return table


def _check_header(path: Path, header: Sequence[str], options: ReadingOptions) -> None:
    names = set()
    for name in header:
        if name and name in names:
            raise TableError(f"{path}: there are two columns {name!r}; rename one of them.")
        names.add(name)
    defaults = ReadingOptions()
    for key in ("device", "domain", "count"):
        column = getattr(options, key)
        if column != getattr(defaults, key) and column not in names:
            raise TableError(f"{path}: there is no column {column!r} for --{key}; choose from {_first_names(header)}.")
    for option, values in (("--percent", options.percent), ("--leave-out", options.leave_out)):
        for value in values:
            if not any(_is_named(column, (value,)) for column in header):
                raise TableError(
                    f"{path}: there is no column or provider {value!r} for {option}; "
                    f"choose from {_first_names(header)}."
                )


def _position(header: Sequence[str], name: str) -> int | None:
    """The position of a column; if no name is equal, of one that differs in case only; None if there is none."""
    equal = [i for i, column in enumerate(header) if column == name]
    equal_but_for_case = [i for i, column in enumerate(header) if column.lower() == name.lower()]
    return next(iter(equal or equal_but_for_case), None)


def _is_named(column: str, names: Sequence[str]) -> bool:
    return column in names or provider_of(column) in names


def _score_columns(header: Sequence[str], keys: dict[str, int | None], options: ReadingOptions) -> dict[int, str]:
    """Position and name of each column that may hold scores."""
    free = {
        i: name
        for i, name in enumerate(header)
        if i not in keys.values() and name and not name.startswith(("__index", "Unnamed:"))
    }
    dotted = {i: name for i, name in free.items() if "." in name.strip(".") and provider_of(name)}
    plain = {
        i: name
        for i, name in free.items()
        if name.lower() not in _RESULTS and not name.lower().endswith("prediction") and not _is_spread(name, header)
    }
    return {i: name for i, name in (dotted or plain).items() if not _is_named(name, options.leave_out)}


def _is_spread(name: str, header: Sequence[str]) -> bool:
    """Whether a column is the mean or the highest that a study has put beside the column of a provider."""
    provider, _, word = name.rpartition(" ")
    return word in SPREADS and provider in header


def _fill(
    source: Source, columns: dict[int, ScoreColumn], keys: dict[str, int | None], counts: ScoreColumn
) -> dict[str, list[str] | None]:
    """Add every cell to its column; return the names of devices and domains."""
    names: dict[str, list[str] | None] = {key: None if keys[key] is None else [] for key in ("device", "domain")}
    interned: dict[str, str] = {}  # keeps each name in memory once
    for where, cells in source.rows:
        width = len(cells)
        for position, column in columns.items():
            column.add(cells[position] if position < width else None, where)
        for key, column_names in names.items():
            position = keys[key] or 0
            if column_names is not None:
                name = _name(cells[position] if position < width else None)
                column_names.append(interned.setdefault(name, name))
        if (count_position := keys["count"]) is not None:
            counts.add(cells[count_position] if count_position < width else None, where)
    return names


def _checked_counts(path: Path, column: ScoreColumn) -> Floats:
    """The counts. Raises TableError if one is negative or infinite."""
    counts = column.array()
    invalid = counts[(counts < 0) | np.isinf(counts)]
    if len(invalid):
        raise TableError(f"{path}: column {column.name} holds {invalid[0]:g}; a count must be 0 or more and finite.")
    return counts


def _name(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()[:500]


def _checked(path: Path, unit: str, columns: list[ScoreColumn]) -> ScoreTable:
    """The table of all columns with scores.

    Raises TableError: a column holds numbers and texts, or a number outside [0, 1].
    """
    notes = []
    kept = []
    for column in columns:
        if column.first_text and not column.numbers:
            notes.append(f"Column {column.name} holds no numbers and is ignored.")
            continue
        if column.first_text:
            where, text = column.first_text
            raise TableError(
                f"{path}: {unit} {where}, column {column.name}: {text!r} is not a score; correct it, "
                f"or leave the column out with --leave-out {column.name}."
            )
        if column.first_outside:
            where, value = column.first_outside
            raise TableError(
                f"{path}: {unit} {where}, column {column.name}: {value:g} lies outside "
                f"{'0 to 100 %' if column.percent else '[0, 1]'}; use --percent {column.name} if the column holds "
                f"percentages, --leave-out {column.name} if it holds no scores, or --clip to set such values to 0 or 1."
            )
        kept.append(column)
    if not kept:
        raise TableError(
            f"{path}: there is no column of scores; name such columns PROVIDER.ANSWER, as in vt.urls, or PROVIDER."
        )
    scores = np.column_stack([column.array() for column in kept])
    names = [column.name for column in kept]
    return ScoreTable(names, [provider_of(name) for name in names], scores, None, None, None, notes)


def _first_names(names: Iterable[str]) -> str:
    shown = [name[:60] for name in names if name]
    return ", ".join(shown[:8]) + (" and others" if len(shown) > 8 else "")
