"""How the shipped settings stand without RISS's labels: a corpus of known truth, and stability on RISS.

    python benchmarks/selection.py [--data ../shared/data]

Each setting is turned alone, the others as shipped.

* demo: the generated corpus (other families, other behaviour, both hosts), of which the truth is known: share of the
  family members clustered, and purity (the share of these whose cluster is mostly of their family).
* stability, without any label: two fits on random 80 % parts of RISS; of the analyses in both, those that both fits
  cluster are compared by the adjusted Rand index (Ben-Hur, Elisseeff & Guyon, PSB 2002), and the share that both
  cluster or both leave out. Mean of three pairs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from riss_corpus import DATA, Sample, read_samples, stored_corpus
from sklearn.metrics import adjusted_rand_score

from cuckoo_ml_plugin.clustering import NOISE
from cuckoo_ml_plugin.clustering_fit import fit_clustering
from cuckoo_ml_plugin.corpus import Corpus, read_corpus
from cuckoo_ml_plugin.demo import generate
from cuckoo_ml_plugin.intake import import_reports
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store import Store
from cuckoo_ml_plugin.vectors import FOR_CLUSTERS
from cuckoo_ml_plugin.vectors_fit import embed_all, fit_embedding

FITS = 4
TURNED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("vectors", "dimensions"): (24, 48, 96),
    ("vectors", "min_document_frequency"): (2, 3, 5),
    ("clustering", "min_cluster_size"): (3, 4, 6, 10),
    ("clustering", "min_samples"): (1, 3, 5),
    ("clustering", "selection_epsilon"): (0.0, 0.3, 0.5, 0.7),
    ("clustering", "certainty"): (0.0, 0.5, 0.66, 0.8),
}


def clusters_of(corpus: Corpus, settings: Settings) -> dict[str, int]:
    """Analysis -> cluster."""
    fitted = fit_embedding(
        corpus.tokens, corpus.hashes, corpus.kinds, corpus.multiplicities, FOR_CLUSTERS, settings.vectors
    )
    vectors, _ = embed_all(*fitted, np.diff(corpus.tokens.indptr))
    labels = fit_clustering(vectors, corpus.multiplicities, settings.clustering).labels[corpus.point_of]
    return dict(zip(corpus.analyses, labels.tolist(), strict=True))


def demo_corpus() -> tuple[Corpus, dict[str, str]]:
    """The demo's corpus, and the family of its ordinary members."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.db") as store:
        made = generate(Path(folder) / "samples")
        import_reports(store, made.import_paths)
        return read_corpus(store), {one.name: one.family for one in made.fitted if one.role == "member"}


def truth(found: dict[str, int], families: dict[str, str]) -> tuple[float, float]:
    """Share of the members clustered, and the purity of these."""
    clustered = {name: cluster for name in families if (cluster := found.get(name, NOISE)) != NOISE}
    mixtures: dict[int, Counter[str]] = {}
    for name, cluster in clustered.items():
        mixtures.setdefault(cluster, Counter())[families[name]] += 1
    pure = sum(max(mixture.values()) for mixture in mixtures.values())
    return len(clustered) / len(families), pure / max(len(clustered), 1)


def parts(samples: list[Sample]) -> list[Corpus]:
    """Random parts of 80 %."""
    rng = np.random.default_rng(SEED)
    size = len(samples) * 4 // 5
    return [stored_corpus(samples[i] for i in sorted(rng.permutation(len(samples))[:size]))[0] for _ in range(FITS)]


def stability(fits: list[dict[str, int]]) -> tuple[float, float]:
    """Agreement of neighbouring fits: adjusted Rand index, and share that both cluster or both leave out."""
    agreed, alike = [], []
    for one, other in pairwise(fits):
        both = [(one[name], other[name]) for name in one if name in other]
        clustered = [pair for pair in both if NOISE not in pair]
        agreed.append(adjusted_rand_score(*zip(*clustered, strict=True)))
        alike.append(np.mean([(a == NOISE) == (b == NOISE) for a, b in both]))
    return float(np.mean(agreed)), float(np.mean(alike))


def turned() -> Iterator[tuple[str, bool, Settings]]:
    """Name, whether it is as shipped, and the settings."""
    for (section, key), values in TURNED.items():
        for value in values:
            part = replace(getattr(Settings(), section), **{key: value})
            yield f"{key} = {value}", part == getattr(Settings(), section), replace(Settings(), **{section: part})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    corpora = parts(read_samples(options.data))
    demo, families = demo_corpus()
    table = Table(title="One setting turned at a time; shipped ones marked *")
    for name in ("setting", "demo: clustered", "demo: purity", "RISS: stability", "RISS: same left out", "clustered"):
        table.add_column(name, justify="left" if name == "setting" else "right")
    before = ""
    for name, shipped, settings in track(list(turned()), "fitting"):
        key = name.partition(" ")[0]
        if before and key != before:
            table.add_section()
        before = key
        fits = [clusters_of(corpus, settings) for corpus in corpora]
        share = float(np.mean([[cluster != NOISE for cluster in fit.values()] for fit in fits]))
        values = (*truth(clusters_of(demo, settings), families), *stability(fits), share)
        table.add_row(f"{name}{' *' if shipped else ''}", *(f"{value:.3f}" for value in values))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
