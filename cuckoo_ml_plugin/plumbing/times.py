"""Moments as the store writes them: UTC, of fixed width, so that they sort as text."""

from __future__ import annotations

from datetime import datetime, timezone


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
