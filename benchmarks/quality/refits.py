"""How many analyses keep their cluster and their kin over a refit with 10 % more data, on every labelled corpus.

    python -m benchmarks.quality.refits [--data ../shared/data] [--corpora RISS] [--seeds 3]

A fit on a random ten elevenths of a corpus is followed by one on the whole. Of the analyses in a cluster both times,
the table gives the share that has the same id; of all, the share that is in a cluster both times or neither. ``order``:
a fit on the same analyses, imported in another order, gives the same clusters, kin and scores for every analysis.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.quality.nearest import CORPORA, read_samples
from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import stored_corpus
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import Settings

Place = tuple[str | None, str | None, float]


def fit(corpus: Corpus, before: Model | None) -> Model:
    return fit_model(corpus, None, Settings(), before, lambda stage, text: None)[0]


def places(model: Model) -> dict[str, Place]:
    """The ids of cluster and kin, and the anomaly score, of each analysis."""
    clusters, kin = model.clustering.labels, model.kin.labels
    return {
        member.analysis: (
            model.clusters[clusters[point]].id if clusters[point] >= 0 else None,
            model.kins[kin[point]].id if kin[point] >= 0 else None,
            float(model.fitted_scores[point]),
        )
        for point, member in model.members.all()
    }


def kept(first: dict[str, Place], second: dict[str, Place], level: int) -> tuple[float, float]:
    """The share with the same id of those in a group both times, and the share in a group both times or neither."""
    both = [name for name in first if first[name][level] and second[name][level]]
    same = np.mean([first[name][level] == second[name][level] for name in both])
    side = np.mean([(first[name][level] is None) == (second[name][level] is None) for name in first])
    return float(same), float(side)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--corpora", nargs="+", choices=sorted(CORPORA), default=list(CORPORA))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    table = Table(title="a refit with 10 % more data")
    for name in ("corpus", "same cluster id", "in or out kept", "same kin id", "order changes nothing"):
        table.add_column(name, justify="left" if name == "corpus" else "right")
    for name in options.corpora:
        samples = [sample for sample in read_samples(options.data, name) if sample.behaviour.has_behaviour]
        corpus, _ = stored_corpus(samples)
        backwards, _ = stored_corpus(samples[::-1])
        in_any_order = places(fit(corpus, None)) == places(fit(backwards, None))
        values = []
        for seed in range(options.seeds):
            rows = np.random.default_rng(seed).permutation(len(corpus.analyses))
            before = fit(corpus.take(np.sort(rows[: int(len(rows) / 1.1)])), None)
            first, second = places(before), places(fit(corpus, before))
            values.append((*kept(first, second, 0), kept(first, second, 1)[0]))
        table.add_row(name, *(f"{value:.1%}" for value in np.mean(values, axis=0)), "yes" if in_any_order else "no")
    Console().print(table)


if __name__ == "__main__":
    main()
