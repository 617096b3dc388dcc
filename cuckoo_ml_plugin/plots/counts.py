"""Abnormal behaviour: the count features with what lies outside of what is usual."""

from __future__ import annotations

from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.style import ACCENT, WARN, figure, nothing, plain

MOST_COUNTS = 30
_FAR = 3.0  # interquartile ranges, as the seed's outliers


@plain
def abnormal_counts(scene: Landscape) -> Any:
    """A box plot of each count feature on a logarithmic scale; outliers beyond 3 interquartile ranges stand out."""
    kept = [i for i in range(len(scene.count_names)) if np.nan_to_num(scene.counts[:, i]).any()]
    spread = {i: _outliers(scene.counts[:, i]) for i in kept}
    chosen = sorted(kept, key=lambda i: (-len(spread[i]), scene.count_names[i]))[:MOST_COUNTS]
    made = figure(8.0, 0.9 + 0.26 * max(len(chosen), 6))
    axes = made.add_subplot()
    if not chosen:
        nothing(axes, "There are no counts.")
        return made
    columns = [scene.counts[np.isfinite(scene.counts[:, i]), i] for i in chosen]
    names = [f"{scene.count_names[i].replace('_', ' ')} ({len(spread[i]):,})" for i in chosen]
    colours = {"boxprops": {"facecolor": "#cfdeed", "edgecolor": ACCENT}, "medianprops": {"color": ACCENT}}
    axes.boxplot(columns, orientation="horizontal", whis=1.5, showfliers=False, patch_artist=True, **colours)
    for row, i in enumerate(chosen, start=1):
        axes.plot(spread[i], np.full(len(spread[i]), row), ".", color=WARN, markersize=3, alpha=0.6, rasterized=True)
    axes.set_yticks(range(1, len(chosen) + 1), names)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.invert_yaxis()
    axes.set_title("Counts, and those beyond 3 interquartile ranges (their number in brackets)")
    return made


def _outliers(values: Any) -> Any:
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.25, 0.75])
    reach = _FAR * (high - low)
    return known[(known > high + reach) | (known < low - reach)] if high > low else known[:0]
