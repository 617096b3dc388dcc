"""The labels in the clusters."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.style import GREY, PALETTE, draw_notice, figure, name_of, plain

MOST_CLUSTERS = 30


@plain
def label_bars(scene: Landscape) -> Any:
    """A bar for each of the largest clusters, divided by label. The nine commonest labels have colours of their own."""
    drawing = figure(8.0, 0.8 + 0.24 * min(max(len(scene.clusters), 6), MOST_CLUSTERS))
    axes = drawing.add_subplot()
    shown = sorted(scene.clusters, key=lambda cluster: (-cluster.size, cluster.id))[:MOST_CLUSTERS]
    if not shown:
        draw_notice(axes, "The model has no clusters.")
        return drawing
    totals: Counter[str] = Counter()
    for cluster in scene.clusters:
        totals.update(cluster.labels)
    commonest = [label for label, _ in totals.most_common(len(PALETTE) - 1)]
    rows = np.arange(len(shown))
    offsets = np.zeros(len(shown))
    for number, label in enumerate(commonest):
        widths = np.array([cluster.labels.get(label, 0) for cluster in shown], float)
        axes.barh(rows, widths, left=offsets, color=PALETTE[number], label=name_of(label))
        offsets += widths
    others = np.array(
        [sum(n for label, n in cluster.labels.items() if label not in commonest) for cluster in shown], float
    )
    axes.barh(rows, others, left=offsets, color=GREY, label="other labels" if others.any() else None)
    offsets += others
    unlabelled = np.maximum(np.array([cluster.size for cluster in shown]) - offsets, 0)
    empty = {"color": "none", "edgecolor": GREY, "linewidth": 0.6}
    axes.barh(rows, unlabelled, left=offsets, label="no label" if unlabelled.any() else None, **empty)
    axes.set_yticks(rows, [name_of(cluster.name) for cluster in shown])
    axes.invert_yaxis()
    axes.set_xlabel("analyses")
    axes.set_title(f"Labels in the {len(shown)} largest of {len(scene.clusters):,} clusters")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return drawing
