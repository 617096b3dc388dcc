"""Clusterings for notebooks: of a feature set in the plugin's vectors, or of a frame as it is; as a frame."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from cuckoo_ml_plugin.assess.feature_sets import FEATURE_SETS, feature_points
from cuckoo_ml_plugin.errors import CuckooMLError, NotEnoughError, SettingsError
from cuckoo_ml_plugin.fit.clustering import fit_clustering
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.settings import Settings, settings_from


def cluster_set(corpus: Corpus, features: str, settings: Settings, algorithm: str, turned: Mapping[str, Any]) -> Any:
    """Cluster a corpus in a feature set, with some settings of ``[clustering]`` turned.

    Raises CuckooMLError (no such set), SettingsError (no such setting or value), NotEnoughError (no such features).
    """
    pd = desk_package("pandas", "Data frames")
    if features not in FEATURE_SETS:
        raise CuckooMLError(f"There is no feature set {features!r}; there are {', '.join(FEATURE_SETS)}.")
    values = asdict(settings.clustering) | {"algorithm": algorithm, **turned}
    chosen = settings_from({"clustering": {key: str(value) for key, value in values.items()}}).clustering
    points = feature_points(corpus, features, settings)
    if points is None:
        raise NotEnoughError(f"No stored analysis has features of the set {features!r}; take another one.")
    fitted = fit_clustering(points.vectors, points.multiplicities, chosen)
    columns = {"label": fitted.labels, "probability": fitted.probabilities, "outlier_score": fitted.outlier_scores}
    index = pd.Index(corpus.analyses, name="analysis")
    return pd.DataFrame({name: values[points.point_of] for name, values in columns.items()}, index=index)


def cluster_frame(frame: Any, algorithm: str, settings: Mapping[str, Any]) -> Any:
    """Cluster a frame's rows by Euclidean distance of its numbers, NaN as 0, as CuckooML did with its features.

    ``settings`` go to hdbscan's ``HDBSCAN`` or scikit-learn's ``DBSCAN``, which knows no probabilities and no scores.

    Raises:
        SettingsError: no such algorithm, or the library refuses the settings.
        NotEnoughError: fewer than two rows.
    """
    if algorithm not in ("hdbscan", "dbscan"):
        raise SettingsError(f"There is no algorithm {algorithm!r}; there are hdbscan and dbscan.")
    if len(frame) < 2:
        raise NotEnoughError(f"A frame of {len(frame)} rows cannot be clustered; two are the least.")
    try:
        return _as_it_is(frame, algorithm, settings)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise SettingsError(f"{algorithm} refuses {dict(settings)}: {str(error)[:300]}.") from error


def _as_it_is(frame: Any, algorithm: str, settings: Mapping[str, Any]) -> Any:
    pd = desk_package("pandas", "Data frames")
    values = np.nan_to_num(frame.to_numpy(np.float64))
    if algorithm == "dbscan":
        from sklearn.cluster import DBSCAN

        return pd.DataFrame({"label": DBSCAN(**settings).fit(values).labels_}, index=frame.index)
    from hdbscan import HDBSCAN

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # GLOSH divides by densities that repeats make infinite
        fitted = HDBSCAN(**settings).fit(values)
        scores = np.nan_to_num(fitted.outlier_scores_, nan=0.0)
    columns = {"label": fitted.labels_, "probability": fitted.probabilities_, "outlier_score": scores}
    return pd.DataFrame(columns, index=frame.index)
