"""To be described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.evidence import _strength


@dataclass(frozen=True, slots=True)
class Frequencies:
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

    corpus: NDArray[np.int64]
    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    counts: NDArray[np.int32]
    rare_hashes: NDArray[np.uint64]
    rare_counts: NDArray[np.int32]
    rare_pairs: NDArray[np.int64]
    rare_pair_counts: NDArray[np.int32]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Frequencies:
        """The frequencies that :meth:`arrays` was taken from. Raises KeyError or ValueError when arrays do not fit."""
        # models from before 0.2.0 do not have these
        every: dict[str, NDArray[Any]] = {"rare_pairs": np.zeros(0, np.int64)}
        every |= {"rare_pair_counts": np.zeros(0, np.int32), **arrays}
        found = cls(**{name: every[name] for name in cls.__slots__})
        pairs = (
            (found.columns, found.counts),
            (found.rare_hashes, found.rare_counts),
            (found.rare_pairs, found.rare_pair_counts),
        )
        if int(found.starts[-1]) != len(found.columns) or any(len(one) != len(other) for one, other in pairs):
            raise ValueError("The frequencies' arrays do not belong together.")
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that :meth:`from_arrays` needs, by name."""
        return {name: getattr(self, name) for name in self.__slots__}

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
        strength = _strength(self.counts[first:last] / max(size, 1), in_corpus, kinds[columns])
        columns, strength = columns[strength > 0], strength[strength > 0]
        return columns[np.argsort(-strength, kind="stable")[:k]]


def _looked_up(keys: NDArray[Any], values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """The value of each wanted key (t,) in a table sorted by key; 0 where there is none."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0).astype(np.int64)
