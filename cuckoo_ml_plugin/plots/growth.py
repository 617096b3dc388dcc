"""How the clusters grew."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.landscape import UNKNOWN_DAY, Landscape
from cuckoo_ml_plugin.plots.style import GREY, PALETTE, figure, name_of, nothing, plain
from cuckoo_ml_plugin.plumbing.extras import desk_package


@plain
def growth(scene: Landscape) -> Any:
    """Analyses so far, day by day: the nine largest clusters, all other clusters, and those in none."""
    made = figure(8.0, 4.5)
    axes = made.add_subplot()
    known = scene.days != UNKNOWN_DAY
    if not known.any():
        nothing(axes, "No analysis says when it was made.")
        return made
    first, last = int(scene.days[known].min()), int(scene.days[known].max())
    days = np.arange(first, last + 1) if last - first < 4_000 else np.unique(scene.days[known])
    largest = sorted(range(len(scene.clusters)), key=lambda i: (-scene.clusters[i].size, i))[: len(PALETTE) - 1]
    of_cluster = scene.cluster_of
    parts = [(name_of(scene.clusters[i].name), of_cluster == i) for i in largest]
    parts.append(("other clusters", (of_cluster >= 0) & ~np.isin(of_cluster, largest)))
    parts.append(("no cluster", of_cluster < 0))
    curves = [np.searchsorted(np.sort(scene.days[known & chosen]), days, side="right") for _, chosen in parts]
    days, curves = np.append(days, last + 1), [np.append(curve, curve[-1]) for curve in curves]
    dates = [date(1970, 1, 1) + timedelta(days=int(day)) for day in days]
    axes.stackplot(dates, curves, labels=[name for name, _ in parts],
                   colors=[*PALETTE[: len(largest)], "#c4cbd2", GREY], step="post")  # fmt: skip
    axes.set_ylabel("analyses so far")
    axes.set_title("Growth of the clusters")
    ticks = desk_package("matplotlib.dates", "Plots")
    locator = ticks.AutoDateLocator(minticks=2, maxticks=10, interval_multiples=True)
    locator.intervald[ticks.HOURLY] = [24]  # days are the finest that is known
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ticks.ConciseDateFormatter(locator))
    # Beside the picture, in the order of the stack: above it the legend would hide what grew first.
    made.legend(*(part[::-1] for part in axes.get_legend_handles_labels()), loc="outside right upper", frameon=False,
                fontsize=7)  # fmt: skip
    return made
