"""Values as pages show them: one line, bounded, and printable (by the policy of ``plumbing/text.py``)."""

from __future__ import annotations

import math
import re
from datetime import datetime, timezone

from cuckoo_ml_plugin.plumbing.text import printable

MAX_SHOWN = 200
_MARKS = re.compile(r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})"
                    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")  # fmt: skip


class Shown(str):
    """A text that is already presentable; it is not safe HTML."""

    __slots__ = ()


def shown(value: object, limit: int = MAX_SHOWN) -> Shown:
    """A value as text: cut with a note of its length, printable, and with at most three accents on one letter."""
    if isinstance(value, Shown):
        return value
    text = "" if value is None else str(value)
    cut = _MARKS.sub(r"\1", printable(text[:limit]))
    return Shown(cut if len(text) <= limit else f"{cut}… ({len(text):,} characters)")


def _finite(value: float) -> bool:
    """Whether a number is finite; an integer that is too large for a float is not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def percent(share: float, digits: int = 0) -> str:
    """0.987 as ``99 %``; only 1 is shown as 100 %, and only 0 as 0 %."""
    if not _finite(share):
        return "?"
    least = 10.0**-digits
    value = round(share * 100, digits)
    if 0 < share < 1:
        value = min(max(value, least), 100 - least)
    return f"{value:.{digits}f} %"


def at_least(share: float) -> str:
    """0.9968 as ``99.6 %``: cut, not rounded, as in the reasons."""
    return f"{math.floor(share * 1000 + 1e-9) / 10:.1f} %" if _finite(share) else "?"


def score(value: float) -> str:
    """0.5 as ``0.50``."""
    return f"{value:.2f}" if _finite(value) and abs(value) < 1e6 else "?"


def number(value: float) -> str:
    """1234.5 as ``1,234.5``."""
    if not _finite(value) or abs(value) > 1e18:
        return "?"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}".rstrip("0").rstrip(".")


def age(time: str, now: datetime | None = None) -> str:
    """How long ago a time in UTC (ISO 8601) was: ``3 days ago``; empty where the text is no time."""
    try:
        then = datetime.fromisoformat(time.replace("Z", "+00:00"))
    except ValueError:
        return ""
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    seconds = ((now or datetime.now(timezone.utc)) - then).total_seconds()
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count:,} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def day(time: str) -> str:
    """The day of a time in ISO 8601."""
    return time[:10]


def kind_name(kind: str) -> str:
    """``file_written`` as ``file written``."""
    return kind.replace("_", " ")
