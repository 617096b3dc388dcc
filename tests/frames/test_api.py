"""The home as frames, and a counterpart for each method that CuckooML had."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.manifold import TSNE
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.paths import REPOSITORY

from cuckoo_ml_plugin import CuckooMLError, Desk, SettingsError

PAGE = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| `([^|]+?) \| `(.+)` \| (\w+) \|$", PAGE, re.MULTILINE)
SEED = {
    "Loader": "load_binaries update_binaries save_binaries get_labels get_features get_simple_features",
    "ML": "extract_labels load_labels extract_simple_features load_simple_features export_simple_dataset "
    "simple_feature_category extract_features load_features export_dataset feature_category filter_dataset "
    "detect_abnormal_behaviour visualise_data save_dataset cluster_dbscan cluster_hdbscan save_clustering_results "
    "anomaly_detection compare_sample assess_clustering clustering_label_distribution",
    "Instance": "load_json label_sample update save_json extract_features extract_features_static "
    "extract_features_dynamic extract_basic_features",
}


@pytest.fixture(scope="module")
def own_home(demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the page's lines use, over a copy of the demo."""
    import shutil

    folder = tmp_path_factory.mktemp("api")
    shutil.copytree(demo.home, folder / "home", symlinks=True)
    shutil.copy(demo.corpus.new[0].path, folder / "newcomer.json")
    report = folder / "newcomer.json"
    desk = Desk(folder / "home")
    results = json.loads(report.read_text(encoding="utf-8"))
    (folder / "out").mkdir()
    analysis = desk.analyses().query("has_behaviour").index[0]
    names = {"report": report, "results": results, "analysis": analysis, "folder": folder / "out"}
    return {"desk": desk, "TSNE": TSNE, **names}


@pytest.mark.parametrize(("theirs", "ours", "returns"), LINES, ids=[line[0].partition("`")[0] for line in LINES])
def test_every_line_of_the_table_runs(own_home: dict[str, Any], theirs: str, ours: str, returns: str) -> None:
    result = eval(ours, dict(own_home))
    assert type(result).__name__ == returns
    if isinstance(result, (pd.DataFrame, pd.Series)) and "filter" not in ours:
        assert len(result)


@pytest.mark.parametrize("owner", SEED)
def test_every_method_of_the_seed_has_its_line(owner: str) -> None:
    named = {line[0].partition("`")[0] for line in LINES}
    assert {f"{owner}.{method}" for method in SEED[owner].split()} <= named


def test_the_page_names_every_method_of_the_desk() -> None:
    table = PAGE.partition("## CuckooML")[0]
    older = {"cluster", "clusters", "clustering"}
    methods = {name for name in vars(Desk) if not name.startswith("_")} | {"engine"}
    rows = "".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE))
    assert methods - older == set(re.findall(r"`(\w+)`", rows))
    assert all(f"`{name}()`" in table for name in older)


@pytest.fixture(scope="module")
def desk(demo: DemoHome) -> Desk:
    return Desk(demo.home)


def test_frames_say_what_the_commands_say(desk: Desk, demo: DemoHome) -> None:
    clusters = cuckoo_ml(demo.home, "clusters", "--json").json
    assert list(desk.cluster_table().index) == [cluster["id"] for cluster in clusters]
    assert desk.cluster_table()["size"].tolist() == [cluster["size"] for cluster in clusters]
    anomalies = cuckoo_ml(demo.home, "anomalies", "--limit", 1000, "--json").json
    assert list(desk.anomalies().index) == [anomaly["analysis"] for anomaly in anomalies]
    assert desk.anomalies(limit=1)["reasons"].str.len().min() > 10
    assert set(desk.anomalies().index) == set(desk.analyses().query("anomalous").index)
    assessment = cuckoo_ml(demo.home, "assess", "--resamples", 0, "--json").json
    measures = desk.measures(desk.cluster_memberships())
    for column, name in (("clustering", "clustered"), ("clustering+noise", "with_noise")):
        assert measures.loc["ari", column] == pytest.approx(assessment["with_labels"][name]["ari"])
    assert desk.assess(resamples=0).clusters == assessment["clusters"]


def test_clustering_again_with_the_settings_in_force_finds_the_same(desk: Desk) -> None:
    ours, again = desk.cluster_memberships(), desk.try_clustering()
    assert (ours.index == again.index).all()
    pairs = set(zip(ours["label"], again["label"], strict=True))
    assert len(pairs) == ours["label"].nunique() == again["label"].nunique()


def test_features_are_what_the_reports_say(desk: Desk) -> None:
    simple, nominal, numerical = (desk.features(name) for name in ("simple", "nominal", "numerical"))
    for analysis in simple.index[:20]:
        behaviour = desk.behaviour(analysis)
        row = simple.loc[analysis]
        assert {f"signature:{name}" for name in row.index[row == 1]} == {
            token for token in behaviour.tokens if token.startswith("signature:")
        }
        assert numerical.loc[analysis].dropna().to_dict() == pytest.approx(behaviour.counts)
    assert not any(column.startswith("signature:") for column in nominal.columns)
    frequent = desk.features("nominal", coverage=0.1)
    assert set(frequent.columns) < set(nominal.columns)
    sparse: Any = frequent.sparse  # pandas-stubs does not know it
    assert sparse.to_dense().mean().min() >= 0.1
    whole = desk.features("all", coverage=0.5)
    assert {"count_api_calls"} < set(whole.columns)


def test_two_analyses_side_by_side(desk: Desk) -> None:
    analysis = desk.analyses().query("has_behaviour").index[0]
    both = desk.compare(analysis, desk.similar(analysis).index[0])
    assert both["one"].sum() == len(desk.behaviour(analysis).tokens)
    assert (both["one"] & both["other"]).sum() > 0.3 * len(both)
    assert desk.compare(analysis, analysis)[["one", "other"]].all(axis=None)


def test_a_sweep_is_a_frame(desk: Desk) -> None:
    trials = desk.sweep(jobs=1, features=("simple",), algorithms=("dbscan",), eps=(0.5,), min_cluster_size=(4,))
    assert len(trials) == 2
    assert trials["ami"].between(0, 1).all()


def test_pictures_are_figures_and_files(desk: Desk, tmp_path: Path) -> None:
    names = re.findall(r"^\| `plot`, `plots` \| a figure of matplotlib's: (.+?);", PAGE, re.MULTILINE)[0]
    for name in re.findall(r"`(\w+)`", names):
        assert desk.plot(name).get_axes()
    assert b"<html" in desk.atlas(tmp_path / "atlas.html").read_bytes()[:200].lower()
    written = desk.plots(tmp_path, ["png"])
    assert {path.stem for path in written} == set(re.findall(r"`(\w+)`", names))
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_what_is_not_there_is_one_sentence(desk: Desk, tmp_path: Path) -> None:
    for ask in (
        lambda: desk.features("colours"), lambda: desk.try_clustering("colours"), lambda: desk.score("nobody"),
        lambda: desk.behaviour("nobody"), lambda: Desk(tmp_path).cluster_table(),
        lambda: desk.plot("sunset"), lambda: desk.plots(tmp_path, "exe"), lambda: desk.score("a" * 5000),
        lambda: desk.export_cluster("c0", tmp_path, "purple"), lambda: desk.try_clustering(algorithm="kmeans"),
        lambda: desk.try_clustering(desk.features("simple"), algorithm="kmeans"),
        lambda: desk.try_clustering(desk.features("simple"), min_cluster_size=1),
        lambda: desk.try_clustering(desk.features("simple"), algorithm="dbscan", eps=-1.0),
        lambda: desk.try_clustering(desk.features("simple").iloc[:1]),
    ):  # fmt: skip
        with pytest.raises(CuckooMLError):
            ask()
    with pytest.raises(SettingsError, match="no key 'colour'"):
        desk.try_clustering("simple", colour=3)
    for wrong in (1, "many", 2.5):
        with pytest.raises(SettingsError, match="min_cluster_size"):
            desk.try_clustering(min_cluster_size=wrong)


def test_a_family_may_be_called_what_it_likes(own_demo: DemoHome) -> None:
    desk = Desk(own_demo.home)
    analyses = [sample.name for sample in own_demo.corpus.fitted[:9]]
    desk.set_labels(dict.fromkeys(analyses, "cluster_id"))
    assert desk.label_distribution()["cluster_id"].sum() == desk.cluster_memberships().index.isin(analyses).sum()
