"""To be described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.evidence import strength
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape


@dataclass(frozen=True, slots=True)
class Frequencies(ModelPart):
    """How many analyses show each of v known tokens, in the corpus and in each of c clusters.

    Attributes:
        corpus: (v,) analyses.
        starts: (c + 1,) where each cluster's entries begin.
        columns, counts: the tokens that each cluster shows (ascending in each), and how many of its analyses do.
        rare_hashes, rare_counts: r tokens that the model does not know, as too few analyses show them (ascending), and
            how many do.
        rare_pairs, rare_pair_counts: which clusters show those, as number of the token times c and number of the
            cluster (ascending), and how many of its analyses do.
    """

    corpus: Annotated[NDArray[np.int64], Shape("v")]
    starts: Annotated[NDArray[np.int64], Shape("c + 1", delimits="e")]
    columns: Annotated[NDArray[np.int32], Shape("e")]
    counts: Annotated[NDArray[np.int32], Shape("e")]
    rare_hashes: Annotated[NDArray[np.uint64], Shape("r")]
    rare_counts: Annotated[NDArray[np.int32], Shape("r")]
    rare_pairs: Annotated[NDArray[np.int64], Shape("p", since="0.2.0")]
    rare_pair_counts: Annotated[NDArray[np.int32], Shape("p", since="0.2.0")]

    def of_rare(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """How many fitted analyses show each of the tokens (t,) that the model does not know."""
        return _looked_up(self.rare_hashes, self.rare_counts, hashes)

    def in_cluster(self, cluster: int, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many analyses of a cluster show each of the tokens (t,) that the model knows."""
        first, last = int(self.starts[cluster]), int(self.starts[cluster + 1])
        return _looked_up(self.columns[first:last], self.counts[first:last], columns)

    def rare_in_cluster(self, cluster: int, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """How many analyses of a cluster show each of the tokens (t,) that the model does not know."""
        found = np.zeros(len(hashes), np.int64)
        numbers = _looked_up(self.rare_hashes, np.arange(1, len(self.rare_hashes) + 1), hashes) - 1
        pairs = numbers * (len(self.starts) - 1) + cluster
        found[numbers >= 0] = _looked_up(self.rare_pairs, self.rare_pair_counts, pairs[numbers >= 0])
        return found

    def strongest(self, cluster: int, size: int, analyses: int, kinds: NDArray[np.uint8], k: int) -> NDArray[np.int64]:
        """The (at most k) tokens that say most about a cluster, strongest first, as columns."""
        first, last = int(self.starts[cluster]), int(self.starts[cluster + 1])
        columns = self.columns[first:last].astype(np.int64)
        in_corpus = self.corpus[columns] / max(analyses, 1)
        strengths = strength(self.counts[first:last] / max(size, 1), in_corpus, kinds[columns])
        columns, strengths = columns[strengths > 0], strengths[strengths > 0]
        return columns[np.argsort(-strengths, kind="stable")[:k]]


def _looked_up(keys: NDArray[Any], values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """The value of each wanted key (t,) in a table sorted by key; 0 where there is none."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0).astype(np.int64)
