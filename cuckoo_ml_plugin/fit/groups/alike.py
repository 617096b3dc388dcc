"""How alike the behaviours of a corpus are: exact likeness of pairs, and each behaviour's nearest by the mixed measure.

Clusters are found by a mixture of two measures (``model/groups/clustering.py``): the cosine of the vectors, which knows
what occurs together, and the likeness of the tokens (``behaviour/likeness.py``), which forgets nothing. The vectors
give each behaviour ``CANDIDATES`` candidates; the mixture decides their order. Only the likeness of candidates is
computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.behaviour.kinds import ASPECTS
from cuckoo_ml_plugin.behaviour.likeness import ASPECT_NUMBERS, NO_ASPECT, likenesses
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.groups.neighbour_graph import Neighbours, nearest_of_all, sorted_neighbours
from cuckoo_ml_plugin.fit.groups.pair_likeness import are_many, likeness_of_many
from cuckoo_ml_plugin.model.groups.clustering import CANDIDATES, mixed_distances

_BLOCK = 4_000_000  # tokens of pairs in memory at a time


@dataclass(frozen=True, slots=True)
class AspectTokens:
    """The tokens of n behaviours by aspect.

    Attributes:
        tokens: (n, v) binary, with sorted indices; tokens without an aspect are left out.
        aspects: (v,) the place of each token's aspect in ``behaviour.kinds.ASPECTS``.
        sizes: (n, a) how many tokens each behaviour has in each aspect.
    """

    tokens: csr_matrix
    aspects: NDArray[np.uint8]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, corpus: Corpus, left_out: NDArray[np.bool_] | None = None) -> AspectTokens:
        """The tokens of a corpus; ``left_out``: (v,) True for tokens that are left out."""
        aspects = ASPECT_NUMBERS[corpus.kinds]
        kept = aspects != NO_ASPECT
        if left_out is not None:
            kept &= ~left_out
        tokens = corpus.tokens[:, np.flatnonzero(kept)].tocsr()
        tokens.sort_indices()
        return cls(tokens, aspects[kept], aspect_sizes(tokens, aspects[kept]))

    def take(self, points: NDArray[np.integer[Any]]) -> AspectTokens:
        """Those of the behaviours with these numbers (k,), in this order."""
        return AspectTokens(self.tokens[points], self.aspects, self.sizes[points])

    def likeness_of_pairs(
        self, first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]]
    ) -> NDArray[np.float64]:
        """The likeness (p,) of pairs of behaviours, given by their numbers (p,)."""
        if are_many(len(first)):
            return likeness_of_many(self.tokens, self.sizes, self.tokens, self.sizes, self.aspects, first, second)
        low, high = np.minimum(first, second), np.maximum(first, second)
        pairs, of_pair = np.unique(low.astype(np.int64) * len(self.sizes) + high, return_inverse=True)
        first, second = np.divmod(pairs, max(len(self.sizes), 1))
        lengths = np.diff(self.tokens.indptr)
        ends = np.cumsum(lengths[first] + lengths[second])
        values = np.empty(len(pairs))
        start = 0
        while start < len(pairs):
            done = ends[start - 1] if start else 0
            end = max(int(np.searchsorted(ends, done + _BLOCK)), start + 1)
            a, b = first[start:end], second[start:end]
            common = aspect_sizes(self.tokens[a].multiply(self.tokens[b]).tocsr(), self.aspects)
            values[start:end] = likenesses(self.sizes[a], self.sizes[b], common)
            start = end
        return values[of_pair]

    def likeness_of_all(self) -> NDArray[np.float64]:
        """The likeness (n, n) of all pairs; for a few thousand behaviours."""
        n = len(self.sizes)
        weighted, weights = np.zeros((n, n)), np.zeros((n, n))
        for aspect in range(len(ASPECTS)):
            tokens = self.tokens[:, np.flatnonzero(self.aspects == aspect)]
            common = (tokens @ tokens.T).toarray()
            unions = self.sizes[:, None, aspect] + self.sizes[None, :, aspect] - common
            roots = np.sqrt(unions)
            weighted += np.divide(common * roots, unions, out=np.zeros((n, n)), where=unions > 0)
            weights += roots
        return np.divide(weighted, weights, out=np.zeros((n, n)), where=weights > 0)


def aspect_sizes(tokens: csr_matrix, aspects: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, a) how many tokens each row (n, v) has in each aspect, given that of each token (v,)."""
    rows = np.repeat(np.arange(tokens.shape[0]), np.diff(tokens.indptr))
    counts = np.bincount(rows * len(ASPECTS) + aspects[tokens.indices], minlength=len(ASPECTS) * tokens.shape[0])
    return counts.reshape(-1, len(ASPECTS)).astype(np.int64)


def nearest_alike(vectors: NDArray[np.float32], tokens: AspectTokens | None, k: int = CANDIDATES) -> Neighbours:
    """The ``k`` nearest of each of n points by their vectors (n, d), in order of the mixed distance.

    Without tokens, the distance is the Euclidean distance of the vectors. A point is not its own neighbour.
    """
    numbers, distances = nearest_of_all(vectors, k + 1)
    if tokens is not None and numbers.size:
        first = np.repeat(np.arange(len(vectors)), numbers.shape[1])
        alike = tokens.likeness_of_pairs(first, numbers.ravel()).reshape(numbers.shape)
        distances = mixed_distances(distances, alike)
    return sorted_neighbours(numbers, distances)
