"""What people look at: tables and progress. Answers go to standard output, everything else to standard error."""

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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cuckoo_ml_plugin.plumbing.text import display_text

_PIPED_WIDTH = 160  # of a table that goes to a file or a program: 80 would break most lines
_IDS = frozenset(("analysis", "model"))  # columns whose values are copied: never broken
_LONGEST_ID = 80


def _console(stream: TextIO, **options: Any) -> Console:
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPED_WIDTH
    return Console(highlight=False, width=width, **options)


answers = _console(sys.stdout)
errors = _console(sys.stderr, stderr=True)


def safe(value: object, limit: int = 120) -> Text:
    """A value that came from malware, as plain text: no markup, no control characters, not longer than ``limit``."""
    return Text(display_text(value, limit))


def show_error(error: Exception) -> None:
    """An error that does not end the command: one sentence, under ``--debug`` with its traceback."""
    if click.get_current_context().find_root().params.get("debug"):
        for line in "".join(traceback.format_exception(error)).splitlines():
            errors.print(safe(line, 600), soft_wrap=True)
    errors.print(safe(f"Error: {error}", 600), style="red", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> Table:
    """A table whose cells are made safe; ``numbers`` are the columns to align right."""
    made = Table(title=safe(title), title_justify="left", title_style="bold", header_style="bold", expand=False)
    for position, name in enumerate(columns):
        longest = max((len(str(row[position])) for row in rows), default=0) if name in _IDS else 0
        made.add_column(
            name,
            justify="right" if position in numbers else "left",
            overflow="fold",
            min_width=min(longest, _LONGEST_ID) or None,
        )
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else safe("" if cell is None else cell) for cell in row))
    return made


def answer_json(value: Any) -> None:
    """Print one JSON value, as an answer for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False))


def share(value: float | None) -> str:
    """A share as an analyst reads it."""
    return "" if value is None else f"{value:.2f}"


def score_text(value: float | None) -> str:
    """An anomaly score, cut and not rounded: what is shown reaches a threshold only when the score does."""
    return "" if value is None else f"{math.floor(value * 1000 + 1e-9) / 1000:.3f}"


def short(sha256: str | None) -> str:
    """The start of a hash: enough to tell files apart, and to search for."""
    return f"{sha256[:16]}…" if sha256 else ""


@contextmanager
def progress_bar(what: str) -> Iterator[Any]:
    """A bar on standard error; gives a function to call with (done, total)."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int, *_: object) -> None:
            bar.update(task, completed=done, total=total)

        yield tell
