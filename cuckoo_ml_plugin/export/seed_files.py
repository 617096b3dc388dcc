"""CuckooML's six CSV files with CuckooML's columns, so that programs that read them go on working.

CuckooML is the seed of this plugin. Its files hold what this plugin computes: clusters, probabilities, outlier scores
and the fences of the counts. Analyses are named by their ids, clusters by the number of their id (17.0 for c17, -1.0
for noise). The label of an analysis without one is ``none``. ``clustering_results`` has a further column, ``kin``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cuckoo_ml_plugin.assess.measures import agreement
from cuckoo_ml_plugin.assess.validity import silhouette
from cuckoo_ml_plugin.export.clustering_results import ClusteringResults
from cuckoo_ml_plugin.finding.seed import number_of_id
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.plumbing.csv_file import Cell, write_csv
from cuckoo_ml_plugin.plumbing.text import printable
from cuckoo_ml_plugin.settings import AnomalySettings

UNLABELLED = "none"
HOMOGENEITY = 0.2
"""Analyses are suspects if a smaller share of their cluster has their label, as in the seed."""
ANOMALIES = ("cluster", "high_outlier_score", "low_probability", "outliers", "homogeneity_suspects")
# The names that the seed had for our counts, after ``:count:``; every other count has its own name there.
SEED_COUNTS = {
    "libraries_loaded": "dimp", "dns_queries": "dns", "files_touched": "file:all", "files_copied": "file:copied",
    "files_deleted": "file:deleted", "files_exists": "file:exists", "files_failed": "file:failed",
    "files_opened": "file:opened", "files_read": "file:read", "files_renamed": "file:renamed",
    "files_written": "file:written", "http_requests": "http", "languages": "lang", "mutexes": "mutex",
    "processes": "proc", "registry_deleted": "reg:del", "registry_written": "reg:write", "import_libraries": "simp",
    "tcp_hosts": "tcp", "udp_hosts": "udp", "distinct_apis": "wapi",
}  # fmt: skip

_NUMBER = re.compile(r"[1-9][0-9]{0,14}|0")

Rows = list[list[Cell]]


def write_seed_files(results: ClusteringResults, anomaly: AnomalySettings, folder: Path) -> list[Path]:
    """Write the six files into a folder. Raises OSError."""
    tables: dict[str, tuple[list[str], Rows]] = {
        "clustering_results": (["", "label", "probability", "outlier_score", "kin"], clustering_results(results)),
        "clustering_fit": (["", "clustering", "clustering+noise"], clustering_fit(results)),
        "cluster_label_distribution": label_distribution(results),
        "abnormal_behaviour": (["", "outliers", "suspect_outliers"], abnormal_behaviour(results)),
        "anomalies": (["", *ANOMALIES], anomalies(results, anomaly)),
        "test_samples": test_samples(results),
    }
    return [write_csv(folder / f"{name}.csv", columns, rows) for name, (columns, rows) in tables.items()]


def clustering_results(results: ClusteringResults) -> Rows:
    """A row for each analysis: cluster, probability, outlier score, kin."""
    columns = (
        results.cluster_ids(), results.probabilities.tolist(), results.outlier_scores.tolist(), results.kin_numbers
    )  # fmt: skip
    return [
        [name, float(cluster), probability, score, float(kin)]
        for name, cluster, probability, score, kin in zip(results.corpus.analyses, *columns, strict=True)
    ]


def clustering_fit(results: ClusteringResults) -> Rows:
    """The six measures of the seed, without noise and with it."""
    labels = _labels(results)
    inside = results.clusters != NOISE
    clustered_labels = [label for label, clustered in zip(labels, inside.tolist(), strict=True) if clustered]
    agreements = agreement(clustered_labels, results.clusters[inside]), agreement(labels, results.clusters)
    measures = {
        "Adjusted Mutual Information Score": "ami",
        "Adjusted Random Index": "ari",
        "Completeness": "completeness",
        "Homogeneity": "homogeneity",
        "V-measure": "v_measure",
    }
    rows: Rows = [
        [name, *(None if scores is None else float(getattr(scores, measure)) for scores in agreements)]
        for name, measure in measures.items()
    ]
    rows.append([
        "Silhouette Coefficient",
        silhouette(results.vectors[inside], results.clusters[inside]),
        silhouette(results.vectors, results.clusters),
    ])  # fmt: skip
    return sorted(rows, key=lambda row: str(row[0]))


def label_distribution(results: ClusteringResults) -> tuple[list[str], Rows]:
    """Columns and rows: for each cluster the number of analyses with each label. Noise comes first."""
    pairs = Counter(zip(results.cluster_ids(), _labels(results), strict=True))
    labels = sorted({label for _, label in pairs})
    clusters = sorted({cluster for cluster, _ in pairs})
    rows: Rows = [[float(cluster), *(pairs[cluster, label] for label in labels)] for cluster in clusters]
    return ["cluster_id", *labels], rows


def abnormal_behaviour(results: ClusteringResults) -> Rows:
    """A row for each count: the analyses outside of its outer and of its inner fences, as JSON lists."""
    columns = outside_fences(results)
    return [[count, _names(outliers), _names(suspects)] for count, (outliers, suspects) in sorted(columns.items())]


def outside_fences(results: ClusteringResults) -> dict[str, tuple[list[str], list[str]]]:
    """For each count, by the seed's name: the outliers, outside of the outer fences, and the suspects between both."""
    names = {count: f":count:{SEED_COUNTS.get(count, count)}" for count in results.model.fences.names}
    outside: dict[str, tuple[list[str], list[str]]] = {name: ([], []) for name in names.values()}
    for row, analysis in enumerate(results.corpus.analyses):
        for count, verdict in results.model.fences.verdicts(results.counts_of(row)).items():
            outside[names[count]][verdict == "suspect"].append(analysis)
    return outside


def anomalies(results: ClusteringResults, settings: AnomalySettings) -> Rows:
    """A row for each analysis: its cluster, and 1.0 under each reason that applies."""
    labels, clusters = _labels(results), results.cluster_ids()
    pairs, sizes = Counter(zip(clusters, labels, strict=True)), Counter(clusters)
    rows: Rows = []
    for row, name in enumerate(results.corpus.analyses):
        cluster, inside = clusters[row], clusters[row] != NOISE
        applies = (
            inside and results.outlier_scores[row] >= settings.high_outlier_score,
            inside and results.probabilities[row] < settings.low_probability,
            not inside,
            pairs[cluster, labels[row]] < HOMOGENEITY * sizes[cluster],
        )
        rows.append([name, float(cluster), *(1.0 if reason else None for reason in applies)])
    return rows


def test_samples(results: ClusteringResults) -> tuple[list[str], Rows]:
    """The analyses scored after the fit. As in the seed, a single one has two columns, several have a column each."""
    columns = [] if len(results.newer) < 2 else ["", *(finding.analysis for finding in results.newer)]
    values: dict[str, Callable[[int], float | None]] = {
        "label": lambda i: float(number_of_id(results.newer[i].cluster)),
        "probability": lambda i: results.newer[i].probability or 0.0,
        "outlier_score": lambda i: results.newer[i].outlier_score,
    }
    return columns, [[name, *map(value, range(len(results.newer)))] for name, value in values.items()]


def _labels(results: ClusteringResults) -> list[str]:
    return [label or UNLABELLED for label in results.corpus.labels]


def _names(analyses: list[str]) -> str:
    """A JSON list. Ids that are numbers are written as numbers, as in the seed."""
    return json.dumps([int(name) if _NUMBER.fullmatch(name) else printable(name) for name in analyses])
