"""The likeness of millions of pairs of behaviours, by a loop that is compiled: what sparse matrices give, and quicker.

The tokens of a behaviour are marked in a table, and of each of its candidates the marked tokens are counted. For fewer
than ``MANY`` pairs, compiling (a second or two) takes longer than it saves.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.behaviour.kinds import ASPECTS
from cuckoo_ml_plugin.behaviour.likeness import likenesses

MANY = 1_000_000
"""The fewest pairs for which the loop is compiled; once it is, it serves a tenth of them."""
_BLOCK = 65_536  # pairs that a thread counts at a time

Integers = NDArray[np.integer[Any]]


def are_many(pairs: int) -> bool:
    """Whether so many pairs are compared sooner by :func:`likeness_of_many` than by sparse matrices."""
    return pairs >= (MANY // 10 if _compiled.cache_info().currsize else MANY)


def likeness_of_many(
    queries: csr_matrix,
    own_sizes: Integers,
    others: csr_matrix,
    sizes: Integers,
    aspects: NDArray[np.uint8],
    query: Integers,
    other: Integers,
) -> NDArray[np.float64]:
    """The likeness (p,) of pairs; quickest where the pairs of a query follow each other.

    Args:
        queries, others: (m, v) and (n, v) binary.
        own_sizes, sizes: (m, a) and (n, a) how many tokens they have in each aspect.
        aspects: (v,) the aspect of each token.
        query, other: (p,) the rows of each pair.
    """
    count = _compiled()
    own_tokens = queries.indptr.astype(np.int64), queries.indices.astype(np.int64)
    tokens = others.indptr.astype(np.int64), others.indices.astype(np.int64)
    first, second = query.astype(np.int64), other.astype(np.int64)
    of_token = aspects.astype(np.int64)
    values = np.empty(len(first))

    def compare(start: int) -> None:
        part = slice(start, start + _BLOCK)
        common = np.zeros((len(first[part]), len(ASPECTS)), np.int64)
        count(*own_tokens, *tokens, of_token, first[part], second[part], np.zeros(len(of_token), np.int64), common)
        values[part] = likenesses(own_sizes[first[part]], sizes[second[part]], common)

    with ThreadPoolExecutor(cpu_count()) as threads:
        for _ in threads.map(compare, range(0, len(first), _BLOCK)):
            pass
    return values


@cache
def _compiled() -> Callable[..., None]:
    import numba

    compiled: Callable[..., None] = numba.njit(nogil=True)(_count_common)
    return compiled


def _count_common(
    own_starts: Any,
    own_columns: Any,
    starts: Any,
    columns: Any,
    aspects: Any,
    query: Any,
    other: Any,
    marks: Any,
    common: Any,
) -> None:
    """Count in ``common`` (p, a), which holds 0, the tokens that p pairs share in each aspect; ``marks``: (v,) of 0."""
    marked = -1
    for pair in range(len(query)):
        row = query[pair]
        if row != marked:
            if marked >= 0:
                for place in range(own_starts[marked], own_starts[marked + 1]):
                    marks[own_columns[place]] = 0
            for place in range(own_starts[row], own_starts[row + 1]):
                marks[own_columns[place]] = 1
            marked = row
        for place in range(starts[other[pair]], starts[other[pair] + 1]):
            column = columns[place]
            common[pair, aspects[column]] += marks[column]
