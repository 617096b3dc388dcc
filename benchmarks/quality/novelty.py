"""Novelty: how well the anomaly score finds an unseen family, and how well it is calibrated, on four corpora.

    python -m benchmarks.quality.novelty [--data ../shared/data] [--seeds 2] [--corpora "RISS, all" ...]

In RISS and in half of MTS, each family (in RISS with 20 or more samples, in MTS with 10 or more) is left out in turn.
Models are fitted without labels on a random 80 % of the other samples, and the family is ranked against the remaining
20 %. In MLRan, models are fitted on what was first seen before 2014, 2016 and 2018, and later samples of families that
are not among these are ranked against later samples of families that are. The measures are the AUC (1 is perfect, 0.5
is chance) and the share of the family that is detected with 5 % false alarms. Samples without behaviour are left out.

``distance`` and ``likeness`` are the two parts of the score, each alone: the mean logarithm of the distances, and the
similarity of the most similar analysis, as the finding shows it. The references get the usual input: the same tokens
with inverse document frequencies, in 32 SVD dimensions of unit length, a row for each analysis. GLOSH is that of our
clustering.

For the calibration, each corpus is dealt into five parts. Each part is scored by a model of the other four. This is
repeated until 2,000 analyses have been held back, and the scores of all parts are pooled. KS is the greatest difference
between their distribution and that of the reference analyses' own scores (Kolmogorov and Smirnov; both have the same
ties).
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.sparse import csr_matrix
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from benchmarks.quality.nearest import read_samples
from benchmarks.support.mlran import read_days
from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import Sample, of_corpus, stored_corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.model.anomaly import LIKENESS_SOFTENING, NEIGHBOURS, place, unusualness
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import SEED, Settings

FALSE_ALARMS = 0.05
REFERENCE_DIMENSIONS = 32
YEARS = (2014, 2016, 2018)
PARTS = 5
HELD_BACK = 2_000
BARS = {"RISS, all": 0.80, "RISS, ransomware": 0.69, "MTS, half": 0.87, "MLRan, in order of time": 0.93}
BAR_KS, BAR_ANOMALOUS = 0.04, (0.04, 0.06)
_LEAST = {"RISS, all": 20, "RISS, ransomware": 20, "MTS, half": 10}
Scores = tuple[NDArray[np.float64], NDArray[np.float64]]  # of the analyses of known families, and of unseen ones


@dataclass(frozen=True, slots=True)
class Split:
    """What is fitted, and what is ranked: analyses of known families, and analyses of unseen ones."""

    title: str
    fitted: list[Sample]
    known: list[Sample]
    novel: list[Sample]


def samples_of(data: Path, corpus: str) -> list[Sample]:
    """The samples of one of the four corpora that have behaviour."""
    name = {"MTS, half": "MTS, half", "MLRan, in order of time": "MLRan before 2020"}.get(corpus, "RISS")
    samples = [sample for sample in read_samples(data, name) if sample.behaviour.has_behaviour]
    return of_corpus(samples, "ransomware") if corpus == "RISS, ransomware" else samples


def left_out(samples: list[Sample], family: str, seed: int) -> Split:
    """A family is left out; of the others, 80 % are fitted."""
    others = [sample for sample in samples if sample.family != family]
    order = np.random.default_rng([SEED, seed]).permutation(len(others))
    cut = int(0.8 * len(others))
    return Split(
        family,
        [others[i] for i in order[:cut]],
        [others[i] for i in order[cut:]],
        [sample for sample in samples if sample.family == family],
    )


def in_order_of_time(samples: list[Sample], days: dict[str, str], year: int) -> Split:
    """All samples from before a year are fitted."""
    fitted = [sample for sample in samples if days[sample.analysis] < str(year)]
    later = [sample for sample in samples if days[sample.analysis] >= str(year)]
    families = {sample.family for sample in fitted}
    return Split(
        f"fitted before {year}",
        fitted,
        [sample for sample in later if sample.family in families],
        [sample for sample in later if sample.family not in families],
    )


def splits(data: Path, corpus: str, samples: list[Sample], seeds: int) -> list[Split]:
    """All splits of a corpus."""
    if corpus not in _LEAST:
        days = read_days(data / "mlran")
        return [in_order_of_time(samples, days, year) for year in YEARS]
    sizes = Counter(sample.family for sample in samples)
    families = sorted(name for name, size in sizes.items() if size >= _LEAST[corpus] and name != "goodware")
    return [left_out(samples, family, seed) for family, seed in product(families, range(seeds))]


def fitted_model(samples: list[Sample]) -> Model:
    """A model with the shipped settings; no label is stored."""
    corpus, _ = stored_corpus(samples)
    return fit_model(corpus, None, Settings(), None, lambda stage, text: None)[0]


def our_scores(split: Split) -> tuple[dict[str, Scores], float]:
    """The scores of the shipped model, of its parts and of GLOSH by name, and the share of false alarms."""
    model = fitted_model(split.fitted)

    def measures(samples: list[Sample]) -> NDArray[np.float64]:
        rows = []
        for sample in samples:
            finding = model.score(sample.behaviour, analysis=sample.analysis)
            if finding.anomaly is None:
                raise SystemExit(f"{split.title}: too few analyses are fitted to score others.")
            similarity = finding.similar[0].similarity if finding.similar else 0.0
            glosh = finding.anomaly.outlier_score
            rows.append((finding.anomaly.score, mean_logarithm(model, sample), 1.0 - similarity, glosh))
        return np.array(rows)

    known, novel = measures(split.known), measures(split.novel)
    alarms = float((known[:, 0] >= Settings().anomaly.threshold).mean())
    names = ("this plugin", "distance", "likeness", "GLOSH")
    return {name: (known[:, i], novel[:, i]) for i, name in enumerate(names)}, alarms


def mean_logarithm(model: Model, sample: Sample) -> float:
    """The part of the unusualness that rests on distances."""
    hashes = sample.behaviour.hashes()
    embedded = model.novelty.embed(model.novelty.columns_of(hashes), len(hashes))
    placed = place(embedded.vector[None], np.array([embedded.explained]))[0]
    neighbours, distances = model.novelty_index.nearest(placed, NEIGHBOURS)
    weights = model.detector.multiplicities[neighbours][None]
    without_likeness = np.array([LIKENESS_SOFTENING])  # the logarithm of 1 is 0
    return float(unusualness(distances[None], weights, without_likeness)[0])


def reference_vectors(parts: list[list[Sample]]) -> list[NDArray[np.float64]]:
    """Unit vectors of each part, with the inverse document frequencies and the SVD of the first."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    frequencies = Counter(token for sample in parts[0] for token in sample.behaviour.tokens)
    columns = {token: i for i, token in enumerate(sorted(token for token, count in frequencies.items() if count >= 3))}
    matrices = []
    for part in parts:
        rows = [[columns[token] for token in sample.behaviour.tokens if token in columns] for sample in part]
        starts = np.cumsum([0, *map(len, rows)])
        flat = np.array([column for row in rows for column in row], np.int64)
        matrices.append(csr_matrix((np.ones(len(flat)), flat, starts), shape=(len(part), len(columns))))
    weights = TfidfTransformer().fit(matrices[0])
    svd = TruncatedSVD(REFERENCE_DIMENSIONS, random_state=SEED).fit(weights.transform(matrices[0]))
    return [normalize(svd.transform(weights.transform(matrix))) for matrix in matrices]


def references() -> dict[str, Callable[[Any], Callable[[Any], NDArray[np.float64]]]]:
    """Detectors by name: fit(train vectors) gives score(vectors); a greater score is more unusual."""
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

    def fifth_neighbour(train: Any) -> Callable[[Any], NDArray[np.float64]]:
        index = NearestNeighbors(n_neighbors=5).fit(train)
        return lambda vectors: np.asarray(index.kneighbors(vectors)[0][:, -1])

    def isolation_forest(train: Any) -> Callable[[Any], NDArray[np.float64]]:
        forest = IsolationForest(n_estimators=200, random_state=SEED).fit(train)
        return lambda vectors: np.asarray(-forest.score_samples(vectors))

    def local_outlier_factor(train: Any) -> Callable[[Any], NDArray[np.float64]]:
        factor = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(train)
        return lambda vectors: np.asarray(-factor.score_samples(vectors))

    return {
        "5th neighbour": fifth_neighbour,
        "isolation forest": isolation_forest,
        "local outlier factor": local_outlier_factor,
    }


def auc_and_detected(scores: Scores) -> tuple[float, float]:
    """The AUC, and the share of the family that is detected with 5 % false alarms."""
    known, novel = scores
    truth = np.concatenate([np.zeros(len(known)), np.ones(len(novel))])
    limit = np.quantile(known, 1 - FALSE_ALARMS, method="higher")
    return float(roc_auc_score(truth, np.concatenate([known, novel]))), float((novel > limit).mean())


Measures = dict[str, dict[str, list[tuple[float, float]]]]


def measure(all_splits: list[Split]) -> tuple[Measures, float]:
    """By detector and title the measures of each split; and the mean share of false alarms at the shipped threshold."""
    measures: Measures = {}
    alarms = []
    for split in track(all_splits, "leaving families out"):
        results, alarm = our_scores(split)
        alarms.append(alarm)
        vectors = reference_vectors([split.fitted, split.known, split.novel])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LOF warns of the many repeats in the corpus
            for name, fit in references().items():
                detector = fit(vectors[0])
                results[name] = (detector(vectors[1]), detector(vectors[2]))
        for name, scores in results.items():
            measures.setdefault(name, {}).setdefault(split.title, []).append(auc_and_detected(scores))
    return measures, float(np.mean(alarms))


def deals(samples: list[Sample]) -> int:
    """How often a corpus is dealt into parts."""
    return math.ceil(HELD_BACK / len(samples))


def held_back(samples: list[Sample]) -> Iterator[Scores]:
    """For each part of a corpus, its scores by a model of the others, and the scores of that model's reference."""
    for deal, number in product(range(deals(samples)), range(PARTS)):
        part = np.random.default_rng([SEED, deal]).permutation(len(samples)) % PARTS
        model = fitted_model([sample for sample, of in zip(samples, part, strict=True) if of != number])
        scored = [
            model.score(sample.behaviour, analysis=sample.analysis)
            for sample, of in zip(samples, part, strict=True)
            if of == number
        ]
        reference = np.asarray(model.detector.reference)
        own = np.searchsorted(reference, reference) / len(reference)
        yield np.array([finding.anomaly.score for finding in scored if finding.anomaly]), own


def novelty_table(title: str, measures: Measures, measure: int) -> Table:
    """A measure (0: AUC, 1: share detected) of each detector for each split, and its mean."""
    table = Table(title=title)
    titles = list(next(iter(measures.values())))
    for name in ("left out", *measures):
        table.add_column(name, justify="left" if name == "left out" else "right")
    for split in titles:
        table.add_row(split, *(f"{np.mean([pair[measure] for pair in rows[split]]):.3f}" for rows in measures.values()))
    table.add_section()
    means = [np.mean([pair[measure] for pairs in rows.values() for pair in pairs]) for rows in measures.values()]
    table.add_row("mean", *(f"{mean:.3f}" for mean in means))
    return table


def main() -> None:
    """Print the tables of each corpus, and its calibration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--corpora", nargs="+", default=list(BARS), choices=list(BARS))
    options = parser.parse_args()
    console = Console(width=140)
    threshold = Settings().anomaly.threshold
    for name in options.corpora:
        samples = samples_of(options.data, name)
        measures, alarms = measure(splits(options.data, name, samples, options.seeds))
        console.print(novelty_table(f"AUC, {name} (bar: {BARS[name]})", measures, 0))
        console.print(novelty_table(f"Share detected at {FALSE_ALARMS:.0%} false alarms, {name}", measures, 1))
        console.print(f"Other analyses of known families above the shipped threshold {threshold}: {alarms:.1%}")
        parts = list(track(held_back(samples), f"calibration, {name}", total=PARTS * deals(samples)))
        scores, reference = (np.concatenate(pooled) for pooled in zip(*parts, strict=True))
        least, most = BAR_ANOMALOUS
        console.print(
            f"Calibration, {name}, {len(scores):,} analyses held back: KS {ks_2samp(scores, reference).statistic:.3f}"
            f" (bar: {BAR_KS}), {np.mean(scores >= threshold):.1%} anomalous (bar: {least:.0%} to {most:.0%})"
        )


if __name__ == "__main__":
    main()
