"""Agreement with hdbscan: our placement and ``hdbscan.approximate_predict``, our trees and its clusters.

    python -m benchmarks.quality.agreement [--data ../shared/data]

The vectors are those of RISS's distinct behaviours. For placement, 80 % are fitted, and both place the other 20 % from
the same fit. "Only ours" counts behaviours that hdbscan calls noise and we place in a cluster: newcomers in a branch
that the epsilon merged into a cluster. The other differences come from min_samples, which makes many distances equal,
so that the order of equal edges decides. The certainty threshold and the floor of distances (``SAME``) are ours alone
and are switched off.
"""

from __future__ import annotations

import argparse
from collections import Counter
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
from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.model.embedding import FOR_CLUSTERS
from cuckoo_ml_plugin.settings import SEED, ClusteringSettings, Settings


def riss_vectors(data: Path) -> NDArray[np.float32]:
    """Unit vectors (n, d) of RISS's distinct behaviours as a refit makes them, without duplicates.

    A behaviour of which the model knows nothing with weight has a zero vector. We place it nowhere, hdbscan does not
    know such; it is left out.
    """
    corpus, _ = stored_corpus(read_samples(data))
    settings = Settings().vectors
    embedding = fit_embedding(
        corpus.tokens,
        corpus.hashes,
        corpus.kinds,
        corpus.weights,
        FOR_CLUSTERS,
        settings,
        background=corpus.background,
    )
    vectors, _ = embed_all(*embedding, np.diff(corpus.tokens.indptr))
    return np.unique(vectors[vectors.any(axis=1)], axis=0)


def placements(vectors: NDArray[np.float32], settings: ClusteringSettings) -> dict[str, NDArray[np.float64]]:
    """Our and hdbscan's placements of the fifth of the points that is not fitted, as arrays (held_out,) by name."""
    order = np.random.default_rng(SEED).permutation(len(vectors))
    cut = len(vectors) * 4 // 5
    train, held_out = vectors[np.sort(order[:cut])], vectors[np.sort(order[cut:])]
    reference = hdbscan.HDBSCAN(
        min_cluster_size=settings.min_cluster_size,
        min_samples=settings.min_samples,
        cluster_selection_epsilon=settings.selection_epsilon,
        prediction_data=True,
    ).fit(train.astype(np.float64))
    labels, probabilities = hdbscan.approximate_predict(reference, held_out.astype(np.float64))
    outliers = hdbscan.approximate_predict_scores(reference, held_out.astype(np.float64))
    unfiltered = replace(settings, certainty=0.0)
    ours = fit_clustering(train, np.ones(cut, np.int64), unfiltered, tree="hdbscan", same=0.0)
    placed = [ours.place(vector) for vector in held_out]
    # By most members: where edges are equally long, their order decides, and a member may be in another cluster.
    pairs = Counter(zip(reference.labels_.tolist(), ours.density_labels.tolist(), strict=True))
    our_label_of = {theirs: our for (theirs, our), _ in reversed(pairs.most_common())} | {-1: -1}
    return {
        "label": np.array([placement.density_cluster for placement in placed], float),
        "reference label": np.array([our_label_of[label] for label in labels.tolist()], float),
        "probability": np.array([placement.density_probability for placement in placed]),
        "reference probability": probabilities,
        "outlier": np.array([placement.outlier_score for placement in placed]),
        "reference outlier": outliers,
    }


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    vectors = riss_vectors(options.data)
    console = Console(width=110)
    held_out = len(vectors) - len(vectors) * 4 // 5
    table = Table(title=f"Placement of {held_out:,} behaviours that were held out, and differences")
    for name in ("settings", "same cluster", "only ours", "probability: greatest", "outlier: greatest", "mean"):
        table.add_column(name)
    for epsilon in (0.0, Settings().clustering.selection_epsilon):
        for size, samples in ((4, 1), (5, 5), (10, 3)):
            settings = ClusteringSettings(min_cluster_size=size, min_samples=samples, selection_epsilon=epsilon)
            values = placements(vectors, settings)
            same = values["label"] == values["reference label"]
            probability = np.abs(values["probability"] - values["reference probability"])[same].max()
            outlier = np.abs(values["outlier"] - np.clip(values["reference outlier"], 0, 1))
            name = f"min_cluster_size {size}, min_samples {samples}, epsilon {epsilon}"
            differences = (f"{value:.1e}" for value in (probability, outlier.max(), outlier.mean()))
            only_ours = int((values["reference label"][~same] == -1).sum())
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
            indices = (adjusted_rand_score(labels["hdbscan"], labels[tree]) for tree in ("fast_hdbscan", "graph"))
            name = f"min_cluster_size {size}, min_samples {samples}, epsilon {epsilon}"
            table.add_row(name, *(f"{index:.4f}" for index in indices))
    console.print(table)


if __name__ == "__main__":
    main()
