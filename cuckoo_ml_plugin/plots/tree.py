"""The condensed tree of HDBSCAN (Campello et al., TKDD 2015), drawn as hdbscan's own plot draws it."""

from __future__ import annotations

from typing import Any

from cuckoo_ml_plugin.landscape.colours import colours_of
from cuckoo_ml_plugin.landscape.landscape import Landscape, offsets
from cuckoo_ml_plugin.plots.style import GREY, draw_notice, figure, name_of, plain

MOST_NAMES = 40
_ROOM = 0.012  # share of the width that a name takes; narrower clusters are not named


@plain
def condensed_tree(scene: Landscape) -> Any:
    """Groups from sparse (top) to dense (bottom), as wide as they are large. Clusters have their families' colours."""
    drawing = figure(9.0, 5.5)
    axes = drawing.add_subplot()
    tree = scene.tree
    if len(tree.parents) < 2:
        draw_notice(axes, "There is no tree: the clustering is not HDBSCAN's, or it has only one group.")
        return drawing
    starts = offsets(tree)
    narrowest = _ROOM * float(tree.sizes[0])
    named: set[int] = set()
    colours = colours_of(scene).clusters
    for node in range(len(tree.parents)):
        cluster = int(tree.clusters[node])
        colour = GREY if cluster < 0 else colours[cluster]
        height = max(tree.deaths[node] - tree.births[node], 0.01)
        axes.bar(
            starts[node], height, tree.sizes[node], tree.births[node], align="edge", color=colour,
            alpha=0.35 if cluster < 0 else 0.9, edgecolor="white", linewidth=0.3,
        )  # fmt: skip
        if cluster >= 0 and cluster not in named and len(named) < MOST_NAMES and tree.sizes[node] >= narrowest:
            named.add(cluster)
            style = {"rotation": 90, "va": "top", "ha": "center", "fontsize": 6}
            axes.text(starts[node] + tree.sizes[node] / 2, tree.births[node] + height,
                      f" {name_of(scene.clusters[cluster].name, 18)} ", **style)  # fmt: skip
    axes.set_xlim(0, float(tree.sizes[0]))
    axes.set_ylim(float(tree.deaths.max()) * 1.15, 0)  # room for the names
    axes.set_xlabel("analyses")
    axes.set_ylabel("density (1 / distance)")
    axes.set_title(f"Condensed tree: {len(tree.parents):,} groups, {len(scene.clusters):,} clusters")
    return drawing
