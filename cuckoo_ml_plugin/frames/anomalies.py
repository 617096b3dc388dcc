"""Frames of what is unusual: anomalous analyses, CuckooML's suspects, and analyses with abnormal counts."""

from __future__ import annotations

from cuckoo_ml_plugin.engine import queries
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.export import seed_files
from cuckoo_ml_plugin.export.clustering_results import ClusteringResults
from cuckoo_ml_plugin.frames.pandas_import import pd, shown
from cuckoo_ml_plugin.settings import AnomalySettings

_COLUMNS = ("analysis", "score", "cluster", "label", "target", "sha256", "runs", "analysed_at", "stored_at", "reasons")


def anomaly_frame(engine: Engine, limit: int) -> pd.DataFrame:
    """A row for each anomalous analysis, the most unusual first, its reasons as one text.

    Raises ModelError, StoreError.
    """
    rows = [
        anomaly | {"reasons": " ".join(reason["text"] for reason in anomaly["reasons"])}
        for anomaly in queries.anomalies(engine, limit)
    ]
    return shown(pd.DataFrame(rows, columns=list(_COLUMNS)).set_index("analysis"))


def suspect_frame(results: ClusteringResults, settings: AnomalySettings) -> pd.DataFrame:
    """A row for each fitted analysis: the number of its cluster, and which of CuckooML's four suspicions hold."""
    columns = ["analysis", *seed_files.ANOMALIES]
    frame = pd.DataFrame(seed_files.anomalies(results, settings), columns=columns).set_index("analysis")
    suspicions = list(seed_files.ANOMALIES[1:])
    frame[suspicions] = frame[suspicions].notna()
    return frame.astype({"cluster": int})


def abnormal_count_frame(results: ClusteringResults) -> pd.DataFrame:
    """A row for each count: the analyses outside its outer fences, and those outside its inner fences alone."""
    fences = seed_files.outside_fences(results)
    columns = ["outliers", "suspect_outliers"]
    return pd.DataFrame.from_dict(fences, orient="index", columns=columns).rename_axis("count")
