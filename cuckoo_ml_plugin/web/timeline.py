"""Days as bars: by day, week or month, whichever leaves few enough to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

MOST_BARS = 60
_FIRST, _LAST = 1970, 2099  # the years that a report may say


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its name and count, and its height as a share of the highest."""

    name: str
    count: int
    height: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars in order, from the first to the last that is not empty; ``unit`` is day, week, month or year.

    Of more than 60 years the last 60.
    """

    unit: str
    bars: list[Bar]


def timeline(days: Iterable[tuple[str, int]]) -> Timeline:
    """``days``: (``2026-11-23``, analyses), in any order; what is no day, or one of other centuries, is left out."""
    counts: dict[date, int] = {}
    for text, count in days:
        try:
            one = date.fromisoformat(text)
        except ValueError:
            continue
        if not _FIRST <= one.year <= _LAST:
            continue
        counts[one] = counts.get(one, 0) + count
    if not counts:
        return Timeline("day", [])
    first, last = min(counts), max(counts)
    unit = next((u for u in _STARTS if len(_span(u, first, last)) <= MOST_BARS), "year")
    totals = dict.fromkeys(_span(unit, first, last)[-MOST_BARS:], 0)
    for one, count in counts.items():
        start = _STARTS[unit](one)
        if start in totals:
            totals[start] += count
    highest = max(totals.values())
    return Timeline(unit, [Bar(_name(unit, start), n, n / max(highest, 1)) for start, n in totals.items()])


_STARTS: dict[str, Callable[[date], date]] = {
    "day": lambda one: one,
    "week": lambda one: one - timedelta(days=one.weekday()),
    "month": lambda one: one.replace(day=1),
    "year": lambda one: one.replace(month=1, day=1),
}


def _span(unit: str, first: date, last: date) -> list[date]:
    """The starts of all units from the first to the last; at most a few thousand."""
    start, end = _STARTS[unit](first), _STARTS[unit](last)
    found: list[date] = []
    while start <= end and len(found) <= 3_000:
        found.append(start)
        start = _next(unit, start)
    return found


def _next(unit: str, start: date) -> date:
    if unit == "year":
        return start.replace(year=start.year + 1)
    if unit == "month":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if unit == "week" else 1)


def _name(unit: str, start: date) -> str:
    if unit == "week":
        return f"week of {start.isoformat()}"
    return start.isoformat()[: {"day": 10, "month": 7, "year": 4}[unit]]
