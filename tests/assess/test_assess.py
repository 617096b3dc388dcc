"""The quality of a clustering: against labels, without labels, and compared with other settings."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import hdbscan
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import make_blobs
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.assess.measures import MEASURES, agreement, clustered_agreement
from cuckoo_ml_plugin.assess.resampling import random_parts, stability
from cuckoo_ml_plugin.assess.validity import dbcv, persistences, silhouette
from cuckoo_ml_plugin.fit.corpus import read_corpus
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.report.labels import SOURCES
from cuckoo_ml_plugin.settings import ClusteringSettings, Settings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store

PARTITION = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-1, 3)), min_size=1, max_size=30)


def test_the_demo_is_assessed_with_and_without_labels(demo: DemoHome) -> None:
    assessment = cuckoo_ml(demo.home, "assess", "--resamples", 2, "--json").json
    clustered, whole = assessment["with_labels"]["clustered"], assessment["with_labels"]["with_noise"]
    assert clustered["precision"] > 0.95  # clusters separate families, and variants of a family
    assert clustered["homogeneity"] > clustered["completeness"]
    assert clustered["analyses"] < whole["analyses"] <= assessment["analyses"]
    assert 0 < assessment["without_labels"]["persistence"] < 1
    assert assessment["without_labels"]["silhouette"] > assessment["without_labels"]["silhouette_with_noise"] > 0
    assert assessment["without_labels"]["dbcv"] > 0
    assert assessment["stability"]["ari"] > 0.9
    clusters = cuckoo_ml(demo.home, "clusters", "--json").json
    assert [(row["cluster"], row["size"]) for row in assessment["per_cluster"]] == [
        (c["id"], c["size"]) for c in clusters
    ]
    assert sum(row["analyses"] for row in assessment["per_label"]) == whole["analyses"]


def test_the_tables_name_every_cluster_and_measure(demo: DemoHome) -> None:
    done = cuckoo_ml(demo.home, "assess", "--resamples", 0)
    assert done.code == 0
    for word in ("adjusted Rand index", "BCubed F", "F (Malheur)", "silhouette", "DBCV", "persistence", "c0", "Labels"):
        assert word in done.out
    assert "random parts" not in done.out


def test_analyses_newer_than_the_model_are_not_assessed(own_demo: DemoHome) -> None:
    newcomers = own_demo.corpus.new[:2]
    cuckoo_ml(own_demo.home, "import", *(analysis.path for analysis in newcomers))
    before = cuckoo_ml(own_demo.home, "assess", "--resamples", 0)
    assert "2 analyses are newer than the model" in before.out


def test_a_store_without_labels_is_assessed(own_demo: DemoHome) -> None:
    home = own_demo.home
    with Store.open(home / "store.db") as store:
        names = [stored.analysis for stored in store.analyses_in_order(behaviours=False)]
        for source in SOURCES:
            store.set_labels(dict.fromkeys(names), source=source)
    done = cuckoo_ml(home, "assess", "--resamples", 0, "--json")
    assert done.json["with_labels"] is None
    assert done.json["per_label"] == []
    assert done.json["without_labels"]["silhouette"] is not None
    assert "No analysis has a label" in cuckoo_ml(home, "assess", "--resamples", 0).out


def strangers(home: Path, analyses: int) -> None:
    """A home of analyses that have nothing in common."""
    rng = np.random.default_rng(1)
    with Store.open(home / "store.db") as store:
        for number in range(analyses):
            tokens = sorted({f"api:Call{function}" for function in rng.integers(0, 60, 8)})
            record = AnalysisRecord(str(number), pack(tokens, {"api_calls": int(rng.integers(1, 50))}), True)
            store.put([record])


@pytest.mark.parametrize("algorithm", ["hdbscan", "dbscan"])
def test_a_corpus_without_clusters_is_assessed_and_exported(tmp_path: Path, algorithm: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    strangers(home, 96)
    (home / "cuckooml.conf").write_text(f"[clustering]\nalgorithm = {algorithm}\neps = 0.01\nmin_cluster_size = 9\n")
    assert cuckoo_ml(home, "refit").code == 0
    done = cuckoo_ml(home, "assess", "--json")
    assert done.code == 0, done.err
    assert done.json["clusters"] == 0
    assert done.json["without_labels"] == dict.fromkeys(done.json["without_labels"])
    assert cuckoo_ml(home, "assess").code == 0
    few = ("--min-samples", 1, "--min-cluster-size", 9, "--epsilon", 0, "--eps", 0.01, "--jobs", 1)
    swept = cuckoo_ml(home, "assess", "--sweep", *few, "--features", "behaviour", "--features", "simple")
    assert swept.code == 0, swept.err
    assert "has features of the set simple" in swept.out
    assert cuckoo_ml(home, "export", tmp_path / "out").code == 0


def test_the_error_without_a_model_names_the_command(unfitted_home: Path) -> None:
    done = cuckoo_ml(unfitted_home, "assess")
    assert done.code == 1
    assert f"{unfitted_home}: there is no model yet; 1 analysis" in done.err


def test_cuckoomls_published_measures_follow_from_its_published_table(shared_data: Path) -> None:
    folder = shared_data / "gsoc199" / "published"
    with (folder / "cluster_label_distribution.csv").open() as file:
        columns, *rows = csv.reader(file)
    pairs = [
        (label, int(float(row[0])))
        for row in rows
        for label, count in zip(columns[1:], row[1:], strict=True)
        for _ in range(int(count))
    ]
    with (folder / "clustering_fit.csv").open() as file:
        published = {row[""]: row for row in csv.DictReader(file)}
    clustered, whole = clustered_agreement([label for label, _ in pairs], np.array([c for _, c in pairs]))
    names = {"Adjusted Random Index": "ari", "Homogeneity": "homogeneity", "Completeness": "completeness",
             "V-measure": "v_measure"}  # fmt: skip
    for theirs, ours in names.items():
        assert getattr(clustered, ours) == pytest.approx(float(published[theirs]["clustering"]))
        assert getattr(whole, ours) == pytest.approx(float(published[theirs]["clustering+noise"]))


def test_cuckoomls_experiment_is_repeated_and_depends_on_ties(shared_data: Path) -> None:
    from benchmarks.quality import gsoc199

    every, features = gsoc199.simple_features(shared_data / "gsoc199")
    assert (every.shape[1], features.shape) == (61, (199, 17))
    clusters, _ = gsoc199.published(shared_data / "gsoc199")
    assert gsoc199.sizes(clusters) == (55, [31, 19, 13, 12, 11, 8, 7, 7, 7, 6, 6, 6, 6, 5])
    again, turned = (gsoc199.cluster(features, order=order) for order in (None, np.arange(198, -1, -1)))
    assert min(gsoc199.sizes(again)[1]) >= 5
    assert gsoc199.sizes(again) != gsoc199.sizes(turned), "the order of equal reports decides"


@given(PARTITION)
def test_bcubed_and_malheurs_measures_follow_their_papers(pairs: list[tuple[str, int]]) -> None:
    labels, clusters = [label for label, _ in pairs], [cluster for _, cluster in pairs]
    measured = agreement(labels, np.array(clusters))
    assert measured is not None
    n = range(len(pairs))
    precision, recall = [], []
    for i in n:
        together = [j for j in n if clusters[j] == clusters[i]]
        alike = [j for j in n if labels[j] == labels[i]]
        both = len(set(together) & set(alike))
        precision.append(both / len(together))
        recall.append(both / len(alike))
    assert measured.bcubed_precision == pytest.approx(np.mean(precision))
    assert measured.bcubed_recall == pytest.approx(np.mean(recall))
    most = sum(max(sum(1 for pair in pairs if pair == (a, c)) for a in set(labels)) for c in set(clusters))
    assert measured.precision == pytest.approx(most / len(pairs))
    most = sum(max(sum(1 for pair in pairs if pair == (a, c)) for c in set(clusters)) for a in set(labels))
    assert measured.recall == pytest.approx(most / len(pairs))
    assert all(-1 <= getattr(measured, name) <= 1 + 1e-9 for name in MEASURES)


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    scaled: NDArray[Any] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def blobs() -> NDArray[Any]:
    return unit(make_blobs(150, 6, centers=5, cluster_std=0.8, random_state=3)[0])


def test_persistence_is_hdbscans() -> None:
    vectors = blobs()
    settings = ClusteringSettings(min_cluster_size=5, min_samples=3, selection_epsilon=0.0, certainty=0.0)
    fitted = fit_clustering(vectors, np.ones(len(vectors), np.int64), settings, same=0.0)
    theirs = hdbscan.HDBSCAN(min_cluster_size=5, min_samples=3, approx_min_span_tree=False).fit(vectors.astype(float))
    pairs = {(ours, other) for ours, other in zip(fitted.density_labels, theirs.labels_, strict=True) if other >= 0}
    assert len(pairs) == len(theirs.cluster_persistence_) > 1
    ours = persistences(fitted)
    for cluster, other in pairs:
        assert ours[cluster] == pytest.approx(theirs.cluster_persistence_[other], rel=1e-4)


def test_dbscan_has_no_tree_and_no_persistence() -> None:
    vectors = blobs()
    fitted = fit_clustering(vectors, np.ones(len(vectors), np.int64), ClusteringSettings(algorithm="dbscan", eps=0.3))
    assert fitted.clusters
    assert persistences(fitted) == [None] * fitted.clusters


def test_measures_without_labels_prefer_clusters_to_chance() -> None:
    vectors = blobs()
    right = hdbscan.HDBSCAN(min_cluster_size=5, min_samples=3).fit(vectors.astype(float)).labels_
    wrong = np.random.default_rng(1).permutation(right)
    for measure in (silhouette, dbcv):
        good, bad = measure(vectors, right), measure(vectors, wrong)
        assert good is not None
        assert bad is not None
        assert good > bad
    assert silhouette(vectors, np.zeros(len(vectors), np.int64)) is None
    assert dbcv(vectors, np.zeros(len(vectors), np.int64)) is None


def test_stability_is_one_for_equal_fits_and_low_for_chance() -> None:
    whole = np.repeat(np.arange(-1, 9), 20)
    parts = random_parts(len(whole), 3)
    same = stability(parts, [whole[part] for part in parts], whole)
    assert same.ari == same.same_left_out == pytest.approx(1.0)
    assert same.found_again == pytest.approx([1.0] * 9)
    rng = np.random.default_rng(0)
    chance = stability(parts, [rng.permutation(whole[part]) for part in parts], whole)
    assert chance.ari is not None
    assert abs(chance.ari) < 0.1
    assert max(similarity for similarity in chance.found_again if similarity is not None) < 0.5


@pytest.fixture(scope="module")
def swept(demo: DemoHome) -> Any:
    """Two feature sets with few settings, and one process."""
    few = ("--features", "behaviour", "--features", "simple", "--min-samples", 1, "--min-cluster-size", 4,
           "--min-cluster-size", 10, "--epsilon", 0, "--eps", 0.1, "--eps", 0.9)  # fmt: skip
    done = cuckoo_ml(demo.home, "assess", "--sweep", "--jobs", 1, *few, "--json")
    assert done.code == 0, done.err
    return done.json


def test_a_sweep_names_the_best_by_each_measure(swept: Any) -> None:
    trials = {trial["name"]: trial for trial in swept["trials"]}
    assert len(trials) == len(swept["trials"]) == 2 * (1 + 2 + 4)  # the current settings, HDBSCAN, DBSCAN
    assert {trial["settings"]["algorithm"] for trial in trials.values()} == {"hdbscan", "dbscan"}
    for measure, name in swept["best"].items():
        assert trials[name]["clustered"] >= swept["least_clustered"]
        values = [
            trial["measures"][measure]
            for trial in trials.values()
            if trial["clustered"] >= swept["least_clustered"] and trial["measures"][measure] is not None
        ]
        assert trials[name]["measures"][measure] == max(values)
    assert {"ami", "bcubed_f", "silhouette", "dbcv", "persistence", "stability"} <= set(swept["best"])
    assert any(trial["clustered"] < swept["least_clustered"] for trial in trials.values())


def test_a_sweep_measures_the_current_settings_as_assess_does(swept: Any, demo: DemoHome) -> None:
    (current,) = [trial for trial in swept["trials"] if trial["current"]]
    assessment = cuckoo_ml(demo.home, "assess", "--resamples", 0, "--json").json
    assert current["clusters"] == assessment["clusters"]
    assert current["clustered"] == pytest.approx(assessment["clustered"])
    assert current["measures"]["ami"] == pytest.approx(assessment["with_labels"]["clustered"]["ami"])
    assert current["measures"]["persistence"] == pytest.approx(assessment["without_labels"]["persistence"])
    for name in ("silhouette", "silhouette_with_noise"):
        assert current["measures"][name] == pytest.approx(assessment["without_labels"][name], abs=1e-5)
    assert current["measures"]["dbcv"] == pytest.approx(assessment["without_labels"]["dbcv"])


def test_a_sweep_prints_tables_and_its_options_need_sweep(demo: DemoHome) -> None:
    few = ("--features", "numerical", "--algorithm", "dbscan", "--eps", 0.7, "--min-cluster-size", 4, "--jobs", 1)
    done = cuckoo_ml(demo.home, "assess", "--sweep", *few)
    assert done.code == 0, done.err
    assert "numerical, DBSCAN" in done.out
    wrong = cuckoo_ml(demo.home, "assess", "--eps", 0.7)
    assert wrong.code == 2
    assert "--sweep" in wrong.err


def test_each_feature_set_has_its_own_features(demo: DemoHome) -> None:
    from cuckoo_ml_plugin.assess.feature_sets import FEATURE_SETS, feature_points
    from cuckoo_ml_plugin.behaviour.kinds import KINDS

    with Store.open(demo.home / "store.db") as store:
        corpus = read_corpus(store)
    for name in FEATURE_SETS:
        points = feature_points(corpus, name, Settings())
        assert points is not None
        assert len(points.point_of) == len(corpus.analyses)
        lengths = np.linalg.norm(points.vectors, axis=1)
        assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))
    tokens = corpus.kinds != KINDS.index("signature")
    without_signatures = {
        "tokens": corpus.tokens[:, tokens],
        "hashes": corpus.hashes[tokens],
        "kinds": corpus.kinds[tokens],
    }
    unsigned = replace(corpus, **without_signatures)
    assert feature_points(unsigned, "simple", Settings()) is None
    changed = replace(corpus, counts=np.random.default_rng(0).permutation(corpus.counts))
    same, other = (feature_points(counted, "nominal", Settings()) for counted in (corpus, changed))
    assert same is not None
    assert other is not None
    assert np.array_equal(same.vectors, other.vectors), "counts are not nominal features"
