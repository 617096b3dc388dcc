"""The results of a clustering: the fitted analyses with clusters and labels, and the findings made after the fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.finding.seed import number_of_id
from cuckoo_ml_plugin.fit.corpus import Corpus, read_corpus
from cuckoo_ml_plugin.fit.fitted_rows import fitted_rows
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.model.groups.kin import NO_KIN
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.finding_record import FindingRecord


@dataclass(frozen=True, slots=True)
class ClusteringResults:
    """N fitted analyses in the store's order, and the findings of newer ones.

    Attributes:
        corpus: the fitted analyses.
        clusters: (N,) their clusters as the model numbers them; -1 is noise.
        numbers: the number in the id of each cluster, which is its ``clusterID`` in a report.
        kin_numbers: (N,) the number in the id of the kin of each analysis; -1 for none.
        probabilities, outlier_scores: (N,).
        vectors: (N, d).
        newer: findings of scored analyses that the model was not fitted on.
        count_names: all counts that occur in the store.
    """

    model: Model
    corpus: Corpus
    clusters: NDArray[np.int64]
    numbers: list[int]
    kin_numbers: list[int]
    probabilities: NDArray[np.float64]
    outlier_scores: NDArray[np.float64]
    vectors: NDArray[np.float32]
    newer: list[FindingRecord]
    count_names: tuple[str, ...]

    def cluster_ids(self) -> list[int]:
        """``clusterID`` of each analysis, -1 for noise."""
        return [self.numbers[cluster] if cluster != NOISE else NOISE for cluster in self.clusters.tolist()]

    def counts_of(self, row: int) -> dict[str, float]:
        """The counts that an analysis has."""
        values: list[Any] = self.corpus.counts[row].tolist()
        return {name: value for name, value in zip(self.corpus.count_names, values, strict=True) if value == value}


def read_results(engine: Engine) -> ClusteringResults:
    """Read the results from model and store. Raises ModelError (also without a model) and StoreError."""
    model = engine.require_model()
    stored = read_corpus(engine.store)
    rows, points = fitted_rows(model, stored)
    corpus = stored.take(rows)
    fitted = set(corpus.analyses)
    newer = [name for name in stored.analyses if name not in fitted]
    findings = engine.store.findings_of(newer)
    clustering = model.clustering
    numbers_of_kin = [number_of_id(kin.id) for kin in model.kins]
    return ClusteringResults(
        model=model,
        corpus=corpus,
        clusters=clustering.labels[points].astype(np.int64),
        numbers=[number_of_id(cluster.id) for cluster in model.clusters],
        kin_numbers=[numbers_of_kin[kin] if kin != NO_KIN else NO_KIN for kin in model.kin.labels[points].tolist()],
        probabilities=np.asarray(clustering.probabilities[points], np.float64),
        outlier_scores=np.asarray(clustering.outlier_scores[points], np.float64),
        vectors=clustering.index.in_order()[points],
        newer=[findings[name] for name in newer if name in findings],
        count_names=stored.count_names,
    )
