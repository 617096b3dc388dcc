"""Fits the embedding: the weight of each token, and the strongest directions of a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.decomposition import TruncatedSVD

from cuckoo_ml_plugin.model.embedding import TOLD_TOGETHER, Embedding, Recipe, balance
from cuckoo_ml_plugin.settings import SEED, VectorSettings

VOCABULARY = 250_000
"""The most tokens that a model knows, the commonest: a model of d dimensions takes about d megabytes."""
SVD_ROWS = 20_000
"""The most behaviours from which the directions are computed; a larger corpus is sampled with a seed."""
_ROWS = 8_192  # behaviours that are weighted at a time
FEW = 64
"""The most behaviours for which the decomposition is exact: a randomised one needs more of them than directions."""


def fit_embedding(
    tokens: csr_matrix,
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    multiplicities: NDArray[np.integer[Any]],
    recipe: Recipe,
    settings: VectorSettings,
    leave_out: NDArray[np.bool_] | None = None,
    background: NDArray[np.bool_] | None = None,
) -> tuple[Embedding, csr_matrix]:
    """Fit on n distinct behaviours over v tokens.

    Args:
        tokens: (n, v) binary.
        hashes: (v,) ascending.
        kinds: (v,) index in ``behaviour.kinds.KINDS``.
        multiplicities: (n,) how many analyses have each behaviour.
        recipe: how the steps are done.
        settings: dimensions, and the least document frequency (counted in analyses).
        leave_out: (v,) True for tokens that are left out.
        background: (v,) True for tokens that are known and have no weight.

    Returns:
        The embedding, and the behaviours over the tokens that it knows, (n, known tokens).
    """
    analyses = int(multiplicities.sum())
    frequencies = np.asarray(tokens.T @ multiplicities.astype(np.float64)).ravel()
    kept = frequencies >= min(settings.min_document_frequency, max(analyses, 1))
    if leave_out is not None:
        kept &= ~leave_out
    columns = np.flatnonzero(kept)
    if len(columns) > VOCABULARY:
        columns = np.sort(columns[np.argsort(-frequencies[columns], kind="stable")[:VOCABULARY]])
    known = tokens[:, columns].tocsr()
    smoothing = recipe.smoothing
    rarity = smoothing + np.log((1 + analyses) / (smoothing + frequencies[columns]))
    greatest = smoothing + np.log(1 + analyses)
    weights = np.power(rarity / greatest, recipe.rarity).astype(np.float32)
    if background is not None:
        weights[background[columns]] = 0.0
    rows = diags(np.sqrt(multiplicities)) @ _weighted(known, weights, kinds[columns], recipe.balance)
    components, values = _directions(rows.tocsr(), min(settings.dimensions, max(analyses // recipe.crowd, 2)))
    scales = np.power(values / values.max(initial=1e-12), -recipe.whitening)
    embedding = Embedding(
        hashes[columns], kinds[columns], weights, components, scales.astype(np.float32), np.array([recipe.balance])
    )
    return embedding, known


def rows_of_directions(behaviours: int) -> NDArray[np.int64]:
    """The behaviours (at most ``SVD_ROWS`` of so many), ascending, from which the directions are computed."""
    if behaviours <= SVD_ROWS:
        return np.arange(behaviours)
    return np.sort(np.random.default_rng(SEED).choice(behaviours, SVD_ROWS, replace=False))


def embed_all(
    embedding: Embedding, known: csr_matrix, tokens: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors (n, d) and explained shares (n,), as ``Embedding.embed`` returns them.

    Args:
        known: (n, known tokens) binary.
        tokens: (n,) the number of tokens of each behaviour, known or not.
    """
    projected, known_shares = project_all(embedding, known, tokens)
    explained = np.minimum(np.sqrt((projected**2).sum(axis=1)), 1.0)
    projected *= embedding.scales
    norms = np.sqrt((projected**2).sum(axis=1))
    unknown_rows = norms < 1e-9
    projected[~unknown_rows] /= norms[~unknown_rows, None]
    projected[unknown_rows] = 0.0
    explained[unknown_rows] = 0.0
    explained *= known_shares
    return projected.astype(np.float32), explained.astype(np.float32)


def project_all(
    embedding: Embedding, known: csr_matrix, tokens: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Projections (n, d) of the weighted rows on the directions, and the share (n,) of each length that is known.

    Args:
        known: (n, known tokens) binary.
        tokens: (n,) the number of tokens of each behaviour, known or not.
    """
    weighted = _weighted(known, embedding.weights, embedding.kinds, float(embedding.balance[0]))
    projected = np.asarray(weighted @ embedding.components.astype(np.float64))
    squares = known @ embedding.weights.astype(np.float64) ** 2
    unknown = np.maximum(tokens - np.diff(known.indptr), 0)
    return projected, np.sqrt(np.divide(squares, squares + unknown, out=np.zeros_like(squares), where=squares > 0))


def _weighted(known: csr_matrix, weights: NDArray[np.float32], kinds: NDArray[np.uint8], exponent: float) -> csr_matrix:
    """(n, v) rows of unit length: tokens weighted, kinds balanced."""
    weighted = known.astype(np.float64).sorted_indices()
    weighted.data *= weights.astype(np.float64)[weighted.indices]
    weighted.eliminate_zeros()
    told, kind_of = np.unique(TOLD_TOGETHER[kinds], return_inverse=True)
    for start in range(0, known.shape[0], _ROWS):
        starts = weighted.indptr[start : start + _ROWS + 1].astype(np.int64)
        data = weighted.data[starts[0] : starts[-1]]  # a view: what is multiplied is in place
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        groups = rows * len(told) + kind_of[weighted.indices[starts[0] : starts[-1]]]
        squares = np.bincount(groups, data * data, minlength=(len(starts) - 1) * len(told))
        data *= balance(np.asarray(squares, np.float64), exponent)[groups]
        filled = np.flatnonzero(np.diff(starts))
        norms = np.sqrt(np.add.reduceat(data * data, starts[filled] - starts[0])) if len(filled) else np.zeros(0)
        lengths = np.ones(len(starts) - 1)
        lengths[filled] = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        data *= lengths[rows]
    return weighted


def _directions(rows: csr_matrix, dimensions: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Right singular vectors (v, d) and singular values (d,) of a seeded sample of the rows."""
    chosen = rows_of_directions(rows.shape[0])
    if len(chosen) < rows.shape[0]:
        rows = rows[chosen]
    if not rows.nnz:
        return np.zeros((rows.shape[1], 1), np.float32), np.ones(1)
    if min(rows.shape) <= max(dimensions, FEW):
        _, values, components = np.linalg.svd(rows.toarray(), full_matrices=False)
        values, components = values[:dimensions], components[:dimensions]
    else:
        svd = TruncatedSVD(dimensions, random_state=SEED, n_iter=7).fit(rows)
        values, components = svd.singular_values_, svd.components_
    real = values > 1e-9 * values[0]
    return np.ascontiguousarray(components[real].T, np.float32), values[real]
