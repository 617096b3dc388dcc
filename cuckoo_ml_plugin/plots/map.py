"""The map of the corpus."""

from __future__ import annotations

from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.colours import colours_of
from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.style import GREY, draw_notice, figure, name_of, plain

MOST_NAMES = 25


@plain
def corpus_map(scene: Landscape) -> Any:
    """A dot for each behaviour, placed by t-SNE, sized by its analyses, coloured by its cluster's family or grey."""
    drawing = figure(8.0, 8.0)
    axes = drawing.add_subplot()
    if not len(scene.places):
        draw_notice(axes, "The model has no analyses.")
        return drawing
    sizes = np.sqrt(np.bincount(scene.point_of, minlength=len(scene.places)))
    order = np.argsort(scene.labels, kind="stable")  # noise is drawn first
    of_clusters = colours_of(scene).clusters
    colours = np.array([GREY if label < 0 else of_clusters[label] for label in scene.labels.tolist()])
    scale = 14 if len(scene.places) < 3_000 else 4
    x, y = scene.places[order].T
    axes.scatter(x, y, s=scale * sizes[order], c=colours[order], linewidths=0, alpha=0.8, rasterized=True)
    largest = sorted(range(len(scene.clusters)), key=lambda i: -scene.clusters[i].size)[:MOST_NAMES]
    for cluster in largest:
        places = scene.places[scene.labels == cluster]
        x, top = float(np.median(places[:, 0])), float(np.quantile(places[:, 1], 0.95))
        name = name_of(scene.clusters[cluster].name, 20)
        text = axes.text(x, top + 0.012, name, fontsize=7, ha="center", va="bottom")
        text.set_bbox({"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.6})
    axes.set_axis_off()
    axes.set_aspect("equal")
    clustered = float(np.mean(scene.cluster_of >= 0)) if len(scene.point_of) else 0.0
    axes.set_title(f"{len(scene.analyses):,} analyses; {len(scene.clusters):,} clusters hold {clustered:.0%} of them")
    return drawing
