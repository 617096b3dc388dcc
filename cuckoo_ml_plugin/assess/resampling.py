"""Stability: the corpus clustered again from random parts of it, and how far these agree. No label is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.assess.validity import sample
from cuckoo_ml_plugin.fit.clustering import fit_clustering
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.fit.fit_model import left_out_tokens
from cuckoo_ml_plugin.model.clustering import NOISE
from cuckoo_ml_plugin.model.embedding import FOR_CLUSTERS
from cuckoo_ml_plugin.settings import SEED, Settings

SHARE = 0.8
"""Of the corpus in each part."""
MOST = 12_500
"""Analyses that parts are drawn from at most; of more, a seeded sample."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stability:
    """How alike fits on random parts are.

    Attributes:
        fits: how many.
        ari: adjusted Rand index of two fits over the analyses that both cluster (Ben-Hur, Elisseeff & Guyon 2002);
            None where there are none.
        same_left_out: share of the analyses in both that both fits cluster, or both leave out.
        found_again: for each cluster of the whole, the Jaccard similarity to the cluster that is most like it, mean
            over the fits (Hennig 2007); None for one of which no part holds a member.
    """

    fits: int
    ari: float | None
    same_left_out: float
    found_again: list[float | None]


def corpus_vectors(
    corpus: Corpus, settings: Settings, left_out: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Unit vectors (n, d) of the distinct behaviours, as a refit embeds them to find groups in.

    Args:
        left_out: (v,) True for tokens that are not to count; by default what the settings leave out.

    Raises:
        SettingsError: a kind that the settings leave out does not exist.
    """
    if left_out is None:
        left_out = left_out_tokens(corpus.kinds, settings.features.leave_out)
    fitted = fit_embedding(
        corpus.tokens, corpus.hashes, corpus.kinds, corpus.multiplicities, FOR_CLUSTERS, settings.vectors, left_out
    )
    return embed_all(*fitted, np.diff(corpus.tokens.indptr))[0]


def clusters_of(corpus: Corpus, settings: Settings) -> Labels:
    """The cluster (N,) of each analysis, as a refit would find them. Raises SettingsError."""
    fitted = fit_clustering(corpus_vectors(corpus, settings), corpus.multiplicities, settings.clustering)
    return fitted.labels[corpus.point_of]


def random_parts(total: int, fits: int) -> list[Labels]:
    """Numbers below ``total``, ascending, of random parts of 80 %: one for each fit."""
    rng = np.random.default_rng(SEED)
    base = sample(total, MOST)
    size = int(len(base) * SHARE)
    return [np.sort(base[rng.permutation(len(base))[:size]]) for _ in range(fits)]


def resampled(
    corpus: Corpus, settings: Settings, clusters: Labels, fits: int, tell: Callable[[int, int], None] | None = None
) -> Stability:
    """Cluster random parts of the corpus and compare them with one another, and with the clusters (N,) of the whole."""
    parts = random_parts(len(corpus.analyses), fits)
    found = []
    for part in parts:
        found.append(clusters_of(corpus.take(part), settings))
        if tell:
            tell(len(found), fits)
    return stability(parts, found, clusters)


def stability(parts: Sequence[Labels], found: Sequence[Labels], whole: Labels) -> Stability:
    """Compare fits on parts.

    Args:
        parts: the numbers of each part's analyses, ascending.
        found: their clusters in its fit.
        whole: (N,) the clusters of all.
    """
    from sklearn.metrics import adjusted_rand_score

    agreed, alike = [], []
    for (one, a), (other, b) in pairwise(zip(parts, found, strict=True)):
        _, first, second = np.intersect1d(one, other, assume_unique=True, return_indices=True)
        both = (a[first] != NOISE) & (b[second] != NOISE)
        alike.append(float(np.mean((a[first] == NOISE) == (b[second] == NOISE))) if len(first) else 1.0)
        if both.any():
            agreed.append(float(adjusted_rand_score(a[first][both], b[second][both])))
    again = [_found_again(whole[part], a) for part, a in zip(parts, found, strict=True)]
    each: list[float | None] = []
    for cluster in range(int(whole.max(initial=NOISE)) + 1):
        values = [one[cluster] for one in again if cluster in one]
        each.append(float(np.mean(values)) if values else None)
    return Stability(
        fits=len(parts),
        ari=float(np.mean(agreed)) if agreed else None,
        same_left_out=float(np.mean(alike)) if alike else 1.0,
        found_again=each,
    )


def _found_again(whole: Labels, part: Labels) -> dict[int, float]:
    """For each cluster of ``whole``: the greatest Jaccard similarity to one of ``part``, over the same analyses."""
    best = {int(cluster): 0.0 for cluster in np.unique(whole) if cluster != NOISE}
    sizes = {int(c): int(n) for c, n in zip(*np.unique(whole, return_counts=True), strict=True)}
    others = {int(c): int(n) for c, n in zip(*np.unique(part, return_counts=True), strict=True)}
    pairs: NDArray[Any]
    pairs, counts = np.unique(np.stack([whole, part]), axis=1, return_counts=True)
    for (cluster, other), both in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        if cluster != NOISE and other != NOISE:
            best[cluster] = max(best[cluster], both / (sizes[cluster] + others[other] - both))
    return best
