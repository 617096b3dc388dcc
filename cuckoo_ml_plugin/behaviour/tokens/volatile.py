"""Placeholders for the parts of names that differ from run to run: identifiers, long numbers, random names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from cuckoo_ml_plugin.plumbing.text import MAX_VALUE

MAX_NAME: Final = 1024  # characters of a name that are used
CACHE_SIZE: Final = 20_000  # entries of a cache that lives as long as the process; a full cache is emptied
COMPUTER: Final = "%computer%"

_GUID: Final = r"\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?"
VOLATILE: Final = re.compile(rf"(?P<guid>{_GUID})|(?P<sid>s-1-5-21(?:-\d+)+)|(?P<word>[0-9a-z]*\d[0-9a-z]*)")
"""A GUID, a security identifier, or a word with a digit in it: the candidates for a placeholder."""
DEFAULT_COMPUTER: Final = re.compile(r"\b(?:desktop-[0-9a-z]{7}|win-[0-9a-z]{11})\b")
"""The names that Windows gives to a computer when it is installed."""
_DIGIT: Final = re.compile(r"\d")
_LONG_NUMBER: Final = re.compile(r"\d{5,}")
_HEXADECIMAL: Final = re.compile(r"(?:0x)?[0-9a-f]{6,}$")
_DIGIT_RUN: Final = re.compile(r"\d+")
_TEMPORARY: Final = re.compile(  # names with a digit count as temporary, but not rundll32.exe and regsvr32.exe
    r"(?:~df|~|tmp|nsi?s?|is-)[0-9a-z]{2,8}(?P<suffix>\.te?mp)$|(?![a-z]{6}(?:32|64)\.)[0-9a-z]{8}\.[0-9a-z]{3}$"
)
_CONSONANT_RUN: Final = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}")
_VOWEL: Final = re.compile(r"[aeiouy]")
# Letters that hardly ever follow each other in words or in the names that programs give their files.
_UNLIKELY_PAIR: Final = re.compile(
    r"q[^u]|j[^aeiou]|[bcdfghjklmnpqrtvwxz]j|v[bcdfghjkmnpqtwxz]|x[bdfghjkrvwz]|z[bcdfgjkmnpqrtvx]"
)


class BoundedCache(dict[str, str]):
    """A function of a string whose results are kept for the life of the process.

    A full cache forgets everything, so hostile input cannot grow it.
    """

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: str) -> str:
        value = self._function(key[:MAX_NAME])
        if len(key) > MAX_VALUE:
            return value
        if len(self) >= CACHE_SIZE:
            self.clear()
        self[key] = value
        return value


def placeholder(match: re.Match[str]) -> str:
    """The placeholder for a match of :data:`VOLATILE`, or the matched text if it is no identifier and no number."""
    word = match.group()
    if match.lastgroup == "guid":
        return "<guid>"
    if match.lastgroup == "sid":
        return "<sid>"
    if word.isdigit():
        return "<n>" if len(word) >= 5 else word
    if _HEXADECIMAL.match(word) and (len(word) >= 8 or word.startswith("0x")):
        return "<hex>"
    if len(word) >= 8 and len(_DIGIT_RUN.findall(word)) >= 3:
        return "<rand>"
    return _LONG_NUMBER.sub("<n>", word)


def without_identifiers(part: str) -> str:
    """A lower-case part of a name with identifiers and long numbers replaced: ``v4.0.30319`` becomes ``v4.0.<n>``."""
    if _DIGIT.search(part) is None:
        return part
    part = DEFAULT_COMPUTER.sub(COMPUTER, part)
    return VOLATILE.sub(placeholder, part)


def looks_random(word: str) -> bool:
    """Whether a lower-case word looks generated. When in doubt it does not: no real word should be lost."""
    if len(word) < 6 or not word.isascii() or not word.isalpha():
        return False
    if _VOWEL.search(word) is None and len(word) >= 8:
        return True
    return _CONSONANT_RUN.search(word) is not None or len(_UNLIKELY_PAIR.findall(word)) >= 2


def without_random_names(part: str) -> str:
    """As :func:`without_identifiers`, and without random-looking names: for places that any program may write to."""
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


WITHOUT_IDENTIFIERS: Final = BoundedCache(without_identifiers)
WITHOUT_RANDOM_NAMES: Final = BoundedCache(without_random_names)
