"""A table of what was measured at several sizes of a corpus, with the ratio to the smallest."""

from __future__ import annotations

from rich.table import Table


def by_size(title: str, sizes: list[int], measured: list[dict[str, float]], digits: int) -> Table:
    """``measured``: name -> value, one for each size; all have the same names."""
    table = Table(title=title, caption=f"ratio: to {sizes[0]:,} analyses")
    table.add_column("what")
    for size in sizes:
        table.add_column(f"{size:,} analyses", justify="right")
    table.add_column("ratio", justify="right")
    for name in measured[0]:
        values = [one[name] for one in measured]
        table.add_row(name, *(f"{value:.{digits}f}" for value in values), f"{values[-1] / max(values[0], 1e-9):.1f}")
    return table
