"""Does the anomaly score find a family that was never seen? Against GLOSH and the usual outlier detectors.

    python -m benchmarks.quality.novelty [--data ../shared/data] [--seeds 2]

Each family of RISS with 20 or more samples is left out in turn; models are fitted on a random 80 % of the rest, and
the family is ranked against the other 20 %: AUC (1 is perfect, 0.5 is chance), and the share of the family that is
found when 5 % of the known analyses raise a false alarm. Fits see no label. The references get what they are usually
given: the same tokens under inverse document frequency in 32 SVD dimensions of unit length, identical behaviours once
for each analysis; GLOSH is hdbscan's, on the clustering's own vectors.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable
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
Scores = tuple[NDArray[np.float64], NDArray[np.float64]]  # of the held back, of the family left out


def split(samples: list[Sample], family: str, seed: int) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Fitted, held back (both of the other families) and left out."""
    rest = [sample for sample in samples if sample.family != family]
    order = np.random.default_rng([SEED, seed]).permutation(len(rest))
    cut = int(0.8 * len(rest))
    return (
        [rest[i] for i in order[:cut]],
        [rest[i] for i in order[cut:]],
        [sample for sample in samples if sample.family == family],
    )


def ours(train: list[Sample], held: list[Sample], left: list[Sample]) -> tuple[Scores, Scores, float]:
    """Anomaly scores and GLOSH scores of a model with the shipped settings; the share of false alarms at its own
    threshold."""
    corpus, _ = stored_corpus(train)
    model: Model = fit_model(corpus, None, Settings(), None, lambda stage, found: None)[0]

    def scores(some: list[Sample], field: str) -> NDArray[np.float64]:
        found = [model.score(sample.behaviour).anomaly for sample in some]
        return np.array([float(one[field]) if one else 1.0 for one in found])  # type: ignore[literal-required]

    known = scores(held, "score")
    alarms = float((known >= Settings().anomaly.threshold).mean())
    return (known, scores(left, "score")), (scores(held, "outlier_score"), scores(left, "outlier_score")), alarms


def reference_vectors(parts: list[list[Sample]]) -> list[NDArray[np.float64]]:
    """Unit vectors of each part, under the idf and the SVD of the first."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    shown = Counter(token for sample in parts[0] for token in sample.behaviour.tokens)
    columns = {token: i for i, token in enumerate(sorted(token for token, count in shown.items() if count >= 3))}
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
    """Name -> fit(train vectors) -> score(vectors), greater is more unusual."""
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

    def fifth_neighbour(train: Any) -> Callable[[Any], NDArray[np.float64]]:
        index = NearestNeighbors(n_neighbors=5).fit(train)
        return lambda some: np.asarray(index.kneighbors(some)[0][:, -1])

    def isolation_forest(train: Any) -> Callable[[Any], NDArray[np.float64]]:
        forest = IsolationForest(n_estimators=200, random_state=SEED).fit(train)
        return lambda some: np.asarray(-forest.score_samples(some))

    def local_outlier_factor(train: Any) -> Callable[[Any], NDArray[np.float64]]:
        factor = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(train)
        return lambda some: np.asarray(-factor.score_samples(some))

    return {
        "5th neighbour": fifth_neighbour,
        "isolation forest": isolation_forest,
        "local outlier factor": local_outlier_factor,
    }


def judged(scores: Scores) -> tuple[float, float]:
    """AUC, and the share found at 5 % false alarms."""
    held, left = scores
    truth = np.concatenate([np.zeros(len(held)), np.ones(len(left))])
    limit = np.quantile(held, 1 - FALSE_ALARMS, method="higher")
    return float(roc_auc_score(truth, np.concatenate([held, left]))), float((left > limit).mean())


def measure(samples: list[Sample], seeds: int) -> tuple[dict[str, dict[str, list[tuple[float, float]]]], float]:
    """Detector -> family -> judgements, one a seed; and our mean share of false alarms at the shipped threshold."""
    families = [name for name, size in sorted(Counter(s.family for s in samples).items()) if size >= SMALLEST]
    families = [name for name in families if name != "goodware"]
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    alarms = []
    for family, seed in track([(f, s) for f in families for s in range(seeds)], "leaving families out"):
        train, held, left = split(samples, family, seed)
        score, glosh, alarm = ours(train, held, left)
        alarms.append(alarm)
        results = {"this plugin": score, "GLOSH": glosh}
        vectors = reference_vectors([train, held, left])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LOF warns of the corpus's many repeats
            for name, fit in references().items():
                judge = fit(vectors[0])
                results[name] = (judge(vectors[1]), judge(vectors[2]))
        for name, scores in results.items():
            found.setdefault(name, {}).setdefault(family, []).append(judged(scores))
    return found, float(np.mean(alarms))


def novelty_table(title: str, found: dict[str, dict[str, list[tuple[float, float]]]], which: int) -> Table:
    """AUC (which 0) or share found (1) of each detector for each family, and the mean."""
    table = Table(title=title)
    families = list(next(iter(found.values())))
    for name in ("left out", *found):
        table.add_column(name, justify="left" if name == "left out" else "right")
    for family in families:
        table.add_row(family, *(f"{np.mean([one[which] for one in rows[family]]):.3f}" for rows in found.values()))
    table.add_section()
    means = [np.mean([one[which] for rows in by_family.values() for one in rows]) for by_family in found.values()]
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
        found, alarms = measure(of_corpus(samples, name), options.seeds)
        console.print(novelty_table(f"AUC, RISS, {name} (bar over all: 0.76)", found, 0))
        console.print(novelty_table(f"Share found at {FALSE_ALARMS:.0%} false alarms, RISS, {name}", found, 1))
        threshold = Settings().anomaly.threshold
        console.print(f"Held-back analyses of known families above the shipped threshold {threshold}: {alarms:.1%}")


if __name__ == "__main__":
    main()
