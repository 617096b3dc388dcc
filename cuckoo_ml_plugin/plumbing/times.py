"""Moments and days. The store writes moments in UTC and of fixed width, so that they sort as text."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)", re.ASCII)


def utc_text(moment: datetime) -> str:
    """A moment as the store writes it. A moment without a time zone is taken as UTC."""
    aware = moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now_text() -> str:
    """The present moment as the store writes it."""
    return utc_text(datetime.now(timezone.utc))


def today() -> str:
    """The present day in UTC: ``2026-11-23``."""
    return now_text()[:10]


def day_of(moment: str | None) -> str:
    """The day of a moment as reports state it, "" for a text that states none."""
    return moment[:10] if moment and _DAY.match(moment) else ""
