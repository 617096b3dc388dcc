"""CuckooML's own experiment again: 199 reports, signatures seen in over 10 % of them, HDBSCAN with 1 and 5.

    python -m benchmarks.quality.gsoc199 [--data ../shared/data] [--orders 200]

The behaviours of the 199 reports are kept without labels and in an order of their own, so clusters can be compared with
the published ones by their sizes, and not report by report. The published agreement with labels is computed again from
the published table of clusters and labels.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import tempfile
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import hdbscan
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score

from benchmarks.support.paths import DATA
from cuckoo_ml_plugin.assess.assessment import assess_model
from cuckoo_ml_plugin.assess.measures import Agreement, clustered_agreement
from cuckoo_ml_plugin.assess.validity import silhouette
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.fit.corpus import read_corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.model.clustering import NOISE
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.store import Store

MIN_SAMPLES, MIN_CLUSTER_SIZE, COVERAGE = 1, 5, 0.1
TREES = ("boruvka_kdtree", "prims_kdtree")  # what hdbscan takes by default here, and its other exact way
CLOSE = 2  # analyses of noise that two runs may differ by and still be called alike
# What CuckooML published (clustering_fit.csv): without its noise, and with it.
PUBLISHED = {"ARI": ("0.230", "0.108"), "AMI": ("0.364", "0.230"), "V-measure": ("0.575", "0.479")}

Features = NDArray[np.float64]
Labels = NDArray[np.int64]


def simple_features(folder: Path) -> tuple[Features, Features]:
    """Which signatures each report matched (199, 61), and those alone that at least 10 % matched (199, 17)."""
    with gzip.open(folder / "behaviours.json.gz", "rt", encoding="utf-8") as file:
        reports = json.load(file)
    names = sorted({name for report in reports for name in report["signatures"]})
    every = np.array([[name in report["signatures"] for name in names] for report in reports], np.float64)
    return every, every[:, every.mean(axis=0) >= COVERAGE]


def cluster(features: Features, tree: str = "best", order: NDArray[np.int64] | None = None) -> Labels:
    """HDBSCAN's clusters as the seed asked for them; with the reports in another order, told in the first one."""
    order = np.arange(len(features)) if order is None else order
    algorithm = hdbscan.HDBSCAN(min_samples=MIN_SAMPLES, min_cluster_size=MIN_CLUSTER_SIZE, algorithm=tree)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found = algorithm.fit(features[order])
    labels = np.empty(len(features), np.int64)
    labels[order] = found.labels_
    return labels


def sizes(labels: Any) -> tuple[int, list[int]]:
    """How many are noise, and the sizes of the clusters, largest first."""
    counts = Counter(int(label) for label in labels)
    noise = counts.pop(NOISE, 0)
    return noise, sorted(counts.values(), reverse=True)


def published(folder: Path) -> tuple[list[int], list[tuple[str, int]]]:
    """The published cluster of each report, and (label, cluster) of each from the published table of both."""
    with (folder / "published" / "clustering_results.csv").open(encoding="utf-8") as file:
        clusters = [int(float(row["label"])) for row in csv.DictReader(file)]
    with (folder / "published" / "cluster_label_distribution.csv").open(encoding="utf-8") as file:
        titles, *rows = csv.reader(file)
    pairs = [
        (label, int(float(row[0])))
        for row in rows
        for label, count in zip(titles[1:], row[1:], strict=True)
        for _ in range(int(count))
    ]
    return clusters, pairs


def experiment_table(features: Features, orders: dict[str, list[Labels]], clusters: list[int]) -> Table:
    """Sizes as published, again, and over random orders of the same reports."""
    table = Table(title="The experiment again")
    for name in ("", "clusters", "noise", "sizes"):
        table.add_column(name)
    noise, found = sizes(clusters)
    table.add_row("published", str(len(found)), str(noise), ", ".join(map(str, found)))
    again = cluster(features)
    lost, now = sizes(again)
    table.add_row("again", str(len(now)), str(lost), ", ".join(map(str, now)))
    for tree, labels in orders.items():
        spread = [sizes(one) for one in labels]
        like = sum(len(one) == len(found) and abs(left - noise) <= CLOSE for left, one in spread)
        table.add_row(
            f"{len(labels)} orders, {tree}",
            _range([len(one) for _, one in spread]),
            _range([left for left, _ in spread]),
            f"largest {_range([one[0] for _, one in spread])}; {like} times {len(found)} clusters, {noise} ± {CLOSE}",
        )
    inside = again != NOISE
    whole = (silhouette(features[inside], again[inside]) or 0, silhouette(features, again) or 0)
    table.caption = f"silhouette of the clusters again {whole[0]:.3f}, with noise {whole[1]:.3f}"
    return table


def _range(values: list[int]) -> str:
    return f"{min(values)} to {max(values)}"


def plugin_table(folder: Path) -> Table:
    """What this plugin says of the same reports: their signatures and the names of their calls, shipped settings."""
    with gzip.open(folder / "behaviours.json.gz", "rt", encoding="utf-8") as file:
        reports = [report_from_results(_report(one)) for one in json.load(file)]
    behaviours = [extract(report) for report in reports]
    with tempfile.TemporaryDirectory() as home, Store.open(Path(home) / "store.db") as store:
        pairs = zip(reports, behaviours, strict=True)
        store.put([AnalysisRecord.of(str(n), report, found) for n, (report, found) in enumerate(pairs)])
        corpus = read_corpus(store)
    model = fit_model(corpus, None, Settings(), None, lambda stage, found: None)[0]
    judged = assess_model(model, corpus, Settings())
    table = Table(title="This plugin, shipped settings")
    for name in ("analyses", "clusters", "noise", "silhouette", "with noise", "fits on parts agree (ARI)"):
        table.add_column(name)
    found = judged.without_labels
    stable = judged.stability.ari if judged.stability else None
    lost = round((1 - judged.clustered) * judged.analyses)
    values = (found.silhouette, found.silhouette_with_noise, stable)
    table.add_row(str(judged.analyses), str(judged.clusters), str(lost), *(f"{value or 0:.3f}" for value in values))
    return table


def _report(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "info": {"id": one["n"], "version": "2.0.7"},
        "signatures": [{"name": name} for name in one["signatures"]],
        "behavior": {"apistats": {"1": dict.fromkeys(one["apis"], 1)}, "summary": {}, "processes": []},
    }


def agreement_table(pairs: list[tuple[str, int]]) -> Table:
    """The published clusters against the published labels, by our measures."""
    table = Table(title="Published clusters against their labels")
    for name in ("", "published", "computed again", "published, with noise", "computed again, with noise"):
        table.add_column(name)
    found = clustered_agreement([label for label, _ in pairs], np.array([number for _, number in pairs]))
    names = {"ARI": "ari", "AMI": "ami", "V-measure": "v_measure", "BCubed F": "bcubed_f", "Malheur's F": "f"}
    for title, name in names.items():
        theirs = PUBLISHED.get(title, ("", ""))
        ours = [f"{_value(one, name):.3f}" for one in found]
        table.add_row(title, theirs[0], ours[0], theirs[1], ours[1])
    return table


def _value(found: Agreement | None, name: str) -> float:
    return float(getattr(found, name)) if found else float("nan")


def ties(features: Features) -> str:
    """How many of the reports, and of the distances between them, are the same."""
    distances = np.unique(pdist(features, "sqeuclidean"))
    rows = np.unique(features, axis=0)
    pairs = len(features) * (len(features) - 1) // 2
    return (
        f"{len(features)} reports show {len(rows)} different sets of signatures; the {pairs:,} distances between them "
        f"take {len(distances)} values."
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--orders", type=int, default=200)
    options = parser.parse_args()
    folder = options.data / "gsoc199"
    every, features = simple_features(folder)
    clusters, pairs = published(folder)
    rng = np.random.default_rng(SEED)
    shuffled = [rng.permutation(len(features)) for _ in range(options.orders)]
    orders = {tree: [cluster(features, tree, order) for order in track(shuffled, tree)] for tree in TREES}
    console = Console(width=150)
    console.print(f"{every.shape[1]} signatures, {features.shape[1]} in at least 10 % of the {len(every)} reports")
    console.print(ties(features))
    console.print(experiment_table(features, orders, clusters))
    same = [adjusted_rand_score(one, other) for one, other in pairwise(orders[TREES[0]])]
    console.print(f"Two orders agree by an ARI of {min(same):.2f} to {max(same):.2f}, {np.mean(same):.2f} on average.")
    console.print(agreement_table(pairs))
    console.print(plugin_table(folder))


if __name__ == "__main__":
    main()
