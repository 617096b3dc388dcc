"""To be described."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from cuckoo_ml_plugin.plumbing.text import MAX_VALUE

_MAX_RAW: Final = 1024  # characters of a name that are looked at


_CACHE_SIZE: Final = 20_000  # entries of a cache that lives as long as the process; then it starts again


COMPUTER: Final = "%computer%"


class BoundedCache(dict[str, str]):
    """A function of a string, remembered for the process; forgets all when full, so hostile input cannot grow it."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: str) -> str:
        value = self._function(key[:_MAX_RAW])
        if len(key) > MAX_VALUE:
            return value
        if len(self) >= _CACHE_SIZE:
            self.clear()
        self[key] = value
        return value


_GUID: Final = r"\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?"


_VOLATILE = re.compile(rf"(?P<guid>{_GUID})|(?P<sid>s-1-5-21(?:-\d+)+)|(?P<word>[0-9a-z]*\d[0-9a-z]*)")


_DIGIT = re.compile(r"\d")


_LONG_NUMBER = re.compile(r"\d{5,}")


_HEXADECIMAL = re.compile(r"(?:0x)?[0-9a-f]{6,}$")


_ALTERNATIONS = re.compile(r"\d+")


_TEMPORARY = re.compile(r"(?:~df|~|tmp|nsi?s?|is-)[0-9a-z]{2,8}(?P<suffix>\.te?mp)$|[0-9a-z]{8}\.[0-9a-z]{3}$")


_DEFAULT_COMPUTER = re.compile(r"\b(?:desktop-[0-9a-z]{7}|win-[0-9a-z]{11})\b")


_CONSONANT_RUN = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}")


_VOWEL = re.compile(r"[aeiouy]")


# Letters that hardly ever follow each other in words or in the names that programs give their files.
_UNLIKELY_PAIR = re.compile(
    r"q[^u]|j[^aeiou]|[bcdfghjklmnpqrtvwxz]j|v[bcdfghjkmnpqtwxz]|x[bdfghjkrvwz]|z[bcdfgjkmnpqrtvx]"
)


def _volatile_word(match: re.Match[str]) -> str:
    """The placeholder of an identifier or a number inside a name, or the word itself."""
    word = match.group()
    if match.lastgroup == "guid":
        return "<guid>"
    if match.lastgroup == "sid":
        return "<sid>"
    if word.isdigit():
        return "<n>" if len(word) >= 5 else word
    if _HEXADECIMAL.match(word) and (len(word) >= 8 or word.startswith("0x")):
        return "<hex>"
    if len(word) >= 8 and len(_ALTERNATIONS.findall(word)) >= 3:
        return "<rand>"
    return _LONG_NUMBER.sub("<n>", word)


def without_identifiers(part: str) -> str:
    """A lower-case part of a name with identifiers and long numbers replaced: ``v4.0.30319`` becomes ``v4.0.<n>``."""
    if _DIGIT.search(part) is None:
        return part
    part = _DEFAULT_COMPUTER.sub(COMPUTER, part)
    return _VOLATILE.sub(_volatile_word, part)


def looks_random(word: str) -> bool:
    """Whether a lower-case word looks made up by a generator; would rather miss one than take a real word."""
    if len(word) < 6 or not word.isascii() or not word.isalpha():
        return False
    if _VOWEL.search(word) is None and len(word) >= 8:
        return True
    return _CONSONANT_RUN.search(word) is not None or len(_UNLIKELY_PAIR.findall(word)) >= 2


def without_random_names(part: str) -> str:
    """As :func:`without_identifiers`, and random-looking names replaced: for places that any program may write to."""
    temporary = _TEMPORARY.match(part)
    if temporary is not None and (temporary["suffix"] or _DIGIT.search(part)):
        return "<rand>" + (temporary["suffix"] or "")
    if part.isalpha():
        return "<rand>" if looks_random(part) else part
    part = without_identifiers(part)
    stem, dot, extension = part.rpartition(".")
    if dot and looks_random(stem):
        return f"<rand>.{extension}"
    return part


_PLAIN = BoundedCache(without_identifiers)


_RANDOM = BoundedCache(without_random_names)
