"""The shipped settings judged without RISS's labels: on a corpus with known families, and by stability on RISS.

    python -m benchmarks.quality.selection [--data ../shared/data]

A single setting is varied at a time; the others are as shipped.

* demo: the generated corpus, whose families are known, with behaviour of both hosts. The columns are the share of
  family members that are clustered, and their purity: the share whose cluster is mostly of their family.
* stability, without labels: two fits on random 80 % parts of RISS. Of the analyses in both parts, those that both fits
  cluster are compared by the adjusted Rand index (Ben-Hur, Elisseeff & Guyon, PSB 2002). "Same left out" is the share
  that both fits cluster or both leave out. Means of three pairs.
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
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.settings import Settings
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import generate

FITS = 4
VARIATIONS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("vectors", "dimensions"): (24, 48, 96),
    ("vectors", "min_document_frequency"): (2, 3, 5),
    ("clustering", "min_cluster_size"): (3, 4, 6, 10),
    ("clustering", "min_samples"): (1, 3, 5),
    ("clustering", "selection_epsilon"): (0.0, 0.3, 0.5, 0.7),
    ("clustering", "certainty"): (0.0, 0.5, 0.66, 0.8),
}


def demo_corpus() -> tuple[Corpus, dict[str, str]]:
    """The demo's corpus, and the families of its ordinary members."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.db") as store:
        demo = generate(Path(folder) / "samples")
        import_reports(store, demo.import_paths)
        members = [analysis for analysis in demo.fitted if analysis.role == "member"]
        return read_corpus(store), {analysis.name: analysis.family for analysis in members}


def clustered_and_pure(corpus: Corpus, clusters: NDArray[np.int64], families: dict[str, str]) -> tuple[float, float]:
    """The share of members that are clustered, and their purity."""
    clustered, _ = clustered_agreement([families.get(name) for name in corpus.analyses], clusters)
    return (clustered.analyses / len(families), clustered.precision) if clustered else (0.0, 0.0)


def variations() -> Iterator[tuple[str, bool, Settings]]:
    """Name, whether it is the shipped value, and the settings."""
    for (section, key), values in VARIATIONS.items():
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
    table = Table(title="One setting varied at a time; shipped values are marked *")
    for name in ("setting", "demo: clustered", "demo: purity", "RISS: stability", "RISS: same left out", "clustered"):
        table.add_column(name, justify="left" if name == "setting" else "right")
    previous = ""
    for name, shipped, settings in track(list(variations()), "fitting"):
        key = name.partition(" ")[0]
        if previous and key != previous:
            table.add_section()
        previous = key
        fits = [clusters_of(corpus.take(part), settings) for part in parts]
        stable = stability(parts, fits, np.full(len(corpus.analyses), NOISE))
        share = float(np.mean(np.concatenate(fits) != NOISE))
        clustered, purity = clustered_and_pure(demo, clusters_of(demo, settings), families)
        values = (clustered, purity, stable.ari or np.nan, stable.same_left_out, share)
        table.add_row(f"{name}{' *' if shipped else ''}", *(f"{value:.3f}" for value in values))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
