"""Novelty detection: how well the anomaly score finds an unseen family, compared with other outlier detectors.

    python -m benchmarks.quality.novelty [--data ../shared/data] [--seeds 2]

Each family of RISS with 20 or more samples is left out in turn. Models are fitted without labels on a random 80 % of
the other samples, and the family is ranked against the remaining 20 %. The measures are the AUC (1 is perfect, 0.5 is
chance) and the share of the family that is detected with 5 % false alarms. The references get the usual input: the same
tokens with inverse document frequencies, in 32 SVD dimensions of unit length, a row for each analysis. GLOSH is that of
our clustering.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import CORPORA, Sample, of_corpus, read_samples, stored_corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import SEED, Settings

SMALLEST = 20
FALSE_ALARMS = 0.05
REFERENCE_DIMENSIONS = 32
Scores = tuple[NDArray[np.float64], NDArray[np.float64]]  # of the analyses held out, and of the family left out


def split(samples: list[Sample], family: str, seed: int) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """The samples to fit and to hold out, both of the other families, and the samples of ``family``."""
    others = [sample for sample in samples if sample.family != family]
    order = np.random.default_rng([SEED, seed]).permutation(len(others))
    cut = int(0.8 * len(others))
    return (
        [others[i] for i in order[:cut]],
        [others[i] for i in order[cut:]],
        [sample for sample in samples if sample.family == family],
    )


def our_scores(train: list[Sample], held_out: list[Sample], novel: list[Sample]) -> tuple[Scores, Scores, float]:
    """Anomaly scores, GLOSH scores and the share of false alarms, of a model with the shipped settings."""
    corpus, _ = stored_corpus(train)
    model: Model = fit_model(corpus, None, Settings(), None, lambda stage, text: None)[0]

    def scores(samples: list[Sample], field: str) -> NDArray[np.float64]:
        anomalies = [model.score(sample.behaviour).anomaly for sample in samples]
        return np.array([float(getattr(anomaly, field)) if anomaly else 1.0 for anomaly in anomalies])

    known_scores = scores(held_out, "score")
    alarms = float((known_scores >= Settings().anomaly.threshold).mean())
    return (
        (known_scores, scores(novel, "score")),
        (scores(held_out, "outlier_score"), scores(novel, "outlier_score")),
        alarms,
    )


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


def measure(samples: list[Sample], seeds: int) -> tuple[dict[str, dict[str, list[tuple[float, float]]]], float]:
    """By detector and family the measures of each seed; and our mean share of false alarms at the shipped threshold."""
    families = [name for name, size in sorted(Counter(sample.family for sample in samples).items()) if size >= SMALLEST]
    families = [name for name in families if name != "goodware"]
    measures: dict[str, dict[str, list[tuple[float, float]]]] = {}
    alarms = []
    for family, seed in track(list(product(families, range(seeds))), "leaving families out"):
        train, held_out, novel = split(samples, family, seed)
        score, glosh, alarm = our_scores(train, held_out, novel)
        alarms.append(alarm)
        results = {"this plugin": score, "GLOSH": glosh}
        vectors = reference_vectors([train, held_out, novel])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LOF warns of the many repeats in the corpus
            for name, fit in references().items():
                detector = fit(vectors[0])
                results[name] = (detector(vectors[1]), detector(vectors[2]))
        for name, scores in results.items():
            measures.setdefault(name, {}).setdefault(family, []).append(auc_and_detected(scores))
    return measures, float(np.mean(alarms))


def novelty_table(title: str, measures: dict[str, dict[str, list[tuple[float, float]]]], measure: int) -> Table:
    """A measure (0: AUC, 1: share detected) of each detector for each family, and its mean."""
    table = Table(title=title)
    families = list(next(iter(measures.values())))
    for name in ("left out", *measures):
        table.add_column(name, justify="left" if name == "left out" else "right")
    for family in families:
        table.add_row(
            family, *(f"{np.mean([pair[measure] for pair in rows[family]]):.3f}" for rows in measures.values())
        )
    table.add_section()
    means = [np.mean([pair[measure] for pairs in rows.values() for pair in pairs]) for rows in measures.values()]
    table.add_row("mean", *(f"{mean:.3f}" for mean in means))
    return table


def main() -> None:
    """Print the tables for both corpora."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    samples = read_samples(options.data)
    console = Console(width=120)
    for name in CORPORA:
        measures, alarms = measure(of_corpus(samples, name), options.seeds)
        console.print(novelty_table(f"AUC, RISS, {name} (bar over all: 0.76)", measures, 0))
        console.print(novelty_table(f"Share detected at {FALSE_ALARMS:.0%} false alarms, RISS, {name}", measures, 1))
        threshold = Settings().anomaly.threshold
        console.print(f"Held-out analyses of known families above the shipped threshold {threshold}: {alarms:.1%}")


if __name__ == "__main__":
    main()
