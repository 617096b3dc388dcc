"""The growth of the clusters over time."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.colours import colours_of
from cuckoo_ml_plugin.landscape.landscape import UNKNOWN_DAY, Landscape
from cuckoo_ml_plugin.plots.style import GREY, draw_notice, figure, name_of, plain
from cuckoo_ml_plugin.plumbing.extras import optional_package

MOST_CLUSTERS = 9
_HATCHES = ("", "///", "...", "xxx", "---")  # tell clusters of one family, and so of one colour, apart


@plain
def growth(scene: Landscape) -> Any:
    """The number of analyses up to each day, stacked: the nine largest clusters, the other clusters, and noise."""
    drawing = figure(8.0, 4.5)
    axes = drawing.add_subplot()
    dated = scene.days != UNKNOWN_DAY
    if not dated.any():
        draw_notice(axes, "No analysis has a date.")
        return drawing
    first, last = int(scene.days[dated].min()), int(scene.days[dated].max())
    days = np.arange(first, last + 1) if last - first < 4_000 else np.unique(scene.days[dated])
    largest = sorted(range(len(scene.clusters)), key=lambda i: (-scene.clusters[i].size, i))[:MOST_CLUSTERS]
    cluster_of = scene.cluster_of
    parts = [(name_of(scene.clusters[i].name), cluster_of == i) for i in largest]
    parts.append(("other clusters", (cluster_of >= 0) & ~np.isin(cluster_of, largest)))
    parts.append(("no cluster", cluster_of < 0))
    curves = [np.searchsorted(np.sort(scene.days[dated & members]), days, side="right") for _, members in parts]
    days, curves = np.append(days, last + 1), [np.append(curve, curve[-1]) for curve in curves]
    dates = [date(1970, 1, 1) + timedelta(days=int(day)) for day in days]
    of_clusters = colours_of(scene).clusters
    colours = [of_clusters[i] for i in largest]
    hatches = [_HATCHES[colours[:rank].count(colour) % len(_HATCHES)] for rank, colour in enumerate(colours)]
    style = {"edgecolor": "white", "linewidth": 0.3, "step": "post"}
    axes.stackplot(dates, curves, labels=[name for name, _ in parts], colors=[*colours, "#c4cbd2", GREY],
                   hatch=[*hatches, "", ""], **style)  # fmt: skip
    axes.set_ylabel("analyses so far")
    axes.set_title("Growth of the clusters")
    ticks = optional_package("matplotlib.dates", "Plots")
    locator = ticks.AutoDateLocator(minticks=2, maxticks=10, interval_multiples=True)
    locator.intervald[ticks.HOURLY] = [24]  # no ticks finer than a day
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ticks.ConciseDateFormatter(locator))
    # Beside the plot, where it hides none of the curves, and in the order of the stack.
    drawing.legend(*(part[::-1] for part in axes.get_legend_handles_labels()), loc="outside right upper", frameon=False,
                fontsize=7)  # fmt: skip
    return drawing
