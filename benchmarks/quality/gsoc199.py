"""CuckooML's own experiment, repeated: 199 reports, the signatures that over 10 % of them match, HDBSCAN(1, 5).

    python -m benchmarks.quality.gsoc199 [--data ../shared/data] [--orders 200]

The data of the 199 reports have no labels and another order than the published results. So the clusters can only be
compared by their sizes, not report by report. The published agreement with labels is computed again from the published
table of clusters and labels.
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
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.store import Store

MIN_SAMPLES, MIN_CLUSTER_SIZE, COVERAGE = 1, 5, 0.1
TREES = ("boruvka_kdtree", "prims_kdtree")  # hdbscan's default here, and its other exact algorithm
CLOSE = 2  # greatest difference in noise between two runs that count as alike
# Published by CuckooML (clustering_fit.csv), without noise and with noise.
PUBLISHED = {"ARI": ("0.230", "0.108"), "AMI": ("0.364", "0.230"), "V-measure": ("0.575", "0.479")}

Features = NDArray[np.float64]
Labels = NDArray[np.int64]


def simple_features(folder: Path) -> tuple[Features, Features]:
    """The signatures that each report matches (199, 61), and only those that at least 10 % match (199, 17)."""
    with gzip.open(folder / "behaviours.json.gz", "rt", encoding="utf-8") as file:
        reports = json.load(file)
    names = sorted({name for report in reports for name in report["signatures"]})
    signatures = np.array([[name in report["signatures"] for name in names] for report in reports], np.float64)
    return signatures, signatures[:, signatures.mean(axis=0) >= COVERAGE]


def cluster(features: Features, tree: str = "best", order: NDArray[np.int64] | None = None) -> Labels:
    """HDBSCAN's clusters with the seed's settings. ``order`` is the order of the reports in the fit alone."""
    order = np.arange(len(features)) if order is None else order
    algorithm = hdbscan.HDBSCAN(min_samples=MIN_SAMPLES, min_cluster_size=MIN_CLUSTER_SIZE, algorithm=tree)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        clustering = algorithm.fit(features[order])
    labels = np.empty(len(features), np.int64)
    labels[order] = clustering.labels_
    return labels


def sizes(labels: Any) -> tuple[int, list[int]]:
    """The number of noise analyses, and the sizes of the clusters, largest first."""
    counts = Counter(int(label) for label in labels)
    noise = counts.pop(NOISE, 0)
    return noise, sorted(counts.values(), reverse=True)


def published(folder: Path) -> tuple[list[int], list[tuple[str, int]]]:
    """The published clusters, and (label, cluster) of each report from the published table of both."""
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
    """The sizes of the clusters: published, repeated, and for random orders of the reports."""
    table = Table(title="The experiment, repeated")
    for name in ("", "clusters", "noise", "sizes"):
        table.add_column(name)
    published_noise, published_sizes = sizes(clusters)
    repeated = cluster(features)
    for name, (noise, cluster_sizes) in {
        "published": (published_noise, published_sizes),
        "repeated": sizes(repeated),
    }.items():
        table.add_row(name, str(len(cluster_sizes)), str(noise), ", ".join(map(str, cluster_sizes)))
    for tree, labels in orders.items():
        runs = [sizes(order_labels) for order_labels in labels]
        alike = sum(
            len(cluster_sizes) == len(published_sizes) and abs(noise - published_noise) <= CLOSE
            for noise, cluster_sizes in runs
        )
        table.add_row(
            f"{len(labels)} orders, {tree}",
            _range([len(cluster_sizes) for _, cluster_sizes in runs]),
            _range([noise for noise, _ in runs]),
            f"largest {_range([cluster_sizes[0] for _, cluster_sizes in runs])}; "
            f"{alike} times {len(published_sizes)} clusters and {published_noise} ± {CLOSE} noise",
        )
    inside = repeated != NOISE
    without_noise, with_noise = silhouette(features[inside], repeated[inside]) or 0, silhouette(features, repeated) or 0
    table.caption = f"silhouette, repeated: {without_noise:.3f}, with noise {with_noise:.3f}"
    return table


def _range(values: list[int]) -> str:
    return f"{min(values)} to {max(values)}"


def plugin_table(folder: Path) -> Table:
    """The plugin's own clusters of these reports, from signatures and API names, with the shipped settings."""
    with gzip.open(folder / "behaviours.json.gz", "rt", encoding="utf-8") as file:
        reports = [report_from_results(_results(entry)) for entry in json.load(file)]
    behaviours = [extract(report) for report in reports]
    with tempfile.TemporaryDirectory() as home, Store.open(Path(home) / "store.db") as store:
        pairs = zip(reports, behaviours, strict=True)
        store.put([AnalysisRecord.of(str(n), report, behaviour) for n, (report, behaviour) in enumerate(pairs)])
        corpus = read_corpus(store)
    model = fit_model(corpus, None, Settings(), None, lambda stage, text: None)[0]
    assessment = assess_model(model, corpus, Settings())
    table = Table(title="This plugin, shipped settings")
    for name in ("analyses", "clusters", "noise", "silhouette", "with noise", "agreement of fits on parts (ARI)"):
        table.add_column(name)
    validity = assessment.without_labels
    stable = assessment.stability.ari if assessment.stability else None
    noise = round((1 - assessment.clustered) * assessment.analyses)
    values = (validity.silhouette, validity.silhouette_with_noise, stable)
    table.add_row(
        str(assessment.analyses), str(assessment.clusters), str(noise), *(f"{value or 0:.3f}" for value in values)
    )
    return table


def _results(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "info": {"id": entry["n"], "version": "2.0.7"},
        "signatures": [{"name": name} for name in entry["signatures"]],
        "behavior": {"apistats": {"1": dict.fromkeys(entry["apis"], 1)}, "summary": {}, "processes": []},
    }


def agreement_table(pairs: list[tuple[str, int]]) -> Table:
    """The published clusters compared with the published labels, by our measures."""
    table = Table(title="Published clusters compared with their labels")
    for name in ("", "published", "computed again", "published, with noise", "computed again, with noise"):
        table.add_column(name)
    agreements = clustered_agreement([label for label, _ in pairs], np.array([number for _, number in pairs]))
    names = {"ARI": "ari", "AMI": "ami", "V-measure": "v_measure", "BCubed F": "bcubed_f", "Malheur's F": "f"}
    for title, name in names.items():
        published_values = PUBLISHED.get(title, ("", ""))
        values = [f"{_value(scores, name):.3f}" for scores in agreements]
        table.add_row(title, published_values[0], values[0], published_values[1], values[1])
    return table


def _value(scores: Agreement | None, name: str) -> float:
    return float(getattr(scores, name)) if scores else float("nan")


def ties_text(features: Features) -> str:
    """A sentence on equal reports and equal distances between reports."""
    distances = np.unique(pdist(features, "sqeuclidean"))
    rows = np.unique(features, axis=0)
    pairs = len(features) * (len(features) - 1) // 2
    return (
        f"{len(features)} reports have {len(rows)} different sets of signatures; the {pairs:,} distances between them "
        f"take only {len(distances)} values."
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--orders", type=int, default=200)
    options = parser.parse_args()
    folder = options.data / "gsoc199"
    signatures, features = simple_features(folder)
    clusters, pairs = published(folder)
    rng = np.random.default_rng(SEED)
    shuffled = [rng.permutation(len(features)) for _ in range(options.orders)]
    orders = {tree: [cluster(features, tree, order) for order in track(shuffled, tree)] for tree in TREES}
    console = Console(width=150)
    console.print(
        f"{signatures.shape[1]} signatures, {features.shape[1]} in at least 10 % of the {len(signatures)} reports"
    )
    console.print(ties_text(features))
    console.print(experiment_table(features, orders, clusters))
    indices = [adjusted_rand_score(first, second) for first, second in pairwise(orders[TREES[0]])]
    console.print(
        f"Two orders agree with an ARI of {min(indices):.2f} to {max(indices):.2f}, {np.mean(indices):.2f} on average."
    )
    console.print(agreement_table(pairs))
    console.print(plugin_table(folder))


if __name__ == "__main__":
    main()
