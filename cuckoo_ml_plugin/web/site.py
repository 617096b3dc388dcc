"""The site that a host's web interface asks: the panel of an analysis, and our own pages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.web import pages
from cuckoo_ml_plugin.web.links import Links
from cuckoo_ml_plugin.web.panel import PanelView
from cuckoo_ml_plugin.web.render import PLAIN, PLAIN_DARK, Look, render
from cuckoo_ml_plugin.web.request import Memory, NotFoundError, PageResponse, Request

_PATIENCE = 3.0  # seconds that a page waits for a busy store

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The host's addresses of our pages (``/cuckooml/``) and of an analysis (``/analysis/{}/``)."""

    base: str
    analysis: str


class Site:
    """The pages of one home in one host's look; opens store and model when they are first needed."""

    def __init__(self, home: Home, look: Look, addresses: Addresses, storage: Path | None = None) -> None:
        """``storage``: the host's ``storage/analyses``. Raises SettingsError."""
        self._home = home
        self._look = look
        self._addresses = addresses
        self._storage = storage.resolve() if storage else None
        self._engine: Engine | None = None
        self._memory = Memory()

    def panel(self, section: object) -> str:
        """The panel of a section; a section that cannot be read gives a line that says so. Never raises."""
        return self._drawn(section, "panel.html")

    def similar(self, section: object) -> str:
        """The table of similar analyses alone. Never raises."""
        return self._drawn(section, "similar.html")

    def page(self, path: str, query: Mapping[str, str]) -> PageResponse:
        """One of our pages; ``path`` is relative to the base, without slashes at its ends. Never raises."""
        links = self._links()
        try:
            request = Request(self._opened(), links, self._look, dict(query), self._memory)
            return pages.find_page(path)(request)
        except NotFoundError as error:
            return self._problem(404, str(error), links)
        except CuckooMLError as error:
            return self._problem(503, str(error), links)
        except Exception:
            _LOG.exception("Page %r could not be drawn", path[:100])
            return self._problem(500, "This page could not be drawn; see the log of the web interface.", links)

    def _drawn(self, section: object, template: str) -> str:
        try:
            return PanelView.of(section, self._links(), self._opened()).html(self._look, template)
        except Exception:
            _LOG.exception("The panel could not be drawn")
            return ""

    def _links(self) -> Links:
        return Links(self._addresses.base, self._addresses.analysis, self._storage)

    def _opened(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self._home, patience=_PATIENCE)
        return self._engine

    def _problem(self, status: int, message: str, links: Links) -> PageResponse:
        return PageResponse(status, "Not found" if status == 404 else "Not available", render(
            "problem.html", self._look, links=links, message=message, here=""
        ))  # fmt: skip


def static_panel(section: object, *, dark: bool = False) -> str:
    """The panel for a report that stands alone: with its style, without links. Never raises; "" on an error."""
    try:
        return PanelView.of(section, None, None).html(PLAIN_DARK if dark else PLAIN)
    except Exception:
        _LOG.exception("The panel could not be drawn")
        return ""
