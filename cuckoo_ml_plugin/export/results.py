"""What is exported of a home: the fitted analyses with clusters, labels and counts, and what came after the fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.finding.finding import number_of_id
from cuckoo_ml_plugin.fit.corpus import Corpus, read_corpus
from cuckoo_ml_plugin.fit.still_fitted import fitted_rows
from cuckoo_ml_plugin.model.clustering import NOISE
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.records import FindingRecord


@dataclass(frozen=True, slots=True)
class Results:
    """N fitted analyses in the store's order, and the findings of newer ones.

    Attributes:
        corpus: of the fitted analyses.
        clusters: (N,) their clusters in the model's numbering, -1 noise.
        numbers: the number in each cluster's id, as ``clusterID`` has it in a report.
        probabilities, outlier_scores: (N,).
        vectors: (N, d).
        newer: findings of the scored analyses that the model was not fitted on.
        count_names: every count that an analysis has, fitted or newer.
    """

    model: Model
    corpus: Corpus
    clusters: NDArray[np.int64]
    numbers: list[int]
    probabilities: NDArray[np.float64]
    outlier_scores: NDArray[np.float64]
    vectors: NDArray[np.float32]
    newer: list[FindingRecord]
    count_names: tuple[str, ...]

    def cluster_ids(self) -> list[int]:
        """``clusterID`` of each analysis, -1 for noise."""
        return [self.numbers[cluster] if cluster != NOISE else NOISE for cluster in self.clusters.tolist()]

    def counts_of(self, row: int) -> dict[str, float]:
        """The counts of an analysis, without those that it has not."""
        values: list[Any] = self.corpus.counts[row].tolist()
        return {name: value for name, value in zip(self.corpus.count_names, values, strict=True) if value == value}


def results_of(engine: Engine) -> Results:
    """Gather everything. Raises ModelError (also when there is no model) and StoreError."""
    model = engine.need_model()
    whole = read_corpus(engine.store)
    rows, points = fitted_rows(model, whole)
    corpus = whole.take(rows)
    fitted = set(corpus.analyses)
    late = [name for name in whole.analyses if name not in fitted]
    findings = engine.store.findings_of(late)
    clustering = model.clustering
    return Results(
        model=model,
        corpus=corpus,
        clusters=clustering.labels[points].astype(np.int64),
        numbers=[number_of_id(one.id) for one in model.clusters],
        probabilities=np.asarray(clustering.probabilities[points], np.float64),
        outlier_scores=np.asarray(clustering.outlier_scores[points], np.float64),
        vectors=clustering.index.in_order()[points],
        newer=[findings[name] for name in late if name in findings],
        count_names=whole.count_names,
    )
