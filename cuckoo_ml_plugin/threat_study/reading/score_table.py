"""A table of threat scores: rows by device and domain, a column of scores in [0, 1] for each answer of a provider."""

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
_RESULTS = ("score", "joint", "prediction", "error")  # columns that such a study adds: no provider's scores


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How a file is to be read; columns by name, ``percent`` and ``leave_out`` also by provider."""

    device: str = "device"
    domain: str = "domain"
    count: str = "count"
    percent: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    clip: bool = False


@dataclass(slots=True)
class ScoreTable:
    """What was read, n rows and c columns of scores."""

    columns: list[str]  # c, such as "vt.urls"
    providers: list[str]  # of each column, such as "vt"
    scores: Floats  # (n, c) in [0, 1]; NaN where nothing is said
    devices: list[str] | None  # n
    domains: list[str] | None  # n
    counts: Floats | None  # (n,)
    notes: list[str] = field(default_factory=list)  # what the reader should know, a sentence each
    device_word: str = "device"  # what `devices` and `domains` are called
    domain_word: str = "domain"


def provider_of(column: str) -> str:
    """The provider of a column: what stands before the first dot, or all of it."""
    return column.partition(".")[0]


def read_score_table(path: Path, options: ReadingOptions | None = None) -> ScoreTable:
    """Read a CSV or Parquet file.

    Columns with a dot, such as ``vt.urls``, hold scores of the provider before the dot. Where there is none, every
    column of numbers is a provider of its own, but those of the keys and of earlier results (score, prediction).

    Raises:
        TableError: the file is no such table; the sentence names line and column.
        CuckooMLError: the file is Parquet and pyarrow is not installed.
        OSError: there is no such file, or it cannot be read.
    """
    options = options or ReadingOptions()
    source = open_source(path)
    _check_header(path, source.header, options)
    keys = {key: _position(source.header, getattr(options, key)) for key in ("device", "domain", "count")}
    wanted = _score_columns(source.header, keys, options)
    columns = {
        position: ScoreColumn(name, _named(name, options.percent), options.clip, source.decimal_comma)
        for position, name in wanted.items()
    }
    counts = ScoreColumn(options.count, decimal_comma=source.decimal_comma)
    names = _fill(source, columns, keys, counts)
    table = _checked(path, source.unit, list(columns.values()))
    table.devices = names["device"]
    table.domains = names["domain"]
    table.counts = None if keys["count"] is None else _checked_counts(path, counts)
    if not len(table.scores):
        raise TableError(f"{path}: has names of columns, but no row; give it at least one.")
    return table


def _check_header(path: Path, header: Sequence[str], options: ReadingOptions) -> None:
    seen = set()
    for name in header:
        if name and name in seen:
            raise TableError(f"{path}: has two columns {name!r}; rename one of them.")
        seen.add(name)
    defaults = ReadingOptions()
    for key in ("device", "domain", "count"):
        asked = getattr(options, key)
        if asked != getattr(defaults, key) and asked not in seen:
            raise TableError(f"{path}: has no column {asked!r} for --{key}; it has {_some(header)}.")
    for option, asked_for in (("--percent", options.percent), ("--leave-out", options.leave_out)):
        for asked in asked_for:
            if not any(_named(name, (asked,)) for name in header):
                raise TableError(f"{path}: has no column or provider {asked!r} for {option}; it has {_some(header)}.")


def _position(header: Sequence[str], name: str) -> int | None:
    exact = [i for i, one in enumerate(header) if one == name]
    alike = [i for i, one in enumerate(header) if one.lower() == name.lower()]
    return next(iter(exact or alike), None)


def _named(column: str, names: Sequence[str]) -> bool:
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
        i: name for i, name in free.items() if name.lower() not in _RESULTS and not name.lower().endswith("prediction")
    }
    return {i: name for i, name in (dotted or plain).items() if not _named(name, options.leave_out)}


def _fill(
    source: Source, columns: dict[int, ScoreColumn], keys: dict[str, int | None], counts: ScoreColumn
) -> dict[str, list[str] | None]:
    """Hand every cell to its column; return the names of devices and domains."""
    names: dict[str, list[str] | None] = {key: None if keys[key] is None else [] for key in ("device", "domain")}
    known: dict[str, str] = {}  # each name once in memory, however often it is repeated
    for where, cells in source.rows:
        width = len(cells)
        for position, column in columns.items():
            column.add(cells[position] if position < width else None, where)
        for key, found in names.items():
            position = keys[key] or 0
            if found is not None:
                name = _name(cells[position] if position < width else None)
                found.append(known.setdefault(name, name))
        if (at := keys["count"]) is not None:
            counts.add(cells[at] if at < width else None, where)
    return names


def _checked_counts(path: Path, column: ScoreColumn) -> Floats:
    """Raises TableError for what is no count."""
    counts = column.array()
    wrong = counts[(counts < 0) | np.isinf(counts)]
    if len(wrong):
        raise TableError(f"{path}: column {column.name} holds {wrong[0]:g}; how often a domain was seen is 0 or more.")
    return counts


def _name(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()[:500]


def _checked(path: Path, unit: str, columns: list[ScoreColumn]) -> ScoreTable:
    """The table of all columns that hold scores. Raises TableError if one holds both scores and something else."""
    notes = []
    kept = []
    for column in columns:
        if column.first_text and not column.numbers:
            notes.append(f"Column {column.name} holds no numbers and is passed over.")
            continue
        if column.first_text:
            where, text = column.first_text
            raise TableError(
                f"{path}: {unit} {where}, column {column.name}: {text!r} is no score; correct it, "
                f"or leave the column out with --leave-out {column.name}."
            )
        if column.first_outside:
            where, value = column.first_outside
            raise TableError(
                f"{path}: {unit} {where}, column {column.name}: {value:g} lies outside "
                f"{'0 to 100 %' if column.percent else '[0, 1]'}; say --percent {column.name} if the column holds "
                f"percentages, --leave-out {column.name} if it holds no scores, or --clip to cut such values off."
            )
        kept.append(column)
    if not kept:
        raise TableError(
            f"{path}: has no column of scores; name such columns PROVIDER.ANSWER, as in vt.urls, or just PROVIDER."
        )
    scores = np.column_stack([column.array() for column in kept])
    names = [column.name for column in kept]
    return ScoreTable(names, [provider_of(name) for name in names], scores, None, None, None, notes)


def _some(names: Iterable[str]) -> str:
    shown = [name[:60] for name in names if name]
    return ", ".join(shown[:8]) + (" and others" if len(shown) > 8 else "")
