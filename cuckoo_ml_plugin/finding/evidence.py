"""The evidence of a finding: the behaviour that ties an analysis to its cluster, or that is rarest in the corpus.

What nearly every program causes is never evidence (``behaviour/tokens/background.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.behaviour import kind_of, value_of
from cuckoo_ml_plugin.behaviour.kinds import KINDS
from cuckoo_ml_plugin.behaviour.tokens.background import is_ordinary
from cuckoo_ml_plugin.finding.section import Evidence

MIN_SHARE = 0.25
"""The least share of a cluster's analyses that must show a behaviour for it to tie an analysis to the cluster."""
MAX_OF_A_KIND = 3
"""Pieces of evidence of one kind, as long as there are others."""
_BATCH = 128

# An analyst reads the highest first. Sequences of calls and loose strings mean little to a person and come last.
_READABLE = {
    "signature": 1.5, "mutex": 1.4, "reg_value": 1.4, "command": 1.3, "domain": 1.3, "http": 1.3, "injection": 1.3,
    "service_created": 1.3, "host": 1.2, "file_written": 1.2, "file_created": 1.2, "file_deleted": 1.2,
    "reg_written": 1.2, "payload": 1.2, "child_process": 1.2, "dump_yara": 1.2, "dropped_name": 1.1,
    "dump_section": 0.8, "api": 0.6, "resolved_api": 0.5, "import": 0.5, "dump_import": 0.5, "string": 0.3,
    "file_size": 0.2, "dump_fuzzy": 0.2, "ngram": 0.1,
}  # fmt: skip
_READABILITY = np.array([_READABLE.get(kind, 1.0) for kind in KINDS] + [0.1] * (256 - len(KINDS)))


def readability(kind: str) -> float:
    """How much a kind of behaviour means to a person who reads it; 1 is ordinary."""
    return _READABLE.get(kind, 1.0)


def strength(in_cluster: NDArray[Any], in_corpus: NDArray[Any], kinds: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How strongly each token (t,) ties an analysis to a cluster; 0 where less than ``MIN_SHARE`` of it show the token.

    It is the token's part in the divergence of the cluster from the corpus (Kullback & Leibler 1951), weighted by how
    readable its kind is.
    """
    frequent = in_cluster >= MIN_SHARE
    shares = np.where(frequent, in_cluster, 1.0)
    divergence = np.where(frequent, shares * np.log(shares / np.maximum(in_corpus, 1e-12)), 0.0)
    return np.asarray(np.maximum(divergence, 0.0) * _READABILITY[kinds])


def cluster_evidence(
    tokens: Sequence[str],
    places: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    in_cluster: NDArray[np.float64],
    in_corpus: NDArray[np.float64],
    k: int,
) -> list[Evidence]:
    """The (at most k) tokens of an analysis that tie it most strongly to its cluster, strongest first.

    Args:
        tokens: all tokens of the analysis.
        places: (t,) positions of the known ones among them.
        kinds: (t,) kinds of the known ones.
        in_cluster, in_corpus: (t,) share of the analyses that show each.
    """
    strengths = strength(in_cluster, in_corpus, kinds)
    order = np.argsort(-strengths, kind="stable")
    strongest = order[: np.count_nonzero(strengths > 0)]
    chosen = _varied(strongest, kinds, k, lambda i: _is_telling(tokens[places[i]]))
    return [_piece(tokens[places[i]], in_cluster[i], in_corpus[i]) for i in chosen]


def rarest_evidence(
    tokens: Sequence[str],
    kinds: NDArray[np.uint8],
    in_cluster: NDArray[np.float64],
    in_corpus: NDArray[np.float64],
    k: int,
) -> list[Evidence]:
    """The (at most k) tokens of an analysis that are rarest in the corpus, rarest and most readable first.

    Args:
        tokens: all tokens of the analysis.
        kinds: (t,) their kinds.
        in_cluster, in_corpus: (t,) share of the analyses that show each; 0 for a token that was never seen.
    """
    surprise = np.log(1 / np.maximum(in_corpus, 1e-6)) * _READABILITY[kinds]
    order = np.argsort(-surprise, kind="stable")
    rarest = order[: np.count_nonzero(surprise > 0)]
    chosen = _varied(rarest, kinds, k, lambda i: _is_telling(tokens[i]))
    return [_piece(tokens[i], in_cluster[i], in_corpus[i]) for i in chosen]


def _is_telling(token: str) -> bool:
    return not is_ordinary(kind_of(token), value_of(token))


def _varied(order: NDArray[np.int64], kinds: NDArray[np.uint8], k: int, is_telling: Callable[[int], bool]) -> list[int]:
    """The first k of an order that are telling, at most ``MAX_OF_A_KIND`` of each kind before the rest.

    A tenth file adds little.
    """
    first: list[int] = []
    surplus: list[int] = []
    occurrences: dict[int, int] = {}
    for start in range(0, len(order), _BATCH):  # the first batch gives enough, nearly always
        batch = order[start : start + _BATCH]
        for i, kind in zip(batch.tolist(), kinds[batch].tolist(), strict=True):
            if len(first) >= k:
                return first
            if occurrences.get(kind, 0) >= MAX_OF_A_KIND:
                surplus.append(i)
            elif is_telling(i):
                occurrences[kind] = occurrences.get(kind, 0) + 1
                first.append(i)
    more = (i for i in surplus if is_telling(i))
    return [*first, *islice(more, max(k - len(first), 0))][:k]


def _piece(token: str, in_cluster: float, in_corpus: float) -> Evidence:
    """The piece of evidence; its role is ``shared`` where enough of the cluster shows the behaviour."""
    kind, _, value = token.partition(":")
    return Evidence(
        kind=kind,
        value=value,
        in_cluster=round(float(in_cluster), 4),
        in_corpus=round(float(in_corpus), 4),
        role="shared" if in_cluster >= MIN_SHARE else "new",
    )
