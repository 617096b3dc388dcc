"""What the clusters are made of."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.style import GREY, PALETTE, figure, name_of, nothing, plain

MOST_CLUSTERS = 30


@plain
def label_bars(scene: Landscape) -> Any:
    """A bar for each of the largest clusters, divided by label; the nine commonest labels have their own colours."""
    made = figure(8.0, 0.8 + 0.24 * min(max(len(scene.clusters), 6), MOST_CLUSTERS))
    axes = made.add_subplot()
    shown = sorted(scene.clusters, key=lambda one: (-one.size, one.id))[:MOST_CLUSTERS]
    if not shown:
        nothing(axes, "The model has no clusters.")
        return made
    totals: Counter[str] = Counter()
    for one in scene.clusters:
        totals.update(one.labels)
    commonest = [label for label, _ in totals.most_common(len(PALETTE) - 1)]
    rows = np.arange(len(shown))
    left = np.zeros(len(shown))
    for number, label in enumerate(commonest):
        widths = np.array([one.labels.get(label, 0) for one in shown], float)
        axes.barh(rows, widths, left=left, color=PALETTE[number], label=name_of(label))
        left += widths
    others = np.array([sum(n for label, n in one.labels.items() if label not in commonest) for one in shown], float)
    axes.barh(rows, others, left=left, color=GREY, label="other labels" if others.any() else None)
    left += others
    rest = np.maximum(np.array([one.size for one in shown]) - left, 0)
    empty = {"color": "none", "edgecolor": GREY, "linewidth": 0.6}
    axes.barh(rows, rest, left=left, label="no label" if rest.any() else None, **empty)
    axes.set_yticks(rows, [name_of(one.name) for one in shown])
    axes.invert_yaxis()
    axes.set_xlabel("analyses")
    axes.set_title(f"Labels in the {len(shown)} largest of {len(scene.clusters):,} clusters")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return made
