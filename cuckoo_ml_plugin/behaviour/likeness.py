"""Likeness: how alike two behaviours are, from 0 to 1, in terms that an analyst can check.

The tokens are compared aspect by aspect (:class:`~cuckoo_ml_plugin.behaviour.kinds.Aspect`), so that one with
thousands of tokens (strings, opened keys) does not drown one with few (mutexes, signatures). In aspect g, let J_g be
the Jaccard index (1901) of the two sets of tokens, and U_g how many tokens either has. Then

    likeness = sum of J_g * sqrt(U_g) / sum of sqrt(U_g)    over the aspects with U_g > 0.

An aspect that only one of the two has counts with J_g = 0. Equal behaviours have the likeness 1. docs/behash.md
specifies the measure, docs/benchmarks.md compares it with the plain Jaccard index of all tokens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.kinds import ASPECT_OF_KIND, ASPECTS, KINDS

TokenSets = tuple[AbstractSet[bytes], ...]
"""The tokens of a behaviour as UTF-8: a set for each aspect, in the order of ``ASPECTS``."""

NO_ASPECT: Final = len(ASPECTS)
ASPECT_NUMBERS: Final[NDArray[np.uint8]] = np.full(256, NO_ASPECT, np.uint8)
"""(256,) the place in ``ASPECTS`` of each kind, by the kind's code; ``NO_ASPECT`` for what has none."""
for _code, _name in enumerate(KINDS):
    if _name in ASPECT_OF_KIND:
        ASPECT_NUMBERS[_code] = ASPECTS.index(ASPECT_OF_KIND[_name])

_NUMBER_OF_KIND: Final = {name.encode(): ASPECTS.index(aspect) for name, aspect in ASPECT_OF_KIND.items()}


def ranges_by_kind(tokens: Sequence[bytes]) -> list[tuple[int, int, int]]:
    """Where the tokens of each kind begin and end, with the number of its aspect; what has none is left out.

    Args:
        tokens: as UTF-8, sorted.
    """
    ranges = []
    start = 0
    while start < len(tokens):
        kind, colon, _ = tokens[start].partition(b":")
        end = bisect_left(tokens, kind + b";", start) if colon else start + 1  # ";" is the character after ":"
        if colon and kind in _NUMBER_OF_KIND:
            ranges.append((start, end, _NUMBER_OF_KIND[kind]))
        start = end
    return ranges


def token_sets(joined: bytes) -> TokenSets:
    """A behaviour by aspect, from its :func:`~cuckoo_ml_plugin.plumbing.hashes.joined_tokens`."""
    tokens = joined.split(b"\n") if joined else []
    sets: tuple[set[bytes], ...] = tuple(set() for _ in ASPECTS)
    for start, end, number in ranges_by_kind(tokens):
        sets[number].update(tokens[start:end])
    return sets


def likeness(first: TokenSets, second: TokenSets) -> float:
    """The likeness of two behaviours, in [0, 1]; 0 where nothing is known of either."""
    common = [[len(a & b) for a, b in zip(first, second, strict=True)]]
    sizes = [[len(b) for b in second]]
    return float(likenesses(np.array([len(a) for a in first]), np.array(sizes), np.array(common))[0])


def likenesses(
    own: NDArray[np.integer[Any]], sizes: NDArray[np.integer[Any]], common: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """The likeness of one behaviour with each of k others, or of k pairs, in [0, 1]; shape (k,).

    Args:
        own: (a,) how many tokens the behaviour has in each aspect; of pairs, (k, a).
        sizes: (k, a) how many the others have.
        common: (k, a) how many of these the behaviour has, too.
    """
    unions = own + sizes - common
    weights = np.sqrt(unions.astype(np.float64))
    shared = np.divide(common, unions, out=np.zeros_like(weights), where=unions > 0)  # the Jaccard indices
    totals = weights.sum(axis=1)
    return np.asarray(np.divide((shared * weights).sum(axis=1), totals, out=np.zeros_like(totals), where=totals > 0))
