"""How a run differs from others: what always appears, what sometimes, what only here, and what the others do alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

from cuckoo_ml_plugin.behaviour.behaviour import kind_of, value_of
from cuckoo_ml_plugin.behaviour.kinds import ACTION_KINDS, DEEDS, SIGNATURE_KINDS
from cuckoo_ml_plugin.behaviour.tokens.background import is_ordinary

NEARLY_ALL: Final = 0.9
"""The share of the others from which nearly all of them show a behaviour; of five or more, all but one always are."""
MAX_VALUE: Final = 300
"""Characters of a value that are given."""
_LEAST_BUT_ONE: Final = 5
_OF_RUN: Final = ACTION_KINDS | SIGNATURE_KINDS
_HARD_TO_READ: Final = frozenset(("api", "ngram", "resolved_api", "dump_import", "dump_fuzzy", "dump_section"))


def compared(run: Collection[str], others: Sequence[Collection[str]], limit: int) -> dict[str, Any]:
    """What a run did beside n other runs. Facts of files, and what nearly every program causes, are left out.

    Args:
        run: its tokens.
        others: the tokens of each of the other runs, one or more.
        limit: pieces of behaviour that each list gives at most.

    Returns:
        ``always`` (this run and all others), ``sometimes`` (the rest), ``only_here`` (this run alone) and ``lacking``
        (nearly all others, and not this run): each ``{"count", "shown": [{"kind", "value", "analyses"}]}`` with how
        many of the others show a piece; ``deeds``: ``{"deed", "analyses", "here"}``, how many of the others do each of
        ``DEEDS``, and whether this run does; and ``differs_in``, the deeds that nearly all others do and this run
        does not.
    """
    own = {token for token in run if _tells(token)}
    counts = Counter(token for other in others for token in set(other) if _tells(token))
    n = len(others)
    lists: dict[str, list[str]] = {"always": [], "sometimes": [], "only_here": [], "lacking": []}
    for token in own | counts.keys():
        if token in own:
            name = "only_here" if not counts[token] else "always" if counts[token] == n else "sometimes"
        else:
            name = "lacking" if counts[token] >= _nearly_all(n) else "sometimes"
        lists[name].append(token)
    does = _deeds(run)
    of_others = Counter(deed for other in others for deed in _deeds(other))
    return {
        **{name: _pieces(tokens, counts, limit) for name, tokens in lists.items()},
        "deeds": [{"deed": deed, "analyses": of_others[deed], "here": deed in does} for deed in DEEDS],
        "differs_in": [deed for deed in DEEDS if deed not in does and of_others[deed] >= _nearly_all(n)],
    }


def _nearly_all(analyses: int) -> float:
    return min(NEARLY_ALL * analyses, analyses - 1) if analyses >= _LEAST_BUT_ONE else analyses


def _tells(token: str) -> bool:
    kind = kind_of(token)
    return kind in _OF_RUN and not is_ordinary(kind, value_of(token))


def _deeds(tokens: Collection[str]) -> set[str]:
    kinds = {kind_of(token) for token in tokens}
    return {deed for deed, of_deed in DEEDS.items() if kinds & of_deed}


def _pieces(tokens: list[str], counts: Counter[str], limit: int) -> dict[str, Any]:
    """The first few pieces: what a person can read first, then what more of the others show."""
    tokens.sort(key=lambda token: (kind_of(token) in _HARD_TO_READ, -counts[token], token))
    return {
        "count": len(tokens),
        "shown": [
            {"kind": kind_of(token), "value": value_of(token)[:MAX_VALUE], "analyses": counts[token]}
            for token in tokens[:limit]
        ],
    }
