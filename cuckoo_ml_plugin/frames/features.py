"""Features of the stored analyses as frames: a row for each analysis, a column for each feature."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

import numpy as np
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.behaviour.behaviour import kind_of, value_of
from cuckoo_ml_plugin.behaviour.kinds import DYNAMIC_KINDS, KINDS, NETWORK_KINDS, STATIC_KINDS
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.frames.pandas_import import pd
from cuckoo_ml_plugin.plumbing.text import printable
from cuckoo_ml_plugin.store.store import Store

CATEGORIES = ("simple", "nominal", "numerical", "all", "static", "dynamic", "network")
"""``simple``: signatures. ``nominal``: tokens of every other kind. ``numerical``: counts. ``all``: all three.
``static``, ``dynamic``, ``network``: tokens of those kinds. Every kind of docs/features.md is a category, too."""
MOST_COLUMNS = 50_000
"""A frame keeps an array for each column; with more columns than this it is too slow to use."""

_SETS = {
    "simple": frozenset(("signature",)),
    "nominal": frozenset(KINDS) - {"signature"},
    "all": frozenset(KINDS),
    "static": STATIC_KINDS,
    "dynamic": DYNAMIC_KINDS,
    "network": NETWORK_KINDS,
}


def feature_frame(store: Store, category: str, coverage: float = 0.0) -> pd.DataFrame:
    """A frame of a category (see :data:`CATEGORIES`), indexed by analysis.

    Tokens are sparse columns of 0 and 1 named ``kind:value`` (signatures by their names alone). Counts are numbers, NaN
    where an analysis has none.

    Args:
        coverage: the share of the analyses that must have a feature (a count other than 0) for it to be a column.

    Raises:
        CuckooMLError: there is no such category, or too many features pass.
        StoreError: the store cannot be read.
    """
    if category == "numerical":
        return _covered(count_frame(store), coverage)
    kinds = _SETS.get(category) or ({category} if category in KINDS else None)
    if kinds is None:
        raise CuckooMLError(
            f"There is no feature category {category!r}; choose one of {', '.join(CATEGORIES)}, or a kind of token "
            "from docs/features.md."
        )
    tokens = _token_frame(store, kinds, coverage, value_of if category == "simple" else str)
    if category != "all":
        return tokens
    counts = _covered(count_frame(store), coverage).add_prefix("count_")
    return pd.concat([tokens, counts.reindex(tokens.index)], axis=1)


def count_frame(store: Store) -> pd.DataFrame:
    """The counts, a column for each. Raises StoreError."""
    rows = {stored.analysis: counts for stored, _, counts in store.iter_behaviours(on_damaged=lambda *_: None)}
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=np.float64)
    return frame.reindex(sorted(frame.columns), axis=1).rename_axis(index="analysis")


def _covered(frame: pd.DataFrame, coverage: float) -> pd.DataFrame:
    return frame.loc[:, (frame.fillna(0) != 0).mean() >= coverage]


def _token_frame(
    store: Store, kinds: AbstractSet[str], coverage: float, column_name: Callable[[str], str]
) -> pd.DataFrame:
    columns: dict[str, int] = {}
    analyses: list[str] = []
    starts: list[int] = [0]
    indices: list[int] = []
    for stored, joined, _ in store.iter_behaviours(on_damaged=lambda *_: None):
        analyses.append(stored.analysis)
        for token in joined.decode("utf-8", "replace").split("\n") if joined else ():
            if kind_of(token) in kinds:
                indices.append(columns.setdefault(token, len(columns)))
        starts.append(len(indices))
    matrix = csr_matrix((np.ones(len(indices), np.int8), indices, starts), shape=(len(analyses), len(columns)))
    shares = np.bincount(indices, minlength=len(columns)) / max(len(analyses), 1)
    covered = [(token, column) for token, column in sorted(columns.items()) if shares[column] >= coverage]
    if len(covered) > MOST_COLUMNS:
        raise CuckooMLError(
            f"{len(covered):,} features are too many for a data frame; set a coverage, such as 0.01 for the features "
            "that at least one analysis in a hundred has."
        )
    matrix = matrix[:, [column for _, column in covered]]
    index, names = pd.Index(analyses, name="analysis"), [printable(column_name(token)) for token, _ in covered]
    from_matrix = pd.DataFrame.sparse.from_spmatrix  # type: ignore[attr-defined]  # pandas-stubs knows it of objects alone
    frame: pd.DataFrame = from_matrix(matrix, index=index, columns=names)
    return frame
