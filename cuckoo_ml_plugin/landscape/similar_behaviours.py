"""The behaviours most similar to each fitted behaviour, by the measure of a finding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.fit.groups.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.model.anomaly import NEIGHBOURS as NOVELTY_NEIGHBOURS
from cuckoo_ml_plugin.model.groups.clustering import CANDIDATES
from cuckoo_ml_plugin.model.model import Model


def most_similar(model: Model, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers (n, k) of the behaviours most similar to each, most similar first, and their similarities in (0, 1].

    Candidates and measure are those of a finding's ``similar`` (:mod:`~cuckoo_ml_plugin.model.token_rows`).
    Rows with fewer than k similar behaviours end with -1 and 0.
    """
    vectors, rows = model.clustering.index.in_order(), model.rows
    of_clusters, _ = nearest_of_all(vectors, max(CANDIDATES, 2 * model.clustering.min_samples))
    of_novelty, _ = nearest_of_all(model.novelty_vectors, NOVELTY_NEIGHBOURS + 1)
    numbers = np.full((len(vectors), k), -1, np.int64)
    similarities = np.zeros((len(vectors), k))
    for point in range(len(vectors)):
        own = rows.sizes_of(np.array([point]))[0]
        candidates = np.union1d(of_clusters[point], of_novelty[point])
        candidate_similarities = rows.similarities(rows.columns_of(point), own, candidates, model.columns)
        best = np.lexsort((candidates, -np.round(candidate_similarities, 6)))
        best = best[(candidate_similarities[best] > 0) & (candidates[best] != point)][:k]
        numbers[point, : len(best)] = candidates[best]
        similarities[point, : len(best)] = candidate_similarities[best]
    return numbers, similarities
