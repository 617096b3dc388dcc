"""Which behaviour says so: what ties an analysis to its cluster and is rare elsewhere, or what is rarest of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.behaviour import KINDS

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
