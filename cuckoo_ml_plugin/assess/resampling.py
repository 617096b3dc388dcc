"""Stability: random parts of the corpus are clustered again, and the results compared. No label is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.assess.validity import sample
from cuckoo_ml_plugin.fit.corpus import Corpus, Progress
from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.fit.fit_model import left_out_tokens
from cuckoo_ml_plugin.fit.groups.alike import AspectTokens
from cuckoo_ml_plugin.fit.groups.clustering import fit_clustering
from cuckoo_ml_plugin.model.embedding import FOR_CLUSTERS
from cuckoo_ml_plugin.model.groups.clustering import NOISE
from cuckoo_ml_plugin.settings import SEED, Settings

SHARE = 0.8
"""The share of the corpus in each part."""
MOST = 12_500
"""The most analyses from which parts are drawn; a larger corpus is sampled with a seed."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stability:
    """How similar fits on random parts are.

    Attributes:
        fits: the number of fits.
        ari: mean adjusted Rand index of two fits over the analyses that both cluster (Ben-Hur, Elisseeff & Guyon
            2002); None if there are none.
        same_left_out: the mean share, of the analyses in two parts, that both fits cluster or both leave out.
        found_again: for each cluster of the whole corpus, the Jaccard similarity to the most similar cluster of a fit,
            mean over the fits (Hennig 2007); None for a cluster without a member in any part.
    """

    fits: int
    ari: float | None
    same_left_out: float
    found_again: list[float | None]


def corpus_vectors(
    corpus: Corpus, settings: Settings, left_out: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Unit vectors (n, d) of the distinct behaviours, as a refit embeds them for clustering.

    Args:
        left_out: (v,) True for tokens that are left out; by default those of the settings.

    Raises:
        SettingsError: the settings leave out an unknown kind.
    """
    if left_out is None:
        left_out = left_out_tokens(corpus.kinds, settings.features.leave_out)
    fitted = fit_embedding(
        corpus.tokens, corpus.hashes, corpus.kinds, corpus.weights, FOR_CLUSTERS, settings.vectors, left_out,
        corpus.background,
    )  # fmt: skip
    return embed_all(*fitted, np.diff(corpus.tokens.indptr))[0]


def clusters_of(corpus: Corpus, settings: Settings) -> Labels:
    """The cluster (N,) that a refit would give each analysis. Raises SettingsError."""
    tokens = AspectTokens.of(corpus, left_out_tokens(corpus.kinds, settings.features.leave_out))
    vectors = corpus_vectors(corpus, settings)
    fitted = fit_clustering(vectors, corpus.weights, settings.clustering, tokens=tokens)
    return fitted.labels[corpus.point_of]


def random_parts(total: int, fits: int) -> list[Labels]:
    """For each fit, the ascending numbers below ``total`` of a random part of 80 %."""
    rng = np.random.default_rng(SEED)
    base = sample(total, MOST)
    size = int(len(base) * SHARE)
    return [np.sort(base[rng.permutation(len(base))[:size]]) for _ in range(fits)]


def resampled(
    corpus: Corpus, settings: Settings, clusters: Labels, fits: int, progress: Progress | None = None
) -> Stability:
    """Cluster random parts of the corpus; compare them with each other and with the clusters (N,) of the whole."""
    parts = random_parts(len(corpus.analyses), fits)
    clusters_of_parts = []
    for part in parts:
        clusters_of_parts.append(clusters_of(corpus.take(part), settings))
        if progress:
            progress(len(clusters_of_parts), fits)
    return stability(parts, clusters_of_parts, clusters)


def stability(parts: Sequence[Labels], clusters_of_parts: Sequence[Labels], whole: Labels) -> Stability:
    """Compare fits on parts.

    Args:
        parts: for each part, the ascending numbers of its analyses.
        clusters_of_parts: for each part, the clusters of its analyses in its fit.
        whole: (N,) the clusters of the whole corpus.
    """
    from sklearn.metrics import adjusted_rand_score

    rand_indices, same = [], []
    for (part, a), (next_part, b) in pairwise(zip(parts, clusters_of_parts, strict=True)):
        _, first, second = np.intersect1d(part, next_part, assume_unique=True, return_indices=True)
        both = (a[first] != NOISE) & (b[second] != NOISE)
        same.append(float(np.mean((a[first] == NOISE) == (b[second] == NOISE))) if len(first) else 1.0)
        if both.any():
            rand_indices.append(float(adjusted_rand_score(a[first][both], b[second][both])))
    best_matches = [_best_matches(whole[part], a) for part, a in zip(parts, clusters_of_parts, strict=True)]
    found_again: list[float | None] = []
    for cluster in range(int(whole.max(initial=NOISE)) + 1):
        values = [matches[cluster] for matches in best_matches if cluster in matches]
        found_again.append(float(np.mean(values)) if values else None)
    return Stability(
        fits=len(parts),
        ari=float(np.mean(rand_indices)) if rand_indices else None,
        same_left_out=float(np.mean(same)) if same else 1.0,
        found_again=found_again,
    )


def _best_matches(whole: Labels, part: Labels) -> dict[int, float]:
    """The greatest Jaccard similarity of each cluster in ``whole`` to one in ``part``, both over the same analyses."""
    best = {int(cluster): 0.0 for cluster in np.unique(whole) if cluster != NOISE}
    sizes = {int(c): int(n) for c, n in zip(*np.unique(whole, return_counts=True), strict=True)}
    others = {int(c): int(n) for c, n in zip(*np.unique(part, return_counts=True), strict=True)}
    pairs: NDArray[Any]
    pairs, counts = np.unique(np.stack([whole, part]), axis=1, return_counts=True)
    for (cluster, other), both in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        if cluster != NOISE and other != NOISE:
            best[cluster] = max(best[cluster], both / (sizes[cluster] + others[other] - both))
    return best
