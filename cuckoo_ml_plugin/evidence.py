"""Which behaviour says so: what ties an analysis to its cluster and is rare elsewhere, or what is rarest of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour import KINDS

MIN_SHARE = 0.25
"""Behaviour that fewer of a cluster's analyses show does not tie anything to it."""
MOST_OF_A_KIND = 3
"""Pieces of evidence of one kind, as long as there are others."""
_LOOKED_AT = 128

# What an analyst reads first. Sequences of calls and loose strings say little to a person: they come last.
_READABLE = {
    "signature": 1.5, "mutex": 1.4, "command": 1.3, "domain": 1.3, "http": 1.3, "host": 1.2, "service_created": 1.3,
    "file_written": 1.2, "file_created": 1.2, "file_deleted": 1.2, "reg_written": 1.2, "dropped_name": 1.1,
    "api": 0.6, "resolved_api": 0.5, "import": 0.5, "string": 0.3, "ngram": 0.1, "file_size": 0.2,
}  # fmt: skip
_READABILITY = np.array([_READABLE.get(kind, 1.0) for kind in KINDS] + [0.1] * (256 - len(KINDS)))


class Evidence(TypedDict):
    """One piece of evidence as the report section holds it; the shares are in [0, 1]."""

    kind: str
    value: str
    in_cluster: float
    in_corpus: float


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


def _strength(in_cluster: NDArray[Any], in_corpus: NDArray[Any], kinds: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Each token's part in the divergence of the cluster from the corpus (Kullback & Leibler), by readability.

    0 for what fewer than ``MIN_SHARE`` of the cluster show.
    """
    many = np.where(in_cluster >= MIN_SHARE, in_cluster, 1.0)
    lift = np.where(in_cluster >= MIN_SHARE, many * np.log(many / np.maximum(in_corpus, 1e-12)), 0.0)
    return np.asarray(np.maximum(lift, 0.0) * _READABILITY[kinds])


def cluster_evidence(
    tokens: Sequence[str],
    places: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    in_cluster: NDArray[np.float64],
    in_corpus: NDArray[np.float64],
    k: int,
) -> list[Evidence]:
    """The (at most k) tokens of an analysis that tie it to its cluster most, strongest first.

    Args:
        tokens: all its tokens; places: (t,) where the known ones stand among them; kinds: (t,) their kinds.
        in_cluster, in_corpus: (t,) the share of analyses that show each.
    """
    strength = _strength(in_cluster, in_corpus, kinds)
    best = [i for i in _varied(np.argsort(-strength, kind="stable"), kinds, k) if strength[i] > 0]
    return [_piece(tokens[places[i]], in_cluster[i], in_corpus[i]) for i in best]


def rarest_evidence(
    tokens: Sequence[str],
    kinds: NDArray[np.uint8],
    in_cluster: NDArray[np.float64],
    in_corpus: NDArray[np.float64],
    k: int,
) -> list[Evidence]:
    """The (at most k) tokens of an analysis that are rarest in the corpus, rarest and most readable first.

    Args:
        tokens: all its tokens; kinds: (t,) their kinds.
        in_cluster, in_corpus: (t,) the share of analyses that show each, 0 for one never seen.
    """
    surprise = np.log(1 / np.maximum(in_corpus, 1e-6)) * _READABILITY[kinds]
    best = _varied(np.argsort(-surprise, kind="stable"), kinds, k)
    return [_piece(tokens[i], in_cluster[i], in_corpus[i]) for i in best]


def _varied(order: NDArray[np.int64], kinds: NDArray[np.uint8], k: int) -> list[int]:
    """The first k of an order, ``MOST_OF_A_KIND`` of each kind before all others: a tenth file written says little."""
    first: list[int] = []
    others: list[int] = []
    taken: dict[int, int] = {}
    for start in range(0, len(order), _LOOKED_AT):  # the first few kinds give enough, nearly always
        some = order[start : start + _LOOKED_AT]
        for i, kind in zip(some.tolist(), kinds[some].tolist(), strict=True):
            if len(first) >= k:
                return first
            taken[kind] = taken.get(kind, 0) + 1
            (first if taken[kind] <= MOST_OF_A_KIND else others).append(i)
    return [*first, *others][:k]


def _piece(token: str, in_cluster: float, in_corpus: float) -> Evidence:
    kind, _, value = token.partition(":")
    shares = round(float(in_cluster), 4), round(float(in_corpus), 4)
    return Evidence(kind=kind, value=value, in_cluster=shares[0], in_corpus=shares[1])
