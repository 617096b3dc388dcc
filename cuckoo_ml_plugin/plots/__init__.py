"""Pictures of a clustering with matplotlib, each a function from a :class:`~..atlas.landscape.Landscape` to a figure.

    from cuckoo_ml_plugin.plots import PLOTS, write_plots
    PLOTS["map"](landscape(engine)).savefig("map.svg")

Names in the pictures come from reports and labels: they are cut and drawn as plain text.
"""

from cuckoo_ml_plugin.plots.counts import abnormal_counts
from cuckoo_ml_plugin.plots.distributions import distributions
from cuckoo_ml_plugin.plots.growth import growth
from cuckoo_ml_plugin.plots.labels import label_bars
from cuckoo_ml_plugin.plots.places import corpus_map
from cuckoo_ml_plugin.plots.tree import condensed_tree
from cuckoo_ml_plugin.plots.write import PLOTS, write_plots

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
