"""A request for one of our pages, and the response."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import Visible, VisibleCorpus
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.web.links import Links
from cuckoo_ml_plugin.web.render import Look, render

PAGE_SIZE = 50
_MOST_PAGES = 1_000_000

T = TypeVar("T")


class ForbiddenError(CuckooMLError):
    """The page is not for this reader; the message is shown to him."""


class NotFoundError(CuckooMLError):
    """There is no such page, cluster or analysis; the message is shown to the reader.

    ``meant``: the ids of analyses that he may see and that he may mean.
    """

    def __init__(self, message: str, meant: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.meant = meant


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader who may see a part of the analyses only. ``key``: equal for readers who may see the same."""

    key: str
    visible: Visible


@dataclass(frozen=True, slots=True)
class PageResponse:
    """The HTTP status, the title, and the HTML that the host puts into its own page."""

    status: int
    title: str
    html: str


@dataclass(frozen=True, slots=True)
class Paging:
    """The place in a list that is shown page by page; ``more``: whether another page follows."""

    number: int
    more: bool
    total: int | None = None


class Memory:
    """A cache, for a minute, of counts that are slow over 100,000 analyses."""

    SECONDS = 60.0

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Any]] = {}

    def recall(self, name: str, count: Callable[[], T]) -> T:
        """The result of ``count``, at most a minute old."""
        now = time.monotonic()
        for outdated in [key for key, (moment, _) in list(self._kept.items()) if now - moment > self.SECONDS]:
            self._kept.pop(outdated, None)
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = (now, count())
        value: T = kept[1]
        return value


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a page; ``query`` comes from the reader and may hold anything."""

    engine: Engine
    links: Links
    look: Look
    query: dict[str, str]
    memory: Memory
    reader: Reader | None = None

    @property
    def corpus(self) -> VisibleCorpus | None:
        """What the reader may see, at most a minute old; None: everything. Raises StoreError."""
        reader = self.reader
        if reader is None:
            return None
        overview = self.memory.recall("overview", self.engine.store.overview)
        return self.memory.recall(
            f"visible to {reader.key}", lambda: VisibleCorpus.chosen(self.engine, overview, reader.visible)
        )

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """The value of a parameter if it is one of ``choices``, else the first of them."""
        value = self.query.get(name, "")
        return value if value in choices else choices[0]

    def text(self, name: str) -> str:
        """The value of a parameter as it was typed, bounded."""
        return self.query.get(name, "")[:200]

    @property
    def page_number(self) -> int:
        """The number of the page in a list, from 1."""
        value = self.query.get("page", "")
        if not (value.isascii() and value.isdecimal()):
            return 1
        return min(max(int(value), 1), _MOST_PAGES) if len(value) < 10 else _MOST_PAGES

    @property
    def offset(self) -> int:
        return (self.page_number - 1) * PAGE_SIZE

    def respond(self, title: str, template: str, **values: Any) -> PageResponse:
        """Render a template of ours."""
        html = render(template, self.look, links=self.links, request=self, **values)
        return PageResponse(200, title, html)
