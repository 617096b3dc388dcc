"""To be described."""

from __future__ import annotations

import re
from typing import Final

import xxhash

MAX_TEXT = 300


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def clean(text: object, limit: int = MAX_TEXT) -> str:
    """A text that every database takes: no control characters, no lone surrogates, bounded."""
    raw = str(text)[: limit + 1]
    if not raw.isprintable():
        raw = _CONTROL.sub("", raw.encode("utf-8", "replace").decode())
    return raw[:limit]


MAX_VALUE: Final = 300  # characters of a value; what is longer is cut, with a hash of the whole at its end


def printable(text: str) -> str:
    """``text`` without control characters, lone surrogates and direction marks: each becomes U+FFFD."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def bounded(text: str) -> str:
    """``text`` if it is short enough, else its beginning and a hash of the whole, together ``MAX_VALUE`` characters."""
    if len(text) <= MAX_VALUE:
        return text
    digest = xxhash.xxh3_64_hexdigest(text.encode("utf-8", "replace"))
    return f"{text[: MAX_VALUE - 17]}~{digest}"
