"""What every page is made from, and what it is made to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.web.links import Links
from cuckoo_ml_plugin.web.render import Look, render

PAGE_SIZE = 50
_MOST_PAGES = 1_000_000

T = TypeVar("T")


class NotFoundError(CuckooMLError):
    """There is no such page, cluster or analysis; the message is for the reader."""


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP status, title, and the HTML that the host puts into its own page."""

    status: int
    title: str
    html: str


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list this is; ``more``: whether there is another."""

    number: int
    more: bool
    total: int | None = None


class Memory:
    """What takes long to count at 100,000 analyses, for a minute."""

    SECONDS = 60.0

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Any]] = {}

    def recall(self, name: str, count: Callable[[], T]) -> T:
        """What ``count`` gave within the last minute, or gives now."""
        moment = time.monotonic()
        if name not in self._kept or moment - self._kept[name][0] > self.SECONDS:
            self._kept[name] = (moment, count())
        found: T = self._kept[name][1]
        return found


@dataclass(frozen=True, slots=True)
class Request:
    """One page that is asked for; ``query`` is the reader's, and may hold anything."""

    engine: Engine
    links: Links
    look: Look
    query: dict[str, str]
    memory: Memory

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """A value that must be one of ``choices``; else the first of them."""
        value = self.query.get(name, "")
        return value if value in choices else choices[0]

    def text(self, name: str) -> str:
        """A value as it was typed, bounded."""
        return self.query.get(name, "")[:200]

    @property
    def page_number(self) -> int:
        """From 1."""
        value = self.query.get("page", "")
        if not (value.isascii() and value.isdecimal()):
            return 1
        return min(max(int(value), 1), _MOST_PAGES) if len(value) < 10 else _MOST_PAGES

    @property
    def offset(self) -> int:
        return (self.page_number - 1) * PAGE_SIZE

    def answer(self, title: str, template: str, **values: Any) -> Answer:
        """Render a template of ours."""
        html = render(template, self.look, links=self.links, request=self, **values)
        return Answer(200, title, html)
