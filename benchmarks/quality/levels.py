"""How well clusters and kin agree with labels, at shares of all labelled analyses, on every labelled corpus.

    python -m benchmarks.quality.levels [--data ../shared/data] [--corpora RISS]

One fit of each corpus without labels, with the shipped settings. The analyses are ordered by how certain their
membership is, as the dial ``certainty`` does, and AMI is measured over the surest share of all labelled analyses, those
without behaviour included. ``shipped`` is what the default settings give: the share that is in a group, and the purity,
which is the share of these that has its group's commonest label.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_mutual_info_score

from benchmarks.quality.nearest import CORPORA, read_samples
from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import Sample, families_of, stored_corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.fit.groups.alike import AspectTokens
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.settings import Settings

GOODWARE = "goodware"
SHARES = (0.7, 0.8, 0.9)


def ami_at_shares(
    families: NDArray[np.str_], groups: NDArray[np.int64], certainties: NDArray[np.float64], labelled: int
) -> list[float]:
    """The AMI of the surest of N analyses, for each of ``SHARES`` of ``labelled``; NaN where fewer are in a group."""
    inside = np.flatnonzero(groups >= 0)
    order = inside[np.argsort(-certainties[inside], kind="stable")]
    counts = [round(share * labelled) for share in SHARES]
    return [
        float(adjusted_mutual_info_score(families[order[:count]], groups[order[:count]]))
        if count <= len(order)
        else np.nan
        for count in counts
    ]


def purity(families: NDArray[np.str_], groups: NDArray[np.int64]) -> float:
    """The share of the grouped that has its group's commonest label."""
    members = [families[groups == group] for group in np.unique(groups[groups >= 0])]
    return sum(Counter(some).most_common(1)[0][1] for some in members) / max(int((groups >= 0).sum()), 1)


def rows_of(samples: list[Sample]) -> list[tuple[str, ...]]:
    """The rows of the table: of the clusters, and of the kin."""
    corpus, _ = stored_corpus([sample for sample in samples if sample.behaviour.has_behaviour])
    model, _ = fit_model(corpus, None, Settings(), None, lambda stage, text: None)
    families, points = families_of(corpus, samples), corpus.point_of
    fitted, kin = model.clustering, model.kin
    clusters = fitted.labels[points]
    least = replace(Settings().clustering, certainty=0.0)  # all go to their nearest cluster
    turned_down = fit_clustering(fitted.index.in_order(), corpus.weights, least, tokens=AspectTokens.of(corpus))
    levels = {
        "cluster": (turned_down.labels[points], turned_down.certainties[points], clusters),
        "kin": (kin.labels[points], kin.certainties[points], kin.labels[points]),
    }
    rows = []
    for level, (groups, certainties, shipped) in levels.items():
        curve = ami_at_shares(families, groups, certainties, len(samples))
        share = (shipped >= 0).sum() / len(samples)
        rows.append(
            (
                level,
                f"{len(np.unique(shipped[shipped >= 0])):,}",
                *("-" if np.isnan(value) else f"{value:.3f}" for value in curve),
                f"{share:.2f}",
                f"{purity(families, shipped):.3f}",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--corpora", nargs="+", choices=sorted(CORPORA), default=list(CORPORA))
    options = parser.parse_args()
    table = Table(title="AMI at shares of all labelled analyses, and the shipped share and purity")
    for name in ("corpus", "analyses", "level", "groups", *(f"@{share:.2f}" for share in SHARES), "shipped", "purity"):
        table.add_column(name, justify="left" if name in ("corpus", "level") else "right")
    for name in options.corpora:
        samples = read_samples(options.data, name)
        malware = [sample for sample in samples if sample.family != GOODWARE]
        parts = {name: samples} | ({f"{name}, ransomware": malware} if len(malware) < len(samples) else {})
        for part, some in parts.items():
            for row in rows_of(some):
                table.add_row(part, f"{len(some):,}", *row)
    Console().print(table)


if __name__ == "__main__":
    main()
