"""The distributions of membership probabilities, outlier scores and anomaly scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.style import ACCENT, GREY, WARN, figure, plain

_BINS = np.linspace(0, 1, 41)


@plain
def distributions(scene: Landscape) -> Any:
    """Histograms over the analyses: membership probability, outlier score (GLOSH), anomaly score."""
    drawing = figure(9.0, 3.2)
    left, middle, right = drawing.subplots(1, 3)
    clustered = scene.cluster_of >= 0
    left.hist(scene.certainties[scene.point_of][clustered], bins=_BINS, color=ACCENT)
    left.set_title("Membership probability")
    left.set_xlabel(f"{int((~clustered).sum()):,} in no cluster are left out")
    outliers = scene.outlier_scores[scene.point_of]
    middle.hist([outliers[clustered], outliers[~clustered]], bins=_BINS, color=[ACCENT, GREY], stacked=True,
                label=["in a cluster", "in none"])  # fmt: skip
    middle.set_title("Outlier score (GLOSH)")
    middle.legend(frameon=False, fontsize=7)
    scores = scene.anomaly_scores[scene.point_of]
    right.hist(scores, bins=_BINS, color=ACCENT)
    right.axvline(scene.threshold, color=WARN, linewidth=1)
    right.set_title("Anomaly score")
    right.set_xlabel(f"{int((scores >= scene.threshold).sum()):,} at or above {scene.threshold:g} are anomalous")
    for axes in (left, middle, right):
        axes.set_xlim(0, 1)
        axes.set_ylabel("analyses" if axes is left else "")
    return drawing
