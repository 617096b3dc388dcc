"""What the dial ``certainty`` gives on every labelled corpus: how many analyses are clustered, and how well.

    python -m benchmarks.quality.dial [--data ../shared/data] [--certainty 0.62 0.66]

One fit of each corpus without labels; shares are of all labelled analyses. AMI and purity (the share of the clustered
that has its cluster's commonest label) are of the clustered.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_mutual_info_score

from benchmarks.quality.nearest import CORPORA, read_samples
from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import Sample, families_of, stored_corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.settings import Settings

GOODWARE = "goodware"


def measures(samples: list[Sample], certainty: float) -> tuple[float, float, float]:
    """The share of the samples that is clustered, its AMI and its purity."""
    corpus, _ = stored_corpus([sample for sample in samples if sample.behaviour.has_behaviour])
    settings = Settings()
    settings = replace(settings, clustering=replace(settings.clustering, certainty=certainty))
    model, _ = fit_model(corpus, None, settings, None, lambda stage, text: None)
    families, clusters = families_of(corpus, samples), model.clustering.labels[corpus.point_of]
    families, clusters = families[clusters >= 0], clusters[clusters >= 0]
    commonest = sum(Counter(families[clusters == cluster]).most_common(1)[0][1] for cluster in np.unique(clusters))
    ami = adjusted_mutual_info_score(families, clusters)
    return len(clusters) / len(samples), float(ami), commonest / max(len(clusters), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--certainty", type=float, nargs="+", default=[Settings().clustering.certainty])
    options = parser.parse_args()
    table = Table(title="the dial on every corpus")
    for name in ("corpus", "analyses", "certainty", "clustered", "AMI", "purity"):
        table.add_column(name, justify="left" if name == "corpus" else "right")
    for name in CORPORA:
        samples = read_samples(options.data, name)
        malware = [sample for sample in samples if sample.family != GOODWARE]
        parts = {name: samples} | ({f"{name}, ransomware": malware} if len(malware) < len(samples) else {})
        for part, some in parts.items():
            for certainty in options.certainty:
                share, ami, purity = measures(some, certainty)
                table.add_row(part, f"{len(some):,}", f"{certainty:.2f}", f"{share:.2f}", f"{ami:.3f}", f"{purity:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
