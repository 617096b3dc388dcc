"""A table of measurements at several sizes of a corpus."""

from __future__ import annotations

from rich.table import Table


def by_size(title: str, sizes: list[int], measured: list[dict[str, float]], digits: int) -> Table:
    """A row for each measurement, with its ratio of the last size to the first.

    Args:
        measured: for each size the values by name; all sizes have the same names.
    """
    table = Table(title=title, caption=f"ratio: {sizes[-1]:,} to {sizes[0]:,} analyses")
    table.add_column("what")
    for size in sizes:
        table.add_column(f"{size:,} analyses", justify="right")
    table.add_column("ratio", justify="right")
    for name in measured[0]:
        values = [measurement[name] for measurement in measured]
        table.add_row(name, *(f"{value:.{digits}f}" for value in values), f"{values[-1] / max(values[0], 1e-9):.1f}")
    return table
