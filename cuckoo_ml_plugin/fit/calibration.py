"""The reference for the anomaly scores of new analyses: fitted analyses, each under an embedding fitted without it.

An embedding explains the analyses that it was fitted on better than new ones, so beside them every new analysis would
look unusual. Therefore parts of the corpus are held back in turn, embedded by a fit on the rest, and compared with the
rest (cross-fitting; Vovk, "Cross-conformal predictors", 2015).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.model.anomaly import CANDIDATES, explained_distances, unusualness
from cuckoo_ml_plugin.model.embedding import Recipe
from cuckoo_ml_plugin.settings import SEED, VectorSettings

FOLDS = 5
SAMPLE = 10_000
"""The most analyses that are held back; a larger corpus is sampled with a seed."""
_BLOCK = 20_000_000  # similarities in memory at a time


def held_back_unusualness(
    tokens: csr_matrix,
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    multiplicities: NDArray[np.int64],
    recipe: Recipe,
    settings: VectorSettings,
    left_out: NDArray[np.bool_] | None = None,
    background: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """The unusualness (ascending) of analyses among those of the other folds, under an embedding fitted on those.

    Args:
        tokens: (n, v) binary; hashes, kinds, left_out, background: (v,).
        multiplicities: (n,) analyses of each behaviour.
    """
    rng = np.random.default_rng(SEED)
    of_analysis = np.repeat(np.arange(tokens.shape[0]), multiplicities)
    if len(of_analysis) > SAMPLE:
        of_analysis = np.sort(rng.choice(of_analysis, SAMPLE, replace=False))
    if len(of_analysis) < 2 * FOLDS:
        return np.zeros(0)
    fold = rng.permutation(len(of_analysis)) % FOLDS
    values = [
        _unusualness_of_fold(
            tokens,
            hashes,
            kinds,
            of_analysis[fold != number],
            of_analysis[fold == number],
            recipe,
            settings,
            left_out,
            background,
        )
        for number in range(FOLDS)
    ]
    return np.sort(np.concatenate(values))


def _unusualness_of_fold(
    tokens: csr_matrix,
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    rest: NDArray[np.int64],
    held: NDArray[np.int64],
    recipe: Recipe,
    settings: VectorSettings,
    left_out: NDArray[np.bool_] | None,
    background: NDArray[np.bool_] | None,
) -> NDArray[np.float64]:
    """The unusualness (h,) of the held analyses (h,) among the rest (r,), both given by their rows in ``tokens``."""
    points, counts = np.unique(rest, return_counts=True)
    embedding, known = fit_embedding(tokens[points], hashes, kinds, counts, recipe, settings, left_out, background)
    vectors, explained = embed_all(embedding, known, np.diff(tokens.indptr)[points])
    columns = np.searchsorted(hashes, embedding.hashes)
    new_vectors, new_explained = embed_all(embedding, tokens[held][:, columns].tocsr(), np.diff(tokens.indptr)[held])
    values = np.empty(len(held))
    k = min(CANDIDATES, len(points))
    step = max(1, _BLOCK // max(len(points), 1))
    for start in range(0, len(held), step):
        similar = new_vectors[start : start + step] @ vectors.T
        best = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similar, best, axis=1), axis=1, kind="stable")
        for row, nearest in enumerate(np.take_along_axis(best, order, axis=1), start):
            own = float(new_explained[row])
            distances = explained_distances(new_vectors[row], own, vectors[nearest], explained[nearest])
            values[row] = unusualness(own, distances, counts[nearest])
    return values
