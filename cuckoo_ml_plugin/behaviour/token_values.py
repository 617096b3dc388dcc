"""The values found of each kind, before they are tokens: collected as sets, made fit to show, bounded fairly."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import xxhash

from cuckoo_ml_plugin.plumbing.text import MAX_VALUE, bounded, printable

MAX_NAMES = 50_000  # of one list in a report that are looked at
_PRINTABLE = 0x7F - ord(" ")  # characters of ASCII from the space on


class Found(dict[str, dict[str, None]]):
    """The values of each kind, each once, as they came; a kind that was not seen has none.

    They are the keys of a table, which keeps its order: what comes sorted need not be sorted again.
    """

    def __missing__(self, kind: str) -> dict[str, None]:
        values: dict[str, None] = {}
        self[kind] = values
        return values

    def add(self, kind: str, values: Iterable[str]) -> None:
        """Add values of a kind; empty ones are left out when the tokens are made."""
        self[kind] |= dict.fromkeys(values)


def hash_of(value: str) -> int:
    """A stable hash of any text, also of one with lone surrogates."""
    return xxhash.xxh3_64_intdigest(value.encode("utf-8", "surrogatepass"))


def smallest_by_hash(values: Collection[str], count: int) -> set[str]:
    """The ``count`` values with the smallest hashes: a choice that does not depend on the order they come in."""
    return set(values) if len(values) <= count else set(heapq.nsmallest(count, values, key=hash_of))


def few_enough(names: Collection[str]) -> Collection[str]:
    """``names``, or a stable choice of them if there are more than ``MAX_NAMES``."""
    return names if len(names) <= MAX_NAMES else smallest_by_hash(set(names), MAX_NAMES)


def sorted_tokens(values: Mapping[str, Collection[str]]) -> list[str]:
    """``kind:value`` for each value, in order; the values are :func:`presentable`."""
    return _lines(_by_kind(values)).split("\n") if any(values.values()) else []


def tokens_if_presentable(values: Mapping[str, Collection[str]]) -> list[str] | None:
    """The same for any values; None when not all of them are presentable, which is rare."""
    kinds = _by_kind(values)
    if not kinds:
        return []
    if any(found[0] < "!" for _, found in kinds):
        return None  # the first in order is empty, begins with a space or is not printable
    text = _lines(kinds)
    return text.split("\n") if _all_presentable(text, sum(len(found) for _, found in kinds)) else None


def _by_kind(values: Mapping[str, Collection[str]]) -> list[tuple[str, list[str]]]:
    """What the tokens of each kind begin with, and its values in order: so are the tokens then."""
    return [(f"{kind}:", sorted(values[kind])) for kind in sorted(values, key=lambda kind: f"{kind}:") if values[kind]]


def _lines(kinds: list[tuple[str, list[str]]]) -> str:
    """One token a line: joined and split again, they are made in half the time."""
    return "\n".join([prefix + f"\n{prefix}".join(found) for prefix, found in kinds])


def presentable(values: Collection[str]) -> set[str]:
    """The values without empty ones, each printable, without space at its ends and of bounded length."""
    return {value for raw in values if (value := bounded(printable(raw).strip()))}


def _all_presentable(text: str, count: int) -> bool:
    """Whether nothing has to be done to ``count`` tokens, one a line of ``text``: so it is nearly always.

    How the values begin is not looked at.
    """
    if not text.isascii():
        lines = text.split("\n")
        fit = all(line.isprintable() and not line.endswith(" ") and len(line) <= MAX_VALUE for line in lines)
        return fit and len(lines) == count
    characters = np.frombuffer(text.encode() + b"\n", dtype=np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    # unsigned: what comes before the space wraps round to large numbers
    printable_ones = np.count_nonzero(characters - np.uint8(ord(" ")) < _PRINTABLE)
    if not len(ends) == count == len(characters) - printable_ones:
        return False  # a line break inside a value, or something that is no letter, digit, sign or space
    longest = int(np.diff(ends, prepend=-1).max()) - 1
    return longest <= MAX_VALUE and not (characters[ends - 1] == ord(" ")).any()
