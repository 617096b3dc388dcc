"""Frames of the clustering in force: clusters, kin, the membership and vector of each analysis, and labels."""

from __future__ import annotations

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.queries import all_clusters, all_kin
from cuckoo_ml_plugin.export.clustering_results import ClusteringResults
from cuckoo_ml_plugin.export.seed_files import label_distribution
from cuckoo_ml_plugin.frames.pandas_import import pd, shown
from cuckoo_ml_plugin.plumbing.text import printable

_BRIEF = ("id", "name", "samples", "size", "stored_samples", "stored", "labels", "first_seen", "last_seen")


def cluster_frame(engine: Engine) -> pd.DataFrame:
    """A row for each cluster: name, sizes, first and last day, kin, commonest label. Raises ModelError, StoreError."""
    rows = all_clusters(engine, engine.require_model()).rows
    return _with_commonest_label(pd.DataFrame(rows, columns=[*_BRIEF, "kin"]))


def kin_frame(engine: Engine) -> pd.DataFrame:
    """A row for each kin: name, sizes, first and last day, clusters in it, commonest label.

    Raises ModelError, StoreError.
    """
    rows = all_kin(engine, engine.require_model()).rows
    return _with_commonest_label(pd.DataFrame(rows, columns=[*_BRIEF, "clusters"]))


def _with_commonest_label(frame: pd.DataFrame) -> pd.DataFrame:
    frame["label"] = [labels[0]["label"] if labels else None for labels in frame.pop("labels")]
    return shown(frame.set_index("id"))


def membership_frame(results: ClusteringResults) -> pd.DataFrame:
    """A row for each fitted analysis: ``label`` (the cluster's number), CuckooML's other columns, ``kin`` (its number).

    -1 stands for noise and for no kin.
    """
    columns = {
        "label": results.cluster_ids(),
        "probability": results.probabilities,
        "outlier_score": results.outlier_scores,
        "kin": results.kin_numbers,
    }
    return pd.DataFrame(columns, index=_analyses(results))


def vector_frame(results: ClusteringResults) -> pd.DataFrame:
    """A row for each fitted analysis: its unit vector."""
    return pd.DataFrame(results.vectors, index=_analyses(results))


def label_frame(results: ClusteringResults) -> pd.DataFrame:
    """A row for each cluster number (-1 for noise), a column for each label: how many analyses have both."""
    columns, rows = label_distribution(results)
    index = pd.Index([row[0] for row in rows], name="cluster_id").astype(int)
    return pd.DataFrame([row[1:] for row in rows], index=index, columns=[printable(name) for name in columns[1:]])


def _analyses(results: ClusteringResults) -> pd.Index[str]:
    return pd.Index(results.corpus.analyses, name="analysis")
