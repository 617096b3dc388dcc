"""Plots of a clustering: all are drawn in both formats, the same each time, with any names in them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hostile_values import SCRIPTS

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.landscape.islands import gather_islands
from cuckoo_ml_plugin.landscape.landscape import Landscape, landscape
from cuckoo_ml_plugin.landscape.positions import positions
from cuckoo_ml_plugin.plots import PLOTS, condensed_tree, label_bars
from cuckoo_ml_plugin.store.store import Store


@pytest.fixture(scope="module")
def scene(demo: DemoHome) -> Landscape:
    return landscape(Engine(Home(demo.home)))


def words(svg: Path) -> str:
    """The texts in a plot, which matplotlib keeps as comments beside their outlines."""
    return " ".join(re.findall(r"<!-- (.*?) -->", svg.read_text(encoding="utf-8")))


def test_the_command_draws_every_plot_in_both_formats(demo: DemoHome, tmp_path: Path, scene: Landscape) -> None:
    result = cuckoo_ml(demo.home, "plots", tmp_path / "new" / "folder", "--json")
    assert result.code == 0, result.err
    files = [Path(name) for name in result.json]
    assert {path.name for path in files} == {f"{name}.{suffix}" for name in PLOTS for suffix in ("png", "svg")}
    for path in files:
        start = path.read_bytes()[:8]
        assert start == b"\x89PNG\r\n\x1a\n" if path.suffix == ".png" else start.startswith(b"<?xml")
    bars = words(next(path for path in files if path.name == "label_bars.svg"))
    largest = max(scene.clusters, key=lambda cluster: cluster.size)
    assert largest.name in bars
    again = cuckoo_ml(demo.home, "plots", tmp_path / "again", "--format", "svg")
    assert again.code == 0
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / "new" / "folder" / path.name).read_bytes()


def test_the_landscape_agrees_with_the_model_and_the_store(demo: DemoHome, scene: Landscape) -> None:
    sizes = np.bincount(scene.cluster_of[scene.cluster_of >= 0], minlength=len(scene.clusters))
    assert sizes.tolist() == [cluster.size for cluster in scene.clusters]
    assert scene.tree.sizes[0] == len(scene.analyses)
    assert np.all(scene.tree.deaths >= scene.tree.births)
    assert np.abs(scene.places).max() == pytest.approx(1)
    with Store.open(demo.home / "store.db") as store:
        for row in range(0, len(scene.analyses), 40):
            stored = store.get(scene.analyses[row])
            assert stored is not None
            assert (stored.target, stored.label) == (scene.targets[row], scene.families[row])
            counts = stored.unpack()[1]
            assert counts["api_calls"] == scene.counts[row, scene.count_names.index("api_calls")]


def test_similar_behaviours_are_close_on_the_map(scene: Landscape) -> None:
    nearest = [
        int(np.delete(np.arange(len(scene.places)), i)[
            np.square(np.delete(scene.places, i, 0) - scene.places[i]).sum(axis=1).argmin()
        ])
        for i in range(len(scene.places))
    ]  # fmt: skip
    clustered = scene.labels >= 0
    same = scene.labels[nearest] == scene.labels
    assert same[clustered].mean() > 0.9


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 10, 25])
def test_a_few_points_have_a_map_too(n: int) -> None:
    vectors = np.random.default_rng(1).normal(size=(n, 6)).astype(np.float32)
    placed = positions(vectors)
    assert placed.shape == (n, 2)
    assert np.isfinite(placed).all()
    assert np.array_equal(placed, positions(vectors))
    assert np.isfinite(positions(np.ones((n, 6), np.float32))).all()


def test_a_distant_island_moves_closer_as_a_whole_and_the_rest_stays() -> None:
    draws = np.random.default_rng(7)
    body, near = draws.normal(size=(500, 2)), draws.normal(size=(40, 2)) / 5 + (6, 0)
    far = draws.normal(size=(30, 2)) / 5 + (60, 0)  # behind the nearer island
    before = np.vstack([body, near, far])
    after = gather_islands(before)
    assert np.array_equal(after[:500], body)
    step = after[540:] - far
    assert np.allclose(step, step[0])
    assert step[0, 0] < -40
    assert after[540:, 0].min() > after[500:540, 0].max()  # still behind the nearer island, without overlap
    assert np.array_equal(gather_islands(np.ones((20, 2))), np.ones((20, 2)))


def test_a_clustering_without_clusters_or_tree_is_drawn_and_says_so(own_demo: DemoHome) -> None:
    conf = own_demo.home / "cuckooml.conf"
    text = conf.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^algorithm = .*", "algorithm = dbscan", text)
    conf.write_text(re.sub(r"(?m)^eps = .*", "eps = 0.0001", text), encoding="utf-8")
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    scene = landscape(Engine(Home(own_demo.home)), with_map=False)
    for draw in PLOTS.values():
        draw(scene)
    assert "no tree" in condensed_tree(scene).axes[0].texts[0].get_text()


def test_hostile_names_are_drawn_as_plain_text(own_demo: DemoHome, tmp_path: Path) -> None:
    hostile = ["$\\frac{1}{0}$", "$unclosed", "\\input{/etc/passwd}", "_under", *SCRIPTS]
    with Store.open(own_demo.home / "store.db") as store:
        names = [stored.analysis for stored in store.analyses_in_order(behaviours=False)]
        store.set_labels({name: hostile[i % len(hostile) if i % 2 else 0] for i, name in enumerate(names)})
    assert cuckoo_ml(own_demo.home, "refit").code == 0
    scene = landscape(Engine(Home(own_demo.home)), with_map=False)
    for name, draw in PLOTS.items():
        path = tmp_path / f"{name}.svg"
        draw(scene).savefig(path)
        assert "<script" not in path.read_text(encoding="utf-8")
    legend = {text.get_text().strip() for text in label_bars(scene).axes[0].get_legend().get_texts()}
    assert any("frac" in label for label in legend)
    assert "_under" in legend, "matplotlib omits labels that begin with an underscore"
