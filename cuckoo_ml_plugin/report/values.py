"""Values of an unknown type, read as the expected type or as nothing, so that reading a report never fails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

MAX_ENTRIES: Final = 200_000  # of a list in a report; a host's list of many more is made to take memory and time
_NOTHING: Final[Mapping[str, Any]] = {}
_EXTENDED_NUMBERS: Final = ("$numberInt", "$numberLong", "$numberDouble", "$numberDecimal")


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` if it is a mapping, else an empty mapping."""
    return value if type(value) is dict or isinstance(value, Mapping) else _NOTHING


def items(value: Any) -> Sequence[Any]:
    """``value`` if it is a list, else an empty list."""
    return value if isinstance(value, (list, tuple)) else ()


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list, in order, among its first ``MAX_ENTRIES``."""
    return [entry for entry in items(value)[:MAX_ENTRIES] if type(entry) is dict or isinstance(entry, Mapping)]


def text(value: Any) -> str:
    """``value`` if it is text, else an empty text."""
    return value if isinstance(value, str) else ""


def texts(value: Any) -> list[str]:
    """The texts among a list's first ``MAX_ENTRIES``, without empty ones. A single text counts as a list of one."""
    if isinstance(value, str):
        return [value] if value else []
    return [entry for entry in items(value)[:MAX_ENTRIES] if isinstance(entry, str) and entry]


def plain_number(value: Any) -> Any:
    """The number in MongoDB's extended JSON, such as ``{"$numberLong": "31"}``; any other value as it is."""
    if isinstance(value, Mapping) and len(value) == 1:
        return next((value[key] for key in _EXTENDED_NUMBERS if key in value), value)
    return value


def integer(value: Any) -> int | None:
    """``value`` as an integer from 0 to 2**63 - 1, if it is one or is text that states one."""
    if type(value) is not int:
        value = plain_number(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    return None


def number(value: Any) -> float | None:
    """``value`` as a finite number, if it is one or is text that states one: CAPE writes entropies as text."""
    if type(value) is not float:
        value = plain_number(value)
    if isinstance(value, str):
        try:
            value = float(value[:40])
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def hexadecimal(value: Any, length: int) -> str | None:
    """``value`` in lower case if it consists of ``length`` hexadecimal digits."""
    digits = text(value).lower()
    return digits if len(digits) == length and all(digit in "0123456789abcdef" for digit in digits) else None


def identifier(value: Any) -> str | None:
    """An integer or a short text, as text; None for anything else."""
    if isinstance(value, str):
        return value[:100] or None
    whole = integer(value)
    return None if whole is None else str(whole)
