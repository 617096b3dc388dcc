"""Trial clusterings as frames: of a feature set in the plugin's vectors, or of a frame's rows as they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from cuckoo_ml_plugin.assess.feature_sets import FEATURE_SETS, feature_points
from cuckoo_ml_plugin.errors import CuckooMLError, NotEnoughError, SettingsError
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.frames.pandas_import import pd
from cuckoo_ml_plugin.plumbing.extras import optional_package
from cuckoo_ml_plugin.settings import Settings, settings_from


def cluster_feature_set(
    corpus: Corpus, features: str, settings: Settings, algorithm: str, overrides: Mapping[str, object]
) -> pd.DataFrame:
    """Cluster a corpus in a feature set; ``overrides`` replace settings of ``[clustering]``.

    Raises:
        CuckooMLError: there is no such feature set.
        SettingsError: there is no such setting, or its value cannot be used.
        NotEnoughError: no analysis has features of the set.
    """
    if features not in FEATURE_SETS:
        raise CuckooMLError(f"There is no feature set {features!r}; choose one of {', '.join(FEATURE_SETS)}.")
    values = asdict(settings.clustering) | {"algorithm": algorithm, **overrides}
    clustering = settings_from({"clustering": {key: str(value) for key, value in values.items()}}).clustering
    points = feature_points(corpus, features, settings)
    if points is None:
        raise NotEnoughError(f"No stored analysis has features of the set {features!r}; choose another set.")
    fitted = fit_clustering(points.vectors, points.weights, clustering, tokens=points.tokens)
    columns = {"label": fitted.labels, "probability": fitted.probabilities, "outlier_score": fitted.outlier_scores}
    index = pd.Index(corpus.analyses, name="analysis")
    return pd.DataFrame({name: column[points.point_of] for name, column in columns.items()}, index=index)


def cluster_rows(frame: pd.DataFrame, algorithm: str, settings: Mapping[str, object]) -> pd.DataFrame:
    """Cluster a frame's rows by the Euclidean distance of its numbers, NaN as 0, as CuckooML did with its features.

    ``settings`` go to hdbscan's ``HDBSCAN`` or to scikit-learn's ``DBSCAN``. DBSCAN gives no probabilities or scores.

    Raises:
        SettingsError: there is no such algorithm, or the library refuses the settings.
        NotEnoughError: the frame has fewer than two rows.
    """
    if algorithm not in ("hdbscan", "dbscan"):
        raise SettingsError(f"There is no algorithm {algorithm!r}; choose hdbscan or dbscan.")
    if len(frame) < 2:
        raise NotEnoughError(f"A clustering needs at least two rows; this frame has {len(frame)}.")
    try:
        return _dbscan(frame, settings) if algorithm == "dbscan" else _hdbscan(frame, settings)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise SettingsError(f"{algorithm} refuses {dict(settings)}: {str(error)[:300]}.") from error


def _dbscan(frame: pd.DataFrame, settings: Mapping[str, object]) -> pd.DataFrame:
    from sklearn.cluster import DBSCAN

    values = np.nan_to_num(frame.to_numpy(np.float64))
    return pd.DataFrame({"label": DBSCAN(**settings).fit(values).labels_}, index=frame.index)


def _hdbscan(frame: pd.DataFrame, settings: Mapping[str, object]) -> pd.DataFrame:
    HDBSCAN = optional_package("hdbscan", "Trials with HDBSCAN").HDBSCAN

    values = np.nan_to_num(frame.to_numpy(np.float64))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # GLOSH divides by densities that repeats make infinite
        fitted = HDBSCAN(**settings).fit(values)
        scores = np.nan_to_num(fitted.outlier_scores_, nan=0.0)
    columns = {"label": fitted.labels_, "probability": fitted.probabilities_, "outlier_score": scores}
    return pd.DataFrame(columns, index=frame.index)
