"""Large corpora: what makes a refit of them quick changes nothing that a user sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.fit.groups import neighbour_cells, neighbour_graph, pair_likeness
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.fit.groups.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import Settings


@pytest.fixture
def every_corpus_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_graph, "EXACT_NEIGHBOURS", 20)
    monkeypatch.setattr(pair_likeness, "MANY", 1)


def variants(points: int, kinds: int, seed: int = 5) -> NDArray[np.float32]:
    """Unit vectors (points, 24) of many kinds of very different width."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(kinds, 24))
    widths = rng.choice([0.001, 0.02, 0.1, 0.3], (kinds, 1))
    kind = rng.integers(kinds, size=points)
    vectors = centres[kind] + widths[kind] * rng.normal(size=(points, 24))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.usefixtures("every_corpus_is_large")
def test_a_large_corpus_is_clustered_as_its_exact_neighbours_would(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = variants(6_000, 150)
    numbers, distances = nearest_of_all(vectors, 33)
    found = fit_clustering(vectors, np.ones(len(vectors), np.int64), Settings().clustering, tree="graph")
    monkeypatch.setattr(neighbour_graph, "EXACT_NEIGHBOURS", len(vectors))
    exact, farthest = nearest_of_all(vectors, 33)
    exact_clusters = fit_clustering(vectors, np.ones(len(vectors), np.int64), Settings().clustering, tree="graph")
    assert numbers.shape == exact.shape
    assert (np.diff(distances, axis=1) >= 0).all()
    assert distances == pytest.approx(farthest, abs=1e-3), "products in single precision tell no more"
    assert np.abs(distances[:, 0]).max() == 0.0, "a point, or one at its place, is the nearest"
    assert adjusted_rand_score(exact_clusters.labels, found.labels) > 0.99
    near, _ = neighbour_cells.nearest_by_cells(vectors, 33, probes=4, most=0)
    assert 0.5 < (near == exact).mean() < 0.99, "the cells around a point alone do not hold all of the nearest"


@pytest.mark.usefixtures("every_corpus_is_large")
@pytest.mark.parametrize("place", ["one", "none"])
def test_half_of_a_corpus_in_one_place_is_searched_like_the_rest(place: str) -> None:
    vectors = variants(3_000, 40)
    vectors[::2] = vectors[0] if place == "one" else 0.0
    numbers, distances = nearest_of_all(vectors, 25)
    assert not distances[::2].any()
    assert (np.sort(numbers, axis=1)[:, 1:] != np.sort(numbers, axis=1)[:, :-1]).all(), "each neighbour is listed once"
    everywhere = np.sqrt(((vectors[1] - vectors) ** 2).sum(axis=1))
    assert distances[1] == pytest.approx(np.sort(everywhere)[:25], abs=1e-5)


@pytest.mark.usefixtures("every_corpus_is_large")
def test_a_large_corpus_gives_one_model_in_whatever_order_it_came(demo: DemoHome, tmp_path: Path) -> None:
    labels = demo.home.parent / "labels.tsv"
    models = []
    for name, paths in (("one", demo.corpus.import_paths), ("other", demo.corpus.import_paths[::-1])):
        for path in paths:
            assert cuckoo_ml(tmp_path / name, "import", path, "--labels", labels).code == 0
        assert cuckoo_ml(tmp_path / name, "refit").code == 0
        models.append(Model.load(tmp_path / name / "models" / "current"))
    first, second = (model.arrays() for model in models)
    assert all(np.array_equal(first[array], second[array]) for array in first)
    exact = Model.load(demo.home / "models" / "current")
    assert np.array_equal(exact.clustering.labels, models[0].clustering.labels)
    assert models[0].fitted_scores == pytest.approx(exact.fitted_scores, abs=1e-3)
