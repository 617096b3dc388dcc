"""The reference for the anomaly scores of new analyses: fitted analyses, each as if it had not been fitted.

An embedding explains the analyses that it was fitted on better than new ones, so beside them every new analysis would
look unusual. Therefore analyses are held back in turn (cross-fitting; Vovk, "Cross-conformal predictors", 2015), in
``FOLDS`` parts: the directions of a part are those of all other analyses. A new analysis is compared with the whole
corpus, so one that is held back is compared with all others, too, and not only with those of other parts.

The directions without a part are not fitted anew. The embedding is fitted once with ``WIDE`` directions, more than it
keeps. In their span, the covariance of the corpus without the part is the whole one less the part's, and its strongest
eigenvectors are the directions without the part: exactly where the span holds the whole corpus, and closely elsewhere,
because those that take the place of a lost direction are in the span.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.fit.anomaly import (
    WeightedTokens,
    counts_without_own,
    nearest_elsewhere,
    without_own,
    without_source,
)
from cuckoo_ml_plugin.fit.embedding import project_all, rows_of_directions
from cuckoo_ml_plugin.model.anomaly import NEIGHBOURS, place, unusualness
from cuckoo_ml_plugin.model.embedding import Embedding
from cuckoo_ml_plugin.settings import SEED

FOLDS = 20
SAMPLE = 4_000
"""The most analyses that are held back; a larger corpus is sampled with a seed."""
WIDE = 96
"""How many directions the embedding is fitted with, of which it keeps the strongest."""
_BLOCK = 20_000_000  # similarities in memory at a time

Matrix = NDArray[np.float64]


def held_back_unusualness(
    wide: Embedding,
    dimensions: int,
    known: csr_matrix,
    tokens: NDArray[np.int64],
    multiplicities: NDArray[np.int64],
    sources: NDArray[np.int64],
    weighted: WeightedTokens,
    least_frequency: int,
) -> Matrix:
    """The unusualness (r,), ascending, of analyses as if they had not been fitted; empty for a corpus of one analysis.

    Args:
        wide: the embedding with ``WIDE`` directions, of which it keeps ``dimensions``.
        known: (n, v) binary, the behaviours over the tokens that it knows.
        tokens: (n,) the number of tokens of each behaviour, known or not.
        multiplicities: (n,) voices that show each behaviour.
        sources: (n,) the small source from which alone each behaviour is known, -1 where there is none.
        weighted: the tokens of the behaviours that count for the likeness.
        least_frequency: of how many voices a token is known.
    """
    rng = np.random.default_rng(SEED)
    held = np.repeat(np.arange(len(multiplicities)), multiplicities)
    if len(held) < 2:
        return np.zeros(0)
    if len(held) > SAMPLE:
        held = np.sort(rng.choice(held, SAMPLE, replace=False))
    fold = rng.permutation(len(held)) % FOLDS
    projected, shares = project_all(wide, known, tokens)
    chosen = rows_of_directions(len(projected))
    strengths = np.sqrt(multiplicities[chosen])[:, None] * projected[chosen]
    whole = strengths.T @ strengths
    in_whole = np.zeros(len(projected), np.bool_)
    in_whole[chosen] = True
    kept, lost = _without_own_tokens(known[held], known, multiplicities, least_frequency)
    own_projected, own_shares = project_all(wide, kept, tokens[held])
    neighbours = np.full((len(held), min(NEIGHBOURS, len(projected))), -1, np.int64)
    distances = np.zeros(neighbours.shape)
    projected = projected.astype(np.float32)

    def places_without(part: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where the held analyses of a fold lie, and where all behaviours do, in the directions without the fold."""
        taken = projected[held[part[in_whole[held[part]]]]].astype(np.float64)
        turn = _strongest(whole - taken.T @ taken, dimensions)
        return _placed(own_projected[part], turn, own_shares[part]), _placed(projected, turn, shares)

    parts = [part for number in range(FOLDS) if len(part := np.flatnonzero(fold == number))]
    for part in parts:
        own, places = places_without(part)
        neighbours[part], distances[part] = _nearest(own, places, held[part], multiplicities)
    kept_tokens, lost_tokens = weighted.of(kept), weighted.of(lost)
    counts = counts_without_own(neighbours, held, multiplicities)
    likeness = weighted.likeness_to(kept_tokens, neighbours, lost_tokens)
    likeness[neighbours == held[:, None]] = 1.0  # a repeat is like the analysis that it repeats
    lone = without_source(sources, neighbours, counts, likeness)
    source_of = np.full(len(held), -1, np.int64)
    source_of[lone.rows] = lone.sources
    for part in parts:
        rows = part[source_of[part] >= 0]
        if not len(rows):
            continue
        own, places = places_without(part)
        own = own[source_of[part] >= 0]
        step = max(1, _BLOCK // len(places))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            neighbours[block], distances[block] = nearest_elsewhere(
                own[start : start + step], places, sources, source_of[block], held[block], neighbours.shape[1]
            )
    counts[lone.rows] = counts_without_own(neighbours[lone.rows], held[lone.rows], multiplicities)
    likeness[lone.rows] = weighted.likeness_to(kept_tokens[lone.rows], neighbours[lone.rows], lost_tokens[lone.rows])
    return np.sort(unusualness(distances, counts, likeness.max(axis=1, initial=0.0)))


def _without_own_tokens(
    held: csr_matrix, known: csr_matrix, multiplicities: NDArray[np.int64], least_frequency: int
) -> tuple[csr_matrix, csr_matrix]:
    """The known tokens (h, v) of the held analyses that would be known without the analysis, and the others."""
    frequencies = np.asarray(known.T @ multiplicities.astype(np.float64)).ravel()
    stays = frequencies - 1 >= min(least_frequency, max(int(multiplicities.sum()) - 1, 1))
    kept, lost = held.tocsr().copy(), held.tocsr().copy()
    kept.data = stays[kept.indices].astype(kept.data.dtype)
    lost.data = (~stays[lost.indices]).astype(lost.data.dtype)
    kept.eliminate_zeros()
    lost.eliminate_zeros()
    return kept, lost


def _strongest(covariance: Matrix, dimensions: int) -> Matrix:
    """The strongest eigenvectors (w, at most ``dimensions``) of a covariance (w, w)."""
    values, vectors = np.linalg.eigh(covariance)
    real = values > 1e-9 * max(float(values[-1]), 1e-12)
    return np.asarray(vectors[:, real][:, ::-1][:, :dimensions])


def _placed(projected: NDArray[np.floating], turn: Matrix, shares: Matrix) -> NDArray[np.float32]:
    """Where behaviours lie by their projections (n, w) on the wide directions, turned to (n, d)."""
    turned = projected @ turn.astype(projected.dtype)
    lengths = np.sqrt(np.einsum("nd,nd->n", turned, turned))
    vectors = np.divide(turned, lengths[:, None], out=np.zeros_like(turned), where=lengths[:, None] > 1e-9)
    return place(vectors, np.where(lengths > 1e-9, np.minimum(lengths, 1.0) * shares, 0.0))


def _nearest(
    own: NDArray[np.float32],
    places: NDArray[np.float32],
    points: NDArray[np.int64],
    multiplicities: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Matrix]:
    """Neighbours and distances (h, k) of the analyses at ``own`` among the others, as ``without_own`` gives them."""
    k = min(NEIGHBOURS + 1, len(places))
    numbers, distances = np.zeros((len(own), k), np.int64), np.zeros((len(own), k))
    step = max(1, _BLOCK // len(places))
    for start in range(0, len(own), step):
        part = slice(start, start + step)
        best = np.argpartition(own[part] @ places.T, len(places) - k, axis=1)[:, len(places) - k :]
        away = places[best].astype(np.float64) - own[part, None, :].astype(np.float64)
        far = np.sqrt((away * away).sum(axis=2))
        order = np.argsort(far, axis=1, kind="stable")
        numbers[part] = np.take_along_axis(best, order, axis=1)
        distances[part] = np.take_along_axis(far, order, axis=1)
    return without_own(numbers, distances, points, multiplicities)
