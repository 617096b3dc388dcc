"""The values of each kind before they become tokens: collected, bounded, made presentable, joined to tokens."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from cuckoo_ml_plugin.plumbing.hashes import text_hash
from cuckoo_ml_plugin.plumbing.text import MAX_VALUE, bounded, printable

MAX_NAMES = 50_000  # that are used of one list in a report
_PRINTABLE = 0x7F - ord(" ")  # characters of ASCII from the space on


class TokenValues(dict[str, dict[str, None]]):
    """The distinct values of each kind, in the order in which they were added; none for a kind that did not occur.

    The values are the keys of a dictionary, because it keeps their order: sorting what is already sorted is quick.
    """

    def __missing__(self, kind: str) -> dict[str, None]:
        values: dict[str, None] = {}
        self[kind] = values
        return values

    def add(self, kind: str, values: Iterable[str]) -> None:
        """Add values of a kind. Empty ones are removed when the tokens are made."""
        self[kind] |= dict.fromkeys(values)


def smallest_by_hash(values: Collection[str], count: int) -> set[str]:
    """The ``count`` values with the smallest hashes: a choice that does not depend on the order of the values."""
    return set(values) if len(values) <= count else set(heapq.nsmallest(count, values, key=text_hash))


def limit_names(names: Collection[str]) -> Collection[str]:
    """``names``, or a reproducible choice from them if there are more than ``MAX_NAMES``."""
    return names if len(names) <= MAX_NAMES else smallest_by_hash(set(names), MAX_NAMES)


def sorted_tokens(values: Mapping[str, Collection[str]]) -> list[str]:
    """``kind:value`` for each value, sorted. The values must be :func:`presentable`."""
    return _lines(_by_kind(values)).split("\n") if any(values.values()) else []


def tokens_if_presentable(values: Mapping[str, Collection[str]]) -> list[str] | None:
    """As :func:`sorted_tokens`, for any values; None if any value is not presentable, which is rare."""
    kinds = _by_kind(values)
    if not kinds:
        return []
    if any(ordered[0] < "!" for _, ordered in kinds):
        return None  # the smallest value is empty, begins with a space or is not printable
    text = _lines(kinds)
    return text.split("\n") if _all_presentable(text, sum(len(ordered) for _, ordered in kinds)) else None


def _by_kind(values: Mapping[str, Collection[str]]) -> list[tuple[str, list[str]]]:
    """The prefix of each kind's tokens and its sorted values, in the order in which the tokens sort."""
    return [(f"{kind}:", sorted(values[kind])) for kind in sorted(values, key=lambda kind: f"{kind}:") if values[kind]]


def _lines(kinds: list[tuple[str, list[str]]]) -> str:
    """One token a line: joining all and splitting them again takes half the time of building each token."""
    return "\n".join([prefix + f"\n{prefix}".join(ordered) for prefix, ordered in kinds])


def presentable(values: Collection[str]) -> set[str]:
    """The values that are not empty, each made printable, stripped and bounded in length."""
    return {value for raw in values if (value := bounded(printable(raw).strip()))}


def _all_presentable(text: str, count: int) -> bool:
    """Whether all of ``count`` tokens, one a line of ``text``, are presentable as they are; nearly always they are.

    The beginnings of the values are checked elsewhere.
    """
    if not text.isascii():
        lines = text.split("\n")
        fit = all(line.isprintable() and not line.endswith(" ") and len(line) <= MAX_VALUE for line in lines)
        return fit and len(lines) == count
    characters = np.frombuffer(text.encode() + b"\n", dtype=np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    # unsigned: characters before the space wrap round to large numbers
    printable_count = np.count_nonzero(characters - np.uint8(ord(" ")) < _PRINTABLE)
    if not len(ends) == count == len(characters) - printable_count:
        return False  # a value contains a line break or a control character
    longest = int(np.diff(ends, prepend=-1).max()) - 1
    return longest <= MAX_VALUE and not (characters[ends - 1] == ord(" ")).any()
