"""How the shipped settings stand without RISS's labels: a corpus of known truth, and stability on RISS.

    python -m benchmarks.quality.selection [--data ../shared/data]

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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import read_samples, stored_corpus
from cuckoo_ml_plugin.assess.measures import clustered_agreement
from cuckoo_ml_plugin.assess.resampling import clusters_of, random_parts, stability
from cuckoo_ml_plugin.fit.corpus import Corpus, read_corpus
from cuckoo_ml_plugin.intake.import_reports import import_reports
from cuckoo_ml_plugin.model.clustering import NOISE
from cuckoo_ml_plugin.settings import Settings
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import generate

FITS = 4
TURNED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("vectors", "dimensions"): (24, 48, 96),
    ("vectors", "min_document_frequency"): (2, 3, 5),
    ("clustering", "min_cluster_size"): (3, 4, 6, 10),
    ("clustering", "min_samples"): (1, 3, 5),
    ("clustering", "selection_epsilon"): (0.0, 0.3, 0.5, 0.7),
    ("clustering", "certainty"): (0.0, 0.5, 0.66, 0.8),
}


def demo_corpus() -> tuple[Corpus, dict[str, str]]:
    """The demo's corpus, and the family of its ordinary members."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.db") as store:
        made = generate(Path(folder) / "samples")
        import_reports(store, made.import_paths)
        return read_corpus(store), {one.name: one.family for one in made.fitted if one.role == "member"}


def truth(corpus: Corpus, clusters: NDArray[np.int64], families: dict[str, str]) -> tuple[float, float]:
    """Share of the members clustered, and the purity of these."""
    clustered, _ = clustered_agreement([families.get(name) for name in corpus.analyses], clusters)
    return (clustered.analyses / len(families), clustered.precision) if clustered else (0.0, 0.0)


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
    corpus, _ = stored_corpus(read_samples(options.data))
    parts = random_parts(len(corpus.analyses), FITS)
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
        fits = [clusters_of(corpus.take(part), settings) for part in parts]
        stable = stability(parts, fits, np.full(len(corpus.analyses), NOISE))
        share = float(np.mean(np.concatenate(fits) != NOISE))
        kept, pure = truth(demo, clusters_of(demo, settings), families)
        values = (kept, pure, stable.ari or np.nan, stable.same_left_out, share)
        table.add_row(f"{name}{' *' if shipped else ''}", *(f"{value:.3f}" for value in values))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
