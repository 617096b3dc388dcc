"""The values found of each kind, before they are tokens: collected as sets, made fit to show, bounded fairly."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

import numpy as np
import xxhash

from cuckoo_ml_plugin.normalise import MAX_VALUE, bounded, printable

MAX_NAMES = 50_000  # of one list in a report that are looked at


class Found(dict[str, set[str]]):
    """The values of each kind; a kind that was not seen is an empty set."""

    def __missing__(self, kind: str) -> set[str]:
        values: set[str] = set()
        self[kind] = values
        return values

    def add(self, kind: str, values: Iterable[str]) -> None:
        """Add values of a kind; empty ones are left out when the tokens are made."""
        self[kind].update(values)


def hash_of(value: str) -> int:
    """A stable hash of any text, also of one with lone surrogates."""
    return xxhash.xxh3_64_intdigest(value.encode("utf-8", "surrogatepass"))


def smallest_by_hash(values: Collection[str], count: int) -> set[str]:
    """The ``count`` values with the smallest hashes: a choice that does not depend on the order they come in."""
    return set(values) if len(values) <= count else set(heapq.nsmallest(count, values, key=hash_of))


def few_enough(names: Collection[str]) -> Collection[str]:
    """``names``, or a stable choice of them if there are more than ``MAX_NAMES``."""
    return names if len(names) <= MAX_NAMES else smallest_by_hash(set(names), MAX_NAMES)


def presentable(found: Found) -> dict[str, set[str]]:
    """The values by kind without empty ones, each printable, without space at its ends and of bounded length.

    Nearly always they are so already: all are looked at together, and one by one only if something is amiss.
    """
    values = {kind: kept for kind, kept in found.items() if kept}
    for kept in values.values():
        kept.discard("")
    if _all_presentable([value for kept in values.values() for value in kept]):
        return values
    return {
        kind: {value for raw in kept if (value := bounded(printable(raw).strip()))} for kind, kept in values.items()
    }


def _all_presentable(values: list[str]) -> bool:
    """Whether nothing has to be done to any of them."""
    lines = "\n".join(values)
    if " \n" in lines or "\n " in lines or lines != lines.strip() or max(map(len, values), default=0) > MAX_VALUE:
        return False
    if not lines.isascii():
        return "".join(values).isprintable()
    characters = np.frombuffer(lines.encode(), dtype=np.uint8)
    others = np.count_nonzero(characters < ord(" ")) + np.count_nonzero(characters > ord("~"))
    return bool(others == max(len(values) - 1, 0))
