"""Output for people and programs: consoles, tables, number formats, JSON and progress bars.

Answers go to standard output. Errors, warnings and progress go to standard error.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.plumbing.text import display_text, printable_values

_PIPED_WIDTH = 160  # columns where the output is not a terminal; 80 would break most lines of a table
_ID_COLUMNS = frozenset(("analysis", "model"))  # users copy these values, so they are never broken into lines
_LONGEST_ID = 80


def _console(stream: TextIO, **options: Any) -> Console:
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPED_WIDTH
    return Console(highlight=False, width=width, **options)


stdout = _console(sys.stdout)
stderr = _console(sys.stderr, stderr=True)


def safe_text(value: object, limit: int = 120) -> Text:
    """Any value, such as one from malware, as plain text without markup or control characters, cut at ``limit``."""
    return Text(display_text(value, limit))


def show_error(error: Exception) -> None:
    """Print an error that does not end the command, as one sentence; with ``--debug`` after its traceback."""
    if click.get_current_context().find_root().params.get("debug"):
        for line in "".join(traceback.format_exception(error)).splitlines():
            stderr.print(safe_text(line, 600), soft_wrap=True)
    stderr.print(safe_text(f"Error: {error}", 600), style="red", soft_wrap=True)


def show_missing(consequence: str, error: MissingPackageError) -> None:
    """Say on standard error what an answer lacks, and the command that installs what it needs."""
    stderr.print(safe_text(f"{consequence}: {error}", 1000), style="yellow", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> Table:
    """A table with every cell made safe; ``numbers`` are the positions of right-aligned columns."""
    result = Table(title=safe_text(title), title_justify="left", title_style="bold", header_style="bold", expand=False)
    for position, name in enumerate(columns):
        longest = max((len(str(row[position])) for row in rows), default=0) if name in _ID_COLUMNS else 0
        result.add_column(
            name,
            justify="right" if position in numbers else "left",
            overflow="fold",
            min_width=min(longest, _LONGEST_ID) or None,
        )
    for row in rows:
        result.add_row(*(cell if isinstance(cell, Text) else safe_text("" if cell is None else cell) for cell in row))
    return result


def print_json(value: Any) -> None:
    """Print one JSON value, for programs; parts of a finding may be in it."""
    click.echo(json.dumps(printable_values(msgspec.to_builtins(value)), indent=2, ensure_ascii=True, allow_nan=False))


def share_text(value: float | None) -> str:
    """A share with two decimals."""
    return "" if value is None else f"{value:.2f}"


def score_text(value: float | None) -> str:
    """An anomaly score, truncated: a rounded score could appear to reach a threshold that it does not reach."""
    return "" if value is None else f"{math.floor(value * 1000 + 1e-9) / 1000:.3f}"


def short_hash(sha256: str | None) -> str:
    """The start of a hash: enough to tell files apart and to search for."""
    return f"{sha256[:16]}…" if sha256 else ""


@contextmanager
def progress_bar(description: str) -> Iterator[Any]:
    """A bar on standard error; yields a function to call with (done, total)."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=None)

        def update(done: int, total: int, *_: object) -> None:
            bar.update(task, completed=done, total=total)

        yield update
