"""How often the most alike analysis has the same label: likeness, plain Jaccard, behashes and the model, three corpora.

    python -m benchmarks.quality.nearest [--data ../shared/data]

No label enters a measure. Each analysis is compared with all others of its corpus. Where several are equally alike, the
share of them that has its label counts. An analysis without a nearest one counts as a miss; the second figure of a
measure leaves out those of which nothing is known, in which no token was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from benchmarks.quality.families import fit, nearest_of_same_family
from benchmarks.support.labelled import LabelledReport
from benchmarks.support.mlran import read_mlran
from benchmarks.support.mts import read_mts
from benchmarks.support.paths import DATA
from benchmarks.support.riss import read_riss
from benchmarks.support.riss_corpus import Sample, stored_corpus
from cuckoo_ml_plugin.behaviour.behash import BYTES, BehashTable
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.behaviour.kinds import ASPECTS
from cuckoo_ml_plugin.behaviour.likeness import ASPECT_NUMBERS
from cuckoo_ml_plugin.engine.similar_analyses import CANDIDATES
from cuckoo_ml_plugin.report.report import report_from_results

Matrix = NDArray[np.float64]


def _riss(folder: Path) -> Iterator[LabelledReport]:
    return (LabelledReport(sample.analysis, sample.family, sample.report) for sample in read_riss(folder))


CORPORA: dict[str, tuple[str, Callable[[Path], Iterator[LabelledReport]]]] = {
    "RISS": ("riss", _riss),
    "MTS, half": ("mts", read_mts),
    "MLRan before 2020": ("mlran", read_mlran),
}


def read_samples(data: Path, name: str) -> list[Sample]:
    """All samples of one of ``CORPORA`` with their behaviours."""
    folder, read = CORPORA[name]
    samples = []
    for labelled in read(data / folder):
        report = report_from_results(labelled.report)
        samples.append(Sample(labelled.analysis, labelled.label, report, extract(report)))
    return samples


def overlaps(samples: list[Sample], aspect: int | None) -> tuple[Matrix, Matrix]:
    """How many tokens any two samples share, and how many either has, both (n, n); of one aspect or of all tokens."""
    columns: dict[str, int] = {}
    indices, starts = [], [0]
    for sample in samples:
        aspects = ASPECT_NUMBERS[sample.behaviour.kind_ids()].tolist()
        tokens = zip(sample.behaviour.tokens, aspects, strict=True)
        indices += [columns.setdefault(token, len(columns)) for token, of in tokens if aspect in (None, of)]
        starts.append(len(indices))
    shape = (len(samples), max(len(columns), 1))
    matrix = csr_matrix((np.ones(len(indices)), np.array(indices, np.int64), np.array(starts)), shape=shape)
    shared = (matrix @ matrix.T).toarray()
    sizes = np.diff(starts)
    return shared, sizes[:, None] + sizes[None, :] - shared


def jaccard(samples: list[Sample]) -> Matrix:
    """The Jaccard index of all tokens, (n, n)."""
    shared, either = overlaps(samples, None)
    return np.asarray(shared / np.maximum(either, 1))


def likeness(samples: list[Sample]) -> Matrix:
    """The likeness, (n, n)."""
    shared: Matrix = np.zeros((len(samples), len(samples)))
    whole: Matrix = np.zeros_like(shared)
    for aspect in range(len(ASPECTS)):
        common, either = overlaps(samples, aspect)
        weights = np.sqrt(either)
        shared += common / np.maximum(either, 1) * weights
        whole += weights
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def estimated(samples: list[Sample]) -> Matrix:
    """The likeness that the behashes estimate, (n, n)."""
    behashes = [sample.behaviour.behash for sample in samples]
    table = BehashTable()
    table.append([made or bytes(BYTES) for made in behashes])
    return np.array([table.estimates(made or bytes(BYTES)) for made in behashes], np.float64)


def of_candidates(estimates: Matrix, exact: Matrix) -> Matrix:
    """``exact`` where the estimates name a candidate, 0 elsewhere."""
    others = estimates.copy()
    np.fill_diagonal(others, -1)
    nearest = np.argsort(-others, axis=1, kind="stable")[:, :CANDIDATES]
    chosen = np.zeros_like(exact)
    np.put_along_axis(chosen, nearest, np.take_along_axis(exact, nearest, axis=1), axis=1)
    return chosen


def same_label(similarities: Matrix, labels: NDArray[np.str_]) -> float:
    """The mean share, over all samples, of the most alike ones that have the same label."""
    others = similarities.copy()
    np.fill_diagonal(others, -1)
    highest = others.max(axis=1, keepdims=True)
    nearest = (others >= highest - 1e-9) & (highest > 0)
    same = nearest & (labels[:, None] == labels[None, :])
    return float(np.mean(same.sum(axis=1) / np.maximum(nearest.sum(axis=1), 1)))


@dataclass(frozen=True, slots=True)
class Measurement:
    """The shares of each measure on a corpus, and how far the estimates are off."""

    analyses: int
    known: int
    shares: dict[str, float]
    mean_error: float
    found: float


def measure(samples: list[Sample]) -> Measurement:
    """All measures on the samples of a corpus."""
    labels = np.array([sample.family for sample in samples])
    exact, estimates = likeness(samples), estimated(samples)
    candidates = of_candidates(estimates, exact)
    corpus, _ = stored_corpus(samples)
    shares = {
        "Jaccard of all tokens": same_label(jaccard(samples), labels),
        "likeness": same_label(exact, labels),
        "behash alone": same_label(estimates, labels),
        f"likeness of the {CANDIDATES} nearest by behash": same_label(candidates, labels),
        "similar, with a model": nearest_of_same_family(fit(corpus), samples)[0],
    }
    known = np.array([sample.behaviour.behash is not None for sample in samples])
    pairs = np.triu_indices(int(known.sum()), 1)
    errors = (estimates - exact)[np.ix_(known, known)][pairs]
    np.fill_diagonal(exact, 0)
    found = (candidates.max(axis=1) >= exact.max(axis=1) - 1e-9)[known]
    return Measurement(len(samples), int(known.sum()), shares, float(np.abs(errors).mean()), float(found.mean()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    measured = {name: measure(read_samples(options.data, name)) for name in CORPORA}
    table = Table(title="Nearest analysis of the same label: of all labelled, of those of which anything is known")
    table.add_column("measure")
    for name, of_corpus in measured.items():
        table.add_column(f"{name} ({of_corpus.analyses:,}; {of_corpus.known:,})", justify="right")
    for row in next(iter(measured.values())).shares:
        cells = ((m.shares[row], m.shares[row] * m.analyses / m.known) for m in measured.values())
        table.add_row(row, *(f"{share:.3f}  {known:.3f}" for share, known in cells))
    table.add_row("mean error of an estimate", *(f"{m.mean_error:.3f}" for m in measured.values()))
    table.add_row("nearest is among the candidates", *(f"{m.found:.1%}" for m in measured.values()))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
