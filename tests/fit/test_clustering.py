"""Clusters: HDBSCAN's, found fast, and a new analysis placed where HDBSCAN itself would place it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import hdbscan
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from benchmarks.quality.agreement import placements, riss_vectors
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.model.groups.clustering import NOISE, Clustering
from cuckoo_ml_plugin.settings import ClusteringSettings, Settings

Algorithm = Literal["hdbscan", "dbscan"]
DEFAULT = Settings().clustering


def families(sizes: tuple[int, ...] = (40, 30, 20), noise: int = 6, seed: int = 3) -> tuple[NDArray[Any], NDArray[Any]]:
    """Unit vectors (n, 12) of tight groups and some noise, and the truth."""
    rng = np.random.default_rng(seed)
    centres = np.eye(12)[: len(sizes)]
    parts = [centre + 0.08 * rng.normal(size=(size, 12)) for centre, size in zip(centres, sizes, strict=True)]
    vectors = np.concatenate([*parts, rng.normal(size=(noise, 12))])
    truth = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(noise, NOISE)])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth


def ones(vectors: NDArray[Any]) -> NDArray[Any]:
    return np.ones(len(vectors), np.int64)


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
def test_groups_are_found_and_strangers_are_left_out(algorithm: Algorithm) -> None:
    vectors, truth = families()
    clustering = fit_clustering(vectors, ones(vectors), replace(DEFAULT, algorithm=algorithm))
    assert adjusted_rand_score(truth, clustering.labels) > 0.95
    assert (clustering.labels[truth == NOISE] == NOISE).mean() > 0.6
    sizes = [int((clustering.labels == cluster).sum()) for cluster in range(clustering.clusters)]
    assert sizes == sorted(sizes, reverse=True), "numbered by size"
    stranger = -vectors[0]
    assert clustering.place(stranger.astype(np.float32)).cluster == NOISE


def test_the_dial_only_takes_away() -> None:
    vectors, _ = families(noise=20)
    before = None
    for certainty in (0.0, 0.3, 0.6, 0.8, 0.9, 0.97, 1.0):
        labels = fit_clustering(vectors, ones(vectors), replace(DEFAULT, certainty=certainty)).labels
        clustered = labels != NOISE
        assert before is None or (clustered <= before).all()
        before = clustered
    assert before is not None
    assert not before.any()


def test_what_was_fitted_is_placed_where_the_fit_placed_it() -> None:
    vectors, _ = families()
    clustering = fit_clustering(vectors, ones(vectors), DEFAULT)
    for i in range(len(vectors)):
        placed = clustering.place(vectors[i])
        assert placed.cluster == clustering.labels[i]
        assert placed.probability == clustering.probabilities[i]
        assert 0 <= placed.outlier_score <= 1


def test_an_analysis_seen_many_times_weighs_as_often() -> None:
    vectors, _ = families()
    counts = np.random.default_rng(1).integers(1, 5, len(vectors))
    weighted = fit_clustering(vectors, counts, DEFAULT, tree="fast_hdbscan")
    repeated = hdbscan.HDBSCAN(
        min_cluster_size=DEFAULT.min_cluster_size, min_samples=1, cluster_selection_epsilon=DEFAULT.selection_epsilon
    ).fit(np.repeat(vectors, counts, axis=0).astype(np.float64))
    assert adjusted_rand_score(repeated.labels_, np.repeat(weighted.density_labels, counts)) > 0.95
    assert weighted.multiplicities.sum() == counts.sum()


def test_arrays_carry_the_whole_clustering() -> None:
    vectors, _ = families()
    clustering = fit_clustering(vectors, ones(vectors), DEFAULT)
    parameters = {"min_samples": clustering.min_samples, "certainty": clustering.certainty}
    again = Clustering.from_arrays(clustering.arrays(), **parameters)
    near = vectors[0] + np.float32(0.01)
    near /= np.linalg.norm(near)
    one, other = clustering.place(near), again.place(near)
    assert (one.cluster, one.probability, one.outlier_score) == (other.cluster, other.probability, other.outlier_score)
    arrays = clustering.arrays()
    arrays["labels"] = arrays["labels"][:-1]
    with pytest.raises(ValueError, match="belong together"):
        Clustering.from_arrays(arrays, **parameters)


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
@pytest.mark.parametrize("points", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("kind", ["same", "zero", "orthogonal"])
def test_degenerate_corpora_are_clustered_without_a_word(algorithm: Algorithm, points: int, kind: str) -> None:
    kinds = {"same": np.eye(12)[[0] * points], "zero": np.zeros((points, 12)), "orthogonal": np.eye(12)[:points]}
    vectors = kinds[kind]
    settings = replace(DEFAULT, algorithm=algorithm)
    clustering = fit_clustering(vectors.astype(np.float32), np.ones(points, np.int64), settings)
    assert len(clustering.labels) == points
    for values in (clustering.probabilities, clustering.outlier_scores, clustering.certainties):
        assert np.isfinite(values).all()
        assert ((values >= 0) & (values <= 1)).all()
    if kind == "zero":
        assert set(clustering.labels) <= {NOISE}
    assert clustering.place(np.eye(12, dtype=np.float32)[11]).outlier_score <= 1


# -- agreement, on real data (benchmarks/quality/agreement.py prints it all) -------------------------------------------
@pytest.fixture(scope="module")
def real(shared_data: Path) -> NDArray[Any]:
    return riss_vectors(shared_data)


@pytest.mark.parametrize("tree", ["fast_hdbscan", "graph"])
def test_the_fast_trees_give_hdbscans_clusters_on_real_data(real: NDArray[Any], tree: str) -> None:
    plain = replace(DEFAULT, certainty=0.0)
    reference = fit_clustering(real, ones(real), plain, tree="hdbscan", same=0.0).density_labels
    fast = fit_clustering(real, ones(real), plain, tree=tree, same=0.0).density_labels
    assert adjusted_rand_score(reference, fast) >= 0.95


@pytest.mark.parametrize(("size", "samples", "epsilon"), [(4, 1, 0.0), (5, 5, 0.0), (4, 1, 0.5), (5, 5, 0.5)])
def test_a_new_analysis_is_placed_as_approximate_predict_places_it(
    real: NDArray[Any], size: int, samples: int, epsilon: float
) -> None:
    settings = ClusteringSettings(min_cluster_size=size, min_samples=samples, selection_epsilon=epsilon)
    columns = placements(real, settings)
    same = columns["label"] == columns["reference label"]
    off = np.abs(columns["probability"] - columns["reference probability"])[same]
    differs = np.abs(columns["outlier"] - np.clip(columns["reference outlier"], 0, 1)) > 1e-9
    # Where edges of the tree are equally long, either order is right, and a few points belong elsewhere. Besides, of a
    # cluster that epsilon joined from two branches hdbscan knows new members of one branch only (clustering.py).
    assert (off > 1e-9).mean() < 0.01
    assert differs.mean() < 0.02
    assert same.mean() > 0.95
