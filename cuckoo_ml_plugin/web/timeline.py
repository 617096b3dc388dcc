"""Analyses over time as bars, by the shortest of day, week, month and year that gives at most 60 bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

MOST_BARS = 60
_FIRST, _LAST = 1970, 2099  # years that are plausible in a report


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its name, its count, and its height as a share of the highest."""

    name: str
    count: int
    height: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Bars in order, from the first to the last that is not empty; ``unit`` is day, week, month or year.

    Of more than 60 years only the last 60 are shown.
    """

    unit: str
    bars: list[Bar]


def timeline(days: Iterable[tuple[str, int]]) -> Timeline:
    """The bars of ``days``: (``2026-11-23``, analyses) in any order; texts that are no plausible day are left out."""
    counts: dict[date, int] = {}
    for text, count in days:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            continue
        if _FIRST <= day.year <= _LAST:
            counts[day] = counts.get(day, 0) + count
    if not counts:
        return Timeline("day", [])
    first, last = min(counts), max(counts)
    unit = next((name for name in _STARTS if len(_span(name, first, last)) <= MOST_BARS), "year")
    totals = dict.fromkeys(_span(unit, first, last)[-MOST_BARS:], 0)
    for day, count in counts.items():
        start = _STARTS[unit](day)
        if start in totals:
            totals[start] += count
    highest = max(totals.values())
    return Timeline(unit, [Bar(_name(unit, start), count, count / max(highest, 1)) for start, count in totals.items()])


_STARTS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
    "year": lambda day: day.replace(month=1, day=1),
}


def _span(unit: str, first: date, last: date) -> list[date]:
    """The first days of all units between two days; at most a few thousand."""
    start, end = _STARTS[unit](first), _STARTS[unit](last)
    starts: list[date] = []
    while start <= end and len(starts) <= 3_000:
        starts.append(start)
        start = _next(unit, start)
    return starts


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
