"""Features of the stored analyses as pandas frames: a row an analysis, a column a feature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cuckoo_ml_plugin.behaviour.behaviour import DYNAMIC_KINDS, KINDS, NETWORK_KINDS, STATIC_KINDS, kind_of, value_of
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.store.store import Store

CATEGORIES = ("simple", "nominal", "numerical", "all", "static", "dynamic", "network")
"""``simple``: signatures. ``nominal``: tokens of every other kind. ``numerical``: counts. ``all``: all three.
``static``, ``dynamic``, ``network``: tokens of those kinds. Every kind of docs/features.md is a category, too."""
MOST_COLUMNS = 50_000
"""A frame keeps an array for each column: beyond this it serves nobody."""

_SETS = {
    "simple": frozenset(("signature",)),
    "nominal": frozenset(KINDS) - {"signature"},
    "all": frozenset(KINDS),
    "static": STATIC_KINDS,
    "dynamic": DYNAMIC_KINDS,
    "network": NETWORK_KINDS,
}


def feature_frame(store: Store, category: str, coverage: float = 0.0) -> Any:
    """A data frame of a category (see :data:`CATEGORIES`), indexed by analysis.

    Tokens are sparse columns of 0 and 1 named ``kind:value`` (signatures by their names alone), counts are numbers, NaN
    where an analysis has none.

    Args:
        coverage: the share of the analyses that must have a feature (a count other than 0) for it to be a column.

    Raises:
        CuckooMLError: there is no such category, too many features pass, or pandas is not installed. StoreError.
    """
    pd = desk_package("pandas", "Data frames")
    if category == "numerical":
        return _covered(count_frame(store), coverage)
    kinds = _SETS.get(category) or ({category} if category in KINDS else None)
    if kinds is None:
        raise CuckooMLError(
            f"There is no category {category!r} of features; there are {', '.join(CATEGORIES)} and the kinds of tokens "
            "in docs/features.md."
        )
    tokens = _token_frame(store, kinds, coverage, value_of if category == "simple" else str)
    if category != "all":
        return tokens
    counts = _covered(count_frame(store), coverage).add_prefix("count_")
    return pd.concat([tokens, counts.reindex(tokens.index)], axis=1)


def count_frame(store: Store) -> Any:
    """The counts, a column each. Raises CuckooMLError without pandas, StoreError."""
    pd = desk_package("pandas", "Data frames")
    rows = {stored.analysis: counts for stored, _, counts in store.iter_behaviours(on_damaged=lambda *_: None)}
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=np.float64)
    return frame.reindex(sorted(frame.columns), axis=1).rename_axis(index="analysis")


def _covered(frame: Any, coverage: float) -> Any:
    return frame.loc[:, (frame.fillna(0) != 0).mean() >= coverage]


def _token_frame(store: Store, kinds: frozenset[str] | set[str], coverage: float, named: Callable[[str], str]) -> Any:
    pd = desk_package("pandas", "Data frames")
    from scipy.sparse import csr_matrix

    columns: dict[str, int] = {}
    names: list[str] = []
    starts, indices = [0], []
    for stored, joined, _ in store.iter_behaviours(on_damaged=lambda *_: None):
        names.append(stored.analysis)
        for token in joined.decode("utf-8", "replace").split("\n") if joined else ():
            if kind_of(token) in kinds:
                indices.append(columns.setdefault(token, len(columns)))
        starts.append(len(indices))
    matrix = csr_matrix((np.ones(len(indices), np.int8), indices, starts), shape=(len(names), len(columns)))
    shares = np.bincount(indices, minlength=len(columns)) / max(len(names), 1)
    kept = [(token, column) for token, column in sorted(columns.items()) if shares[column] >= coverage]
    if len(kept) > MOST_COLUMNS:
        raise CuckooMLError(
            f"{len(kept):,} features are more than a data frame holds well; give a coverage, such as 0.01 for what at "
            "least one analysis in a hundred shows."
        )
    wanted = matrix[:, [column for _, column in kept]]
    index = pd.Index(names, name="analysis")
    return pd.DataFrame.sparse.from_spmatrix(wanted, index=index, columns=[named(token) for token, _ in kept])
