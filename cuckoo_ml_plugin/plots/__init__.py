"""Plots of a clustering, drawn with matplotlib.

    from cuckoo_ml_plugin.plots import PLOTS, write_plots
    PLOTS["map"](landscape(engine)).savefig("map.svg")

Comes in: a `Landscape`, the model and its corpus as the room `landscape` gathers them. Goes out: a matplotlib figure
for each plot, or files of all plots. Names in the plots come from reports and labels; they are cut and drawn as plain
text.

Imports `landscape` and the rooms below it. Matplotlib itself is imported only when a plot is drawn.
"""

from cuckoo_ml_plugin.plots.counts import abnormal_counts
from cuckoo_ml_plugin.plots.distributions import distributions
from cuckoo_ml_plugin.plots.growth import growth
from cuckoo_ml_plugin.plots.labels import label_bars
from cuckoo_ml_plugin.plots.map import corpus_map
from cuckoo_ml_plugin.plots.plot_files import PLOTS, write_plots
from cuckoo_ml_plugin.plots.tree import condensed_tree

__all__ = [
    "PLOTS",
    "abnormal_counts",
    "condensed_tree",
    "corpus_map",
    "distributions",
    "growth",
    "label_bars",
    "write_plots",
]
