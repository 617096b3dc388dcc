"""Do we say what HDBSCAN says? Our placement against ``hdbscan.approximate_predict``, our trees against its clusters.

    python -m benchmarks.quality.agreement [--data ../shared/data]

On the vectors of RISS's distinct behaviours. For placement 80 % are fitted and 20 % placed, by both from one and the
same fit. "Only ours" counts those for which hdbscan says noise and we name a cluster: newcomers to a branch that the
epsilon joined to a cluster. Where min_samples makes many distances equal, the order in which equal edges are taken
decides the rest. The dial and the floor of distances (``SAME``) are ours and are switched off here.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import hdbscan
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_rand_score

from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import read_samples, stored_corpus
from cuckoo_ml_plugin.fit.clustering import fit_clustering
from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.model.embedding import FOR_CLUSTERS
from cuckoo_ml_plugin.settings import SEED, ClusteringSettings, Settings


def riss_vectors(data: Path) -> NDArray[np.float32]:
    """Unit vectors (n, d) of RISS's distinct behaviours, as a refit makes them; equal ones once."""
    corpus, _ = stored_corpus(read_samples(data))
    settings = Settings().vectors
    fitted = fit_embedding(corpus.tokens, corpus.hashes, corpus.kinds, corpus.multiplicities, FOR_CLUSTERS, settings)
    vectors, _ = embed_all(*fitted, np.diff(corpus.tokens.indptr))
    return np.unique(vectors, axis=0)


def placements(vectors: NDArray[np.float32], settings: ClusteringSettings) -> dict[str, NDArray[np.float64]]:
    """What we and hdbscan say of the fifth of the points that was held back, as arrays (held,) by name."""
    order = np.random.default_rng(SEED).permutation(len(vectors))
    cut = len(vectors) * 4 // 5
    train, held = vectors[np.sort(order[:cut])], vectors[np.sort(order[cut:])]
    reference = hdbscan.HDBSCAN(
        min_cluster_size=settings.min_cluster_size,
        min_samples=settings.min_samples,
        cluster_selection_epsilon=settings.selection_epsilon,
        prediction_data=True,
    ).fit(train.astype(np.float64))
    labels, probabilities = hdbscan.approximate_predict(reference, held.astype(np.float64))
    outliers = hdbscan.approximate_predict_scores(reference, held.astype(np.float64))
    undialled = replace(settings, certainty=0.0)
    ours = fit_clustering(train, np.ones(cut, np.int64), undialled, tree="hdbscan", same=0.0)
    placed = [ours.place(vector) for vector in held]
    theirs_to_ours = {-1: -1} | dict(zip(reference.labels_.tolist(), ours.density_labels.tolist(), strict=True))
    return {
        "label": np.array([one.density_cluster for one in placed], float),
        "reference label": np.array([theirs_to_ours[label] for label in labels.tolist()], float),
        "probability": np.array([one.density_probability for one in placed]),
        "reference probability": probabilities,
        "outlier": np.array([one.outlier_score for one in placed]),
        "reference outlier": outliers,
    }


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    vectors = riss_vectors(options.data)
    console = Console(width=110)
    table = Table(title=f"Placement of {len(vectors) - len(vectors) * 4 // 5:,} held-back behaviours, and differences")
    for name in ("settings", "same cluster", "only ours", "probability: greatest", "outlier: greatest", "mean"):
        table.add_column(name)
    for epsilon in (0.0, Settings().clustering.selection_epsilon):
        for size, samples in ((4, 1), (5, 5), (10, 3)):
            settings = ClusteringSettings(min_cluster_size=size, min_samples=samples, selection_epsilon=epsilon)
            found = placements(vectors, settings)
            same = found["label"] == found["reference label"]
            probability = np.abs(found["probability"] - found["reference probability"])[same].max()
            outlier = np.abs(found["outlier"] - np.clip(found["reference outlier"], 0, 1))
            name = f"min_cluster_size {size}, min_samples {samples}, epsilon {epsilon}"
            differences = (f"{value:.1e}" for value in (probability, outlier.max(), outlier.mean()))
            only_ours = int((found["reference label"][~same] == -1).sum())
            table.add_row(name, f"{same.mean():.2%}", str(only_ours), *differences)
    console.print(table)
    table = Table(title=f"Clusters of {len(vectors):,} behaviours: adjusted Rand index with hdbscan's")
    for name in ("settings", "fast-hdbscan", "neighbour graph"):
        table.add_column(name)
    for epsilon in (0.0, Settings().clustering.selection_epsilon):
        for size, samples in ((4, 1), (5, 5), (10, 3)):
            settings = ClusteringSettings(
                min_cluster_size=size, min_samples=samples, selection_epsilon=epsilon, certainty=0.0
            )
            labels = {
                tree: fit_clustering(vectors, np.ones(len(vectors), np.int64), settings, tree, same=0.0).density_labels
                for tree in ("hdbscan", "fast_hdbscan", "graph")
            }
            agreed = (adjusted_rand_score(labels["hdbscan"], labels[tree]) for tree in ("fast_hdbscan", "graph"))
            name = f"min_cluster_size {size}, min_samples {samples}, epsilon {epsilon}"
            table.add_row(name, *(f"{one:.4f}" for one in agreed))
    console.print(table)


if __name__ == "__main__":
    main()
