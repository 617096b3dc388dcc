"""How well the first few dozen analyses are clustered, by how many of them there are for each direction.

    python benchmarks/small_corpora.py [--sizes 20 40 80 150] [--crowds 1 4] [--draws 6] [--data ../shared/data]

Random draws of the demo's corpus and of RISS. The columns are fits of the same draws with the shipped settings; they
differ in ``Recipe.crowd`` alone (1: as many directions as there are). AMI counts what is in no cluster as a cluster of
its own each.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from riss_corpus import DATA, families_of, of_corpus, read_samples, stored_corpus
from sklearn.metrics import adjusted_mutual_info_score

from cuckoo_ml_plugin.clustering_fit import fit_clustering
from cuckoo_ml_plugin.corpus import Corpus, read_corpus
from cuckoo_ml_plugin.demo import generate
from cuckoo_ml_plugin.intake import import_reports
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store import Store
from cuckoo_ml_plugin.vectors import FOR_CLUSTERS, Recipe
from cuckoo_ml_plugin.vectors_fit import embed_all, fit_embedding

SETTINGS = Settings()


def corpora(data: Path) -> Iterator[tuple[str, Corpus, NDArray[np.str_]]]:
    """Each corpus with the family of each of its analyses; one without a family is one of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder) / "samples")
        with Store.open(Path(folder) / "store.db") as store:
            import_reports(store, made.import_paths)
            corpus = read_corpus(store)
        families = {one.name: one.family or one.name for one in made.analyses}
        yield "demo", corpus, np.array([families.get(name, name) for name in corpus.analyses])
    samples = read_samples(data)
    for name in ("all", "ransomware"):
        corpus, _ = stored_corpus(of_corpus(samples, name))
        yield f"RISS, {name}", corpus, families_of(corpus, samples)


def clustered(corpus: Corpus, chosen: NDArray[np.int64], recipe: Recipe) -> NDArray[np.int64]:
    """The cluster of each chosen analysis, fitted on these alone."""
    points, point_of = np.unique(corpus.point_of[chosen], return_inverse=True)
    multiplicities, tokens = np.bincount(point_of), corpus.tokens[points]
    shown = np.flatnonzero(np.asarray(tokens.sum(axis=0)).ravel())
    tokens = tokens[:, shown].tocsr()
    embedding, known = fit_embedding(
        tokens, corpus.hashes[shown], corpus.kinds[shown], multiplicities, recipe, SETTINGS.vectors
    )
    vectors, _ = embed_all(embedding, known, np.diff(tokens.indptr))
    return fit_clustering(vectors, multiplicities, SETTINGS.clustering).labels[point_of]


def quality(labels: NDArray[np.int64], families: NDArray[np.str_]) -> tuple[float, float]:
    """Share that is clustered, and AMI with noise."""
    alone = np.where(labels >= 0, labels, -1 - np.arange(len(labels)))
    return float((labels >= 0).mean()), float(adjusted_mutual_info_score(families, alone))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40, 80, 150])
    parser.add_argument("--crowds", type=int, nargs="+", default=[1, FOR_CLUSTERS.crowd])
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    recipes = [replace(FOR_CLUSTERS, crowd=crowd) for crowd in options.crowds]
    table = Table(title=f"Small corpora: means of {options.draws} draws")
    for column in (
        "corpus",
        "analyses",
        *(f"{what}, {one}" for what in ("clustered", "AMI") for one in options.crowds),
    ):
        table.add_column(column, justify="left" if column == "corpus" else "right")
    for name, corpus, families in corpora(options.data):
        for size in options.sizes:
            random = np.random.default_rng(SEED)
            draws = [random.choice(len(families), size, replace=False) for _ in range(options.draws)]
            found = [
                np.mean([quality(clustered(corpus, one, recipe), families[one]) for one in draws], axis=0)
                for recipe in recipes
            ]
            cells = [f"{one[column]:.{2 + column}f}" for column in (0, 1) for one in found]
            table.add_row(name, str(size), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
