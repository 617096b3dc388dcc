"""Clusters and nearest analyses compared with RISS's families, for several values of the setting ``certainty``.

    python -m benchmarks.quality.families [--data ../shared/data] [--plot docs/images/riss-curve.png]

The store holds no labels; they are only compared with the clusters after the fit. The figures of the peers are
constants, measured on the same 1,524 reports. Malheur's curve is the upper edge of a sweep of its three settings,
chosen with the labels, with or without strings, whichever is higher.
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
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.fit.groups.alike import AspectTokens
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import Settings

CERTAINTIES = np.round(np.concatenate([[0.0, 0.2, 0.3], np.arange(0.36, 0.97, 0.04)]), 2)
SHARES = (0.70, 0.80, 0.90, 0.95)
BARS = {"all": (0.34, 0.80, 0.84), "ransomware": (0.35, 0.78, None)}
# (share clustered, AMI of the clustered)
MALHEUR = {
    "all, behaviour only": [(0.69, 0.364), (0.81, 0.329), (0.88, 0.309), (0.91, 0.277), (0.95, 0.261)],
    "all, with strings": [(0.70, 0.378), (0.81, 0.344), (0.89, 0.318), (0.93, 0.265), (0.96, 0.260)],
    "ransomware, behaviour only": [(0.70, 0.350), (0.80, 0.328), (0.91, 0.290), (0.96, 0.241)],
    "ransomware, with strings": [(0.68, 0.413), (0.83, 0.338), (0.85, 0.306), (0.94, 0.290), (0.97, 0.213)],
}
CUCKOOML = {"all": [(0.81, 0.290), (0.79, 0.246)], "ransomware": [(0.76, 0.316)]}


def fit(corpus: Corpus) -> Model:
    """A model of the corpus with the shipped settings."""
    return fit_model(corpus, None, Settings(), None, lambda stage, text: None)[0]


def share_and_ami(labels: Any, families: Any) -> tuple[float, float]:
    """The share of analyses that are clustered, and the AMI of their clusters with their families."""
    clustered = labels != NOISE
    scores = agreement(families[clustered], labels[clustered])
    return float(clustered.mean()), scores.ami if scores else float("nan")


def certainty_curve(corpus: Corpus, model: Model, families: Any) -> list[tuple[float, float]]:
    """(share clustered, AMI of the clustered) for each of ``CERTAINTIES``, with the other settings as shipped."""
    vectors, tokens = model.clustering.index.in_order(), AspectTokens.of(corpus)
    curve = []
    for certainty in CERTAINTIES:
        settings = replace(Settings().clustering, certainty=float(certainty))
        clustering = fit_clustering(vectors, corpus.weights, settings, tokens=tokens)
        curve.append(share_and_ami(clustering.labels[corpus.point_of], families))
    return curve


def at_share(curve: list[tuple[float, float]], share: float) -> float:
    """The AMI at a share clustered, interpolated between the points of the curve; NaN beyond its ends."""
    shares, agreements = zip(*sorted(curve), strict=True)
    return float(np.interp(share, shares, agreements, left=np.nan, right=np.nan))


def nearest_of_same_family(model: Model, samples: list[Sample]) -> tuple[float, float]:
    """The share of analyses whose most similar analysis is of the same family, and the milliseconds of a scoring."""
    families = {sample.analysis: sample.family for sample in samples}
    start = time.perf_counter()
    findings = [model.score(sample.behaviour, analysis=sample.analysis) for sample in samples]
    spent = (time.perf_counter() - start) / len(samples) * 1e3
    hits = [
        bool(finding.similar) and families[finding.similar[0].analysis] == sample.family
        for finding, sample in zip(findings, samples, strict=True)
    ]
    return float(np.mean(hits)), spent


def draw(curves: dict[str, list[tuple[float, float]]]) -> Any:
    """A matplotlib figure of the curves of both corpora and of the peers."""
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
        panel.plot(*zip(*ours, strict=True), ".-", color="#1b6ca8", label="this plugin, by certainty")
        ami, share, _ = BARS[corpus]
        panel.plot([share], [ami], "+", color="black", markersize=11, label="bar for the shipped settings")
        panel.set(title=f"RISS, {corpus}", xlabel="share of the analyses that are clustered", xlim=(0.6, 1.0))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("AMI of the clustered analyses with the families")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


@dataclass(frozen=True, slots=True)
class Measurement:
    """A corpus, measured with the shipped settings, and its curve over ``CERTAINTIES``."""

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


def measure(samples: list[Sample], name: str) -> Measurement:
    """Fit one of ``CORPORA`` and compare it with the families."""
    chosen = of_corpus(samples, name)
    corpus, size = stored_corpus(chosen)
    families = families_of(corpus, chosen)
    start = time.perf_counter()
    model = fit(corpus)
    spent = time.perf_counter() - start
    labels = model.clustering.labels[corpus.point_of]
    share, ami = share_and_ami(labels, families)
    nearest, milliseconds = nearest_of_same_family(model, chosen)
    with_noise = agreement(families, labels)
    return Measurement(
        corpus, model, families, share, ami, with_noise.ami if with_noise else float("nan"), nearest, spent,
        milliseconds, size, certainty_curve(corpus, model, families),
    )  # fmt: skip


def main() -> None:
    """Print the tables and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    samples = read_samples(options.data)
    columns = ("corpus", "analyses", "clustered", "AMI", "AMI with noise", "nearest of same family", "clusters",
               "fit, s", "score, ms", "bytes stored")  # fmt: skip
    defaults = Table(title="Shipped settings", caption="bars: all 0.34 at 80 %, nearest 84 %; ransomware 0.35 at 78 %")
    by_share = Table(title="AMI at a share clustered, by certainty (Malheur: the higher of its two curves)")
    for name in columns:
        defaults.add_column(name, justify="left" if name == "corpus" else "right")
    for name in ("corpus", "", *(f"{share:.0%}" for share in SHARES)):
        by_share.add_column(name)
    curves = {}
    for name in CORPORA:
        measured = measure(samples, name)
        values = (
            f"{measured.analyses:,}",
            f"{measured.clustered:.3f}",
            f"{measured.ami:.4f}",
            f"{measured.ami_with_noise:.4f}",
            f"{measured.nearest:.4f}",
            str(len(measured.model.clusters)),
            f"{measured.fit_seconds:.1f}",
            f"{measured.score_milliseconds:.2f}",
            f"{measured.bytes_stored:,.0f}",
        )
        defaults.add_row(name, *values)
        curves[name] = measured.curve
        peers = [points for title, points in MALHEUR.items() if title.startswith(name)]
        by_share.add_row(name, "this plugin", *(f"{at_share(curves[name], share):.3f}" for share in SHARES))
        by_share.add_row(
            "", "Malheur", *(f"{np.nanmax([at_share(curve, share) for curve in peers]):.3f}" for share in SHARES)
        )
    console = Console(width=140)
    console.print(defaults)
    console.print(by_share)
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        draw(curves).savefig(options.plot, dpi=130)


if __name__ == "__main__":
    main()
