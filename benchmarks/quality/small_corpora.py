"""The clusters of the first few dozen analyses, for several numbers of analyses per dimension.

    python -m benchmarks.quality.small_corpora [--sizes 20 40 80 150] [--crowds 1 2] [--draws 6] [--data ../shared/data]

Random draws from the demo's corpus and from RISS are fitted with the shipped settings, where only ``Recipe.crowd``
varies (1: as many dimensions as analyses). AMI counts each analysis without a cluster as a cluster of its own. Then
other analyses of the same corpus are placed. "Placed right" is the share that get the cluster of their own family, of
those with a fitted family that get a cluster. "Strangers placed" is the share that get a cluster, of those without a
fitted family.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_mutual_info_score

from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import families_of, of_corpus, read_samples, stored_corpus
from cuckoo_ml_plugin.fit.corpus import Corpus, read_corpus
from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.fit.groups.alike import AspectTokens
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.intake.import_reports import import_reports
from cuckoo_ml_plugin.model.embedding import FOR_CLUSTERS, Embedding, Recipe
from cuckoo_ml_plugin.model.groups.clustering import Clustering
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import generate

SETTINGS = Settings()
NEWCOMERS = 150
COLUMNS = ("clustered", "AMI", "placed right", "strangers placed")


class Draw(NamedTuple):
    """The rows of the analyses to fit, and of the newcomers to place."""

    fitted: NDArray[np.int64]
    newcomers: NDArray[np.int64]


def corpora(data: Path) -> Iterator[tuple[str, Corpus, NDArray[np.str_]]]:
    """Each corpus with the families of its analyses. An analysis without a family is a family of its own."""
    with tempfile.TemporaryDirectory() as folder:
        demo = generate(Path(folder) / "samples")
        with Store.open(Path(folder) / "store.db") as store:
            import_reports(store, demo.import_paths)
            corpus = read_corpus(store)
        families = {analysis.name: analysis.family or analysis.name for analysis in demo.analyses}
        yield "demo", corpus, np.array([families.get(name, name) for name in corpus.analyses])
    samples = read_samples(data)
    for name in ("all", "ransomware"):
        corpus, _ = stored_corpus(of_corpus(samples, name))
        yield f"RISS, {name}", corpus, families_of(corpus, samples)


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit of some analyses of a corpus."""

    embedding: Embedding
    clustering: Clustering
    labels: NDArray[np.int64]  # of each fitted analysis
    points: NDArray[np.int64]  # the fitted behaviours, by their numbers in the corpus
    tokens: AspectTokens  # of all behaviours of the corpus

    @classmethod
    def of(cls, corpus: Corpus, rows: NDArray[np.int64], recipe: Recipe) -> Fit:
        """Fit the analyses in ``rows`` with the shipped settings."""
        points, point_of = np.unique(corpus.point_of[rows], return_inverse=True)
        multiplicities, tokens = np.bincount(point_of), corpus.tokens[points]
        columns = np.flatnonzero(np.asarray(tokens.sum(axis=0)).ravel())
        tokens = tokens[:, columns].tocsr()
        embedding, weighted = fit_embedding(
            tokens, corpus.hashes[columns], corpus.kinds[columns], multiplicities, recipe, SETTINGS.vectors
        )
        vectors, _ = embed_all(embedding, weighted, np.diff(tokens.indptr))
        all_tokens = AspectTokens.of(corpus)
        clustering = fit_clustering(vectors, multiplicities, SETTINGS.clustering, tokens=all_tokens.take(points))
        return cls(embedding, clustering, clustering.labels[point_of], points, all_tokens)

    def place(self, corpus: Corpus, analysis: int) -> int:
        """The cluster of an analysis that was not fitted."""
        hashes = corpus.hashes[corpus.tokens[corpus.point_of[analysis]].indices]
        columns = np.flatnonzero(np.isin(self.embedding.hashes, hashes))
        vector = self.embedding.embed(columns, len(hashes)).vector
        nearest = self.clustering.nearest(vector)
        own = np.full(len(nearest[0]), corpus.point_of[analysis])
        likenesses = self.tokens.likeness_of_pairs(own, self.points[nearest[0]])
        return self.clustering.place(vector, nearest, likenesses).cluster


def quality(fit: Fit, corpus: Corpus, families: NDArray[np.str_], draw: Draw) -> tuple[float, ...]:
    """The values of ``COLUMNS``; NaN where no newcomer of the kind is placed or exists."""
    own = families[draw.fitted]
    labels = np.where(fit.labels >= 0, fit.labels, -1 - np.arange(len(own)))
    commonest = [Counter(own[fit.labels == cluster]).most_common(1)[0][0] for cluster in range(fit.clustering.clusters)]
    placed = [(families[row], fit.place(corpus, row)) for row in draw.newcomers]
    right = [family == commonest[cluster] for family, cluster in placed if family in own and cluster >= 0]
    strangers = [cluster >= 0 for family, cluster in placed if family not in own]
    ami = float(adjusted_mutual_info_score(own, labels))
    return float((fit.labels >= 0).mean()), ami, _mean(right), _mean(strangers)


def _mean(values: list[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40, 80, 150])
    parser.add_argument("--crowds", type=int, nargs="+", default=[1, FOR_CLUSTERS.crowd])
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    table = Table(title=f"Small corpora: means of {options.draws} draws")
    for column in ("corpus", "analyses", "per dimension", *COLUMNS):
        table.add_column(column, justify="left" if column == "corpus" else "right")
    for name, corpus, families in corpora(options.data):
        for size in options.sizes:
            random = np.random.default_rng(SEED)
            orders = [random.permutation(len(families)) for _ in range(options.draws)]
            draws = [Draw(order[:size], order[size : size + NEWCOMERS]) for order in orders]
            for crowd in options.crowds:
                recipe = replace(FOR_CLUSTERS, crowd=crowd)
                values = [quality(Fit.of(corpus, draw.fitted, recipe), corpus, families, draw) for draw in draws]
                table.add_row(name, str(size), str(crowd), *(f"{mean:.2f}" for mean in np.nanmean(values, axis=0)))
    Console().print(table)


if __name__ == "__main__":
    main()
