"""How well clusters and nearest analyses match RISS's families, with the shipped settings and along the dial.

    python -m benchmarks.quality.families [--data ../shared/data] [--plot docs/images/riss-curve.png]

Labels are looked at after the fit, to measure, and never before: the store holds none. The peers' figures are those of
the same 1,524 reports, taken over as constants; Malheur's curve is the upper edge of a sweep of its three settings with
the labels in sight, with strings or without, whichever is higher.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import CORPORA, Sample, families_of, of_corpus, read_samples, stored_corpus
from cuckoo_ml_plugin.assess.measures import agreement
from cuckoo_ml_plugin.fit.clustering import fit_clustering
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.model.clustering import NOISE
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import Settings

DIAL = np.round(np.concatenate([[0.0, 0.2, 0.3], np.arange(0.36, 0.97, 0.04)]), 2)
AT = (0.70, 0.80, 0.90, 0.95)
BARS = {"all": (0.34, 0.80, 0.84), "ransomware": (0.35, 0.78, None)}
# share clustered -> AMI of the clustered
MALHEUR = {
    "all, behaviour only": [(0.69, 0.364), (0.81, 0.329), (0.88, 0.309), (0.91, 0.277), (0.95, 0.261)],
    "all, with strings": [(0.70, 0.378), (0.81, 0.344), (0.89, 0.318), (0.93, 0.265), (0.96, 0.260)],
    "ransomware, behaviour only": [(0.70, 0.350), (0.80, 0.328), (0.91, 0.290), (0.96, 0.241)],
    "ransomware, with strings": [(0.68, 0.413), (0.83, 0.338), (0.85, 0.306), (0.94, 0.290), (0.97, 0.213)],
}
CUCKOOML = {"all": [(0.81, 0.290), (0.79, 0.246)], "ransomware": [(0.76, 0.316)]}


def fitted(corpus: Corpus) -> Model:
    """A model of the corpus with the shipped settings."""
    return fit_model(corpus, None, Settings(), None, lambda stage, found: None)[0]


def shared_and_agreed(labels: Any, families: Any) -> tuple[float, float]:
    """Share of the analyses that are clustered, and the AMI of these."""
    clustered = labels != NOISE
    agreed = agreement(families[clustered], labels[clustered])
    return float(clustered.mean()), agreed.ami if agreed else float("nan")


def dial_curve(corpus: Corpus, model: Model, families: Any) -> list[tuple[float, float]]:
    """(share clustered, AMI of the clustered) for each position of the dial, nothing else changed."""
    vectors = model.clustering.index.in_order()
    curve = []
    for certainty in DIAL:
        settings = replace(Settings().clustering, certainty=float(certainty))
        clustering = fit_clustering(vectors, corpus.multiplicities, settings)
        curve.append(shared_and_agreed(clustering.labels[corpus.point_of], families))
    return curve


def at_share(curve: list[tuple[float, float]], share: float) -> float:
    """AMI at a share clustered, between the points of a curve by a straight line; NaN beyond its ends."""
    shares, agreements = zip(*sorted(curve), strict=True)
    return float(np.interp(share, shares, agreements, left=np.nan, right=np.nan))


def nearest_of_same_family(model: Model, samples: list[Sample]) -> tuple[float, float]:
    """Share of analyses whose most similar other one has their family; milliseconds that scoring takes."""
    families = {sample.analysis: sample.family for sample in samples}
    start = time.perf_counter()
    findings = [model.score(sample.behaviour, analysis=sample.analysis) for sample in samples]
    spent = (time.perf_counter() - start) / len(samples) * 1e3
    right = [
        bool(one.similar) and families[one.similar[0]["analysis"]] == sample.family
        for one, sample in zip(findings, samples, strict=True)
    ]
    return float(np.mean(right)), spent


def draw(curves: dict[str, list[tuple[float, float]]]) -> Any:
    """The curves of both corpora beside their peers, as a figure of matplotlib's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, corpus in zip(panels, CORPORA, strict=True):
        for name, points in MALHEUR.items():
            if name.startswith(corpus):
                style = "-" if "strings" in name else "--"
                label = f"Malheur, tuned{name[len(corpus) :]}"
                panel.plot(*zip(*points, strict=True), style, color="#8a8a8a", label=label)
        panel.plot(*zip(*CUCKOOML[corpus], strict=True), "s", color="#b5651d", label="CuckooML")
        ours = [point for point in sorted(curves[corpus]) if point[0] >= 0.6]
        panel.plot(*zip(*ours, strict=True), ".-", color="#1b6ca8", label="this plugin, by its dial")
        ami, share, _ = BARS[corpus]
        panel.plot([share], [ami], "+", color="black", markersize=11, label="what the defaults must pass")
        panel.set(title=f"RISS, {corpus}", xlabel="share of the analyses that is clustered", xlim=(0.6, 1.0))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("AMI of the clustered with the families")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


@dataclass(frozen=True, slots=True)
class Measured:
    """One corpus: what its fit gives with the shipped settings, and the curve along the dial."""

    corpus: Corpus
    model: Model
    families: Any
    clustered: float
    ami: float
    ami_with_noise: float
    nearest: float
    fit_seconds: float
    score_milliseconds: float
    bytes_stored: float
    curve: list[tuple[float, float]]

    @property
    def analyses(self) -> int:
        return len(self.corpus.analyses)


def measure(samples: list[Sample], name: str) -> Measured:
    """Fit one of ``CORPORA`` and hold it against the families."""
    chosen = of_corpus(samples, name)
    corpus, size = stored_corpus(chosen)
    families = families_of(corpus, chosen)
    start = time.perf_counter()
    model = fitted(corpus)
    spent = time.perf_counter() - start
    labels = model.clustering.labels[corpus.point_of]
    share, agreed = shared_and_agreed(labels, families)
    nearest, milliseconds = nearest_of_same_family(model, chosen)
    whole = agreement(families, labels)
    return Measured(
        corpus, model, families, share, agreed, whole.ami if whole else float("nan"), nearest, spent, milliseconds,
        size, dial_curve(corpus, model, families),
    )  # fmt: skip


def main() -> None:
    """Print the tables, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    samples = read_samples(options.data)
    columns = ("corpus", "analyses", "clustered", "AMI", "AMI with noise", "nearest of same family", "clusters",
               "fit, s", "score, ms", "bytes stored")  # fmt: skip
    defaults = Table(title="Shipped settings", caption="bars: all 0.34 at 80 %, nearest 84 %; ransomware 0.35 at 78 %")
    along = Table(title="AMI along the dial, at a share clustered (Malheur: the higher of its two curves)")
    for name in columns:
        defaults.add_column(name, justify="left" if name == "corpus" else "right")
    for name in ("corpus", "", *(f"{share:.0%}" for share in AT)):
        along.add_column(name)
    curves = {}
    for name in CORPORA:
        found = measure(samples, name)
        defaults.add_row(
            name, f"{found.analyses:,}", f"{found.clustered:.3f}", f"{found.ami:.4f}", f"{found.ami_with_noise:.4f}",
            f"{found.nearest:.4f}", str(len(found.model.clusters)), f"{found.fit_seconds:.1f}",
            f"{found.score_milliseconds:.2f}", f"{found.bytes_stored:,.0f}",
        )  # fmt: skip
        curves[name] = found.curve
        peers = [points for title, points in MALHEUR.items() if title.startswith(name)]
        along.add_row(name, "this plugin", *(f"{at_share(curves[name], share):.3f}" for share in AT))
        along.add_row("", "Malheur", *(f"{np.nanmax([at_share(one, share) for one in peers]):.3f}" for share in AT))
    console = Console(width=140)
    console.print(defaults)
    console.print(along)
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        draw(curves).savefig(options.plot, dpi=130)


if __name__ == "__main__":
    main()
