"""Frames of measures: how well a clustering agrees with labels, and how the trials of a sweep compare."""

from __future__ import annotations

import numpy as np

from cuckoo_ml_plugin.assess.measures import MEASURES, clustered_agreement
from cuckoo_ml_plugin.assess.sweep import Sweep
from cuckoo_ml_plugin.frames.pandas_import import pd


def measure_frame(clustering: pd.DataFrame, labels: pd.Series[str]) -> pd.DataFrame:
    """A row for each measure of a clustering (its column ``label``) against the labels of its analyses.

    The columns are CuckooML's: ``clustering`` leaves noise out, ``clustering+noise`` counts it as one cluster.
    """
    families = [label if isinstance(label, str) else None for label in labels.reindex(clustering.index)]
    agreements = clustered_agreement(families, clustering["label"].to_numpy(np.int64))
    columns = {
        name: [getattr(agreement, measure, None) for measure in MEASURES]
        for name, agreement in zip(("clustering", "clustering+noise"), agreements, strict=True)
    }
    return pd.DataFrame(columns, index=list(MEASURES))


def trial_frame(sweep: Sweep, least_clustered: float) -> pd.DataFrame:
    """A row for each trial of a sweep that clusters at least this share of the analyses."""
    rows = [
        {"trial": trial.name, "clusters": trial.clusters, "clustered": trial.clustered, **trial.measures}
        for trial in sweep.trials
        if trial.clustered >= least_clustered
    ]
    return pd.DataFrame(rows).set_index("trial")
