"""The values found of each kind, before they are tokens: collected as sets, made fit to show, bounded fairly."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping

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


def sorted_tokens(values: Mapping[str, Collection[str]]) -> list[str]:
    """``kind:value`` for each value, in order: a kind's tokens stand together, so they are sorted kind by kind."""
    tokens: list[str] = []
    for kind in sorted(values, key=lambda kind: f"{kind}:"):
        prefix = f"{kind}:"
        tokens += [prefix + value for value in sorted(values[kind])]
    return tokens


def presentable(values: Collection[str]) -> set[str]:
    """The values without empty ones, each printable, without space at its ends and of bounded length."""
    return {value for raw in values if (value := bounded(printable(raw).strip()))}


def all_presentable(tokens: list[str]) -> bool:
    """Whether nothing has to be done to the values of any of these tokens: so it is nearly always."""
    text = "\n".join(tokens)
    if ":\n" in text or " \n" in text or ": " in text or text[-1:] in (" ", ":"):
        return False  # an empty value, or one that begins or ends with a space; perhaps only one with a colon in it
    if max(map(len, tokens), default=0) > MAX_VALUE:
        return False
    if not text.isascii():
        return "".join(tokens).isprintable()
    characters = np.frombuffer(text.encode(), dtype=np.uint8)
    others = np.count_nonzero(characters < ord(" ")) + np.count_nonzero(characters > ord("~"))
    return bool(others == max(len(tokens) - 1, 0))
