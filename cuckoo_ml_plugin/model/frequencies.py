"""How many fitted analyses show each token, in the corpus and in each cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.evidence import strength
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape
from cuckoo_ml_plugin.model.embedding import Embedding


@dataclass(frozen=True, slots=True)
class Frequencies(ModelPart):
    """How many analyses show each token, in the corpus and in each of c clusters.

    The embedding knows v tokens; another r tokens are rare: too few fitted analyses show them for the embedding.

    Attributes:
        corpus: (v,) how many analyses show each known token.
        starts: (c + 1,) where each cluster's entries begin in ``columns`` and ``counts``.
        columns, counts: (e,) the known tokens that each cluster shows, ascending within the cluster, and how many of
            its analyses show them.
        rare_hashes, rare_counts: (r,) the rare tokens, ascending, and how many analyses show each.
        rare_pairs, rare_pair_counts: (p,) the clusters that show rare tokens, as the token's number times c plus the
            cluster's number, ascending, and how many of the cluster's analyses show the token.
    """

    corpus: Annotated[NDArray[np.int64], Shape("v")]
    starts: Annotated[NDArray[np.int64], Shape("c + 1", delimits="e")]
    columns: Annotated[NDArray[np.int32], Shape("e")]
    counts: Annotated[NDArray[np.int32], Shape("e")]
    rare_hashes: Annotated[NDArray[np.uint64], Shape("r")]
    rare_counts: Annotated[NDArray[np.int32], Shape("r")]
    rare_pairs: Annotated[NDArray[np.int64], Shape("p", since="0.2.0")]
    rare_pair_counts: Annotated[NDArray[np.int32], Shape("p", since="0.2.0")]

    def rare_numbers(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Of each of the tokens (t,), which the embedding does not know, its number among the rare ones, or -1."""
        if not len(self.rare_hashes):
            return np.full(len(hashes), -1)
        places = np.minimum(np.searchsorted(self.rare_hashes, hashes), len(self.rare_hashes) - 1)
        return np.where(self.rare_hashes[places] == hashes, places, -1)

    def in_cluster(self, cluster: int, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many analyses of a cluster show each of the known tokens (t,)."""
        first, last = int(self.starts[cluster]), int(self.starts[cluster + 1])
        return _look_up(self.columns[first:last], self.counts[first:last], columns)

    def rare_in_cluster(self, cluster: int, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """How many analyses of a cluster show each of the tokens (t,), which the embedding does not know."""
        analyses = np.zeros(len(hashes), np.int64)
        numbers = self.rare_numbers(hashes)
        pairs = numbers * (len(self.starts) - 1) + cluster
        analyses[numbers >= 0] = _look_up(self.rare_pairs, self.rare_pair_counts, pairs[numbers >= 0])
        return analyses

    def strongest(self, cluster: int, size: int, analyses: int, embedding: Embedding) -> NDArray[np.int64]:
        """Columns of the tokens that are typical of a cluster and no background, strongest first."""
        first, last = int(self.starts[cluster]), int(self.starts[cluster + 1])
        columns = self.columns[first:last].astype(np.int64)
        in_corpus = self.corpus[columns] / max(analyses, 1)
        strengths = strength(self.counts[first:last] / max(size, 1), in_corpus, embedding.kinds[columns])
        strengths[embedding.is_background(columns)] = 0
        columns, strengths = columns[strengths > 0], strengths[strengths > 0]
        return columns[np.argsort(-strengths, kind="stable")]


def _look_up(keys: NDArray[Any], values: NDArray[Any], queries: NDArray[Any]) -> NDArray[np.int64]:
    """The value of each query (t,) in a table that is sorted by key; 0 for a key that is not in it."""
    if not len(keys):
        return np.zeros(len(queries), np.int64)
    places = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[places] == queries, values[places], 0).astype(np.int64)
