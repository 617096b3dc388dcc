"""The labels in the clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.colours import colours_of
from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.style import GREY, draw_notice, figure, name_of, plain

MOST_CLUSTERS = 30
MOST_NAMED = 20  # families in the legend


@plain
def label_bars(scene: Landscape) -> Any:
    """A bar for each of the largest clusters, divided by label. The legend names the commonest."""
    drawing = figure(8.0, 0.8 + 0.24 * min(max(len(scene.clusters), 6), MOST_CLUSTERS))
    axes = drawing.add_subplot()
    shown = sorted(scene.clusters, key=lambda cluster: (-cluster.size, cluster.id))[:MOST_CLUSTERS]
    if not shown:
        draw_notice(axes, "The model has no clusters.")
        return drawing
    families = {family: colour for family, colour in colours_of(scene).families.items()
                if any(family in cluster.labels for cluster in shown)}  # fmt: skip
    rows = np.arange(len(shown))
    offsets = np.zeros(len(shown))
    for number, (label, colour) in enumerate(families.items()):
        widths = np.array([cluster.labels.get(label, 0) for cluster in shown], float)
        axes.barh(rows, widths, left=offsets, color=colour, label=name_of(label) if number < MOST_NAMED else None)
        offsets += widths
    unlabelled = np.maximum(np.array([cluster.size for cluster in shown]) - offsets, 0)
    empty = {"color": "none", "edgecolor": GREY, "linewidth": 0.6}
    axes.barh(rows, unlabelled, left=offsets, label="no label" if unlabelled.any() else None, **empty)
    axes.set_yticks(rows, [name_of(cluster.name) for cluster in shown])
    axes.invert_yaxis()
    axes.set_xlabel("analyses")
    axes.set_title(f"Labels in the {len(shown)} largest of {len(scene.clusters):,} clusters")
    if len(families) > MOST_NAMED:
        axes.plot([], [], " ", label=f"and {len(families) - MOST_NAMED:,} more labels")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return drawing
