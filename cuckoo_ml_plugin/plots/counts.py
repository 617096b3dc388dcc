"""Abnormal behaviour: the distributions of the counts, with their outliers."""

from __future__ import annotations

from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.style import ACCENT, WARN, draw_notice, figure, plain

MOST_COUNTS = 30
_FAR = 3.0  # interquartile ranges from the quartiles, as for the seed's outliers


@plain
def abnormal_counts(scene: Landscape) -> Any:
    """A box plot of each count on a logarithmic scale, with the values beyond 3 interquartile ranges as dots."""
    columns = [i for i in range(len(scene.count_names)) if np.nan_to_num(scene.counts[:, i]).any()]
    outliers = {i: _outliers(scene.counts[:, i]) for i in columns}
    chosen = sorted(columns, key=lambda i: (-len(outliers[i]), scene.count_names[i]))[:MOST_COUNTS]
    drawing = figure(8.0, 0.9 + 0.26 * max(len(chosen), 6))
    axes = drawing.add_subplot()
    if not chosen:
        draw_notice(axes, "There are no counts.")
        return drawing
    values = [scene.counts[np.isfinite(scene.counts[:, i]), i] for i in chosen]
    names = [f"{scene.count_names[i].replace('_', ' ')} ({len(outliers[i]):,})" for i in chosen]
    colours = {"boxprops": {"facecolor": "#cfdeed", "edgecolor": ACCENT}, "medianprops": {"color": ACCENT}}
    axes.boxplot(values, orientation="horizontal", whis=1.5, showfliers=False, patch_artist=True, **colours)
    for row, i in enumerate(chosen, start=1):
        axes.plot(
            outliers[i], np.full(len(outliers[i]), row), ".", color=WARN, markersize=3, alpha=0.6, rasterized=True
        )
    axes.set_yticks(range(1, len(chosen) + 1), names)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.invert_yaxis()
    axes.set_title("Counts and their outliers beyond 3 interquartile ranges (number in brackets)")
    return drawing


def _outliers(values: Any) -> Any:
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.25, 0.75])
    reach = _FAR * (high - low)
    return finite[(finite > high + reach) | (finite < low - reach)] if high > low else finite[:0]
