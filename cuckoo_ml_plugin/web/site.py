"""The site that a host's web interface asks: the panel of an analysis, and our own pages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeVar

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import visible_section
from cuckoo_ml_plugin.errors import CuckooMLError, NoModelError
from cuckoo_ml_plugin.finding.section import failed_section
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.time_limit import OverdueError, within
from cuckoo_ml_plugin.settings import HostSettings
from cuckoo_ml_plugin.web import pages
from cuckoo_ml_plugin.web.links import Links
from cuckoo_ml_plugin.web.panel import PanelView
from cuckoo_ml_plugin.web.render import PLAIN, PLAIN_DARK, Look, render
from cuckoo_ml_plugin.web.request import ForbiddenError, Memory, NotFoundError, PageResponse, Reader, Request

_PATIENCE = 3.0  # seconds that a page waits for a busy store

T = TypeVar("T")

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
        self._limit = HostSettings().time_limit
        self._memory = Memory()

    def panel(
        self, section: object, analysis: str = "", reader: Reader | None = None, *, seconds: float = inf
    ) -> str:  # fmt: skip
        """The panel of a section; a section that cannot be read gives a line that says so. Never raises.

        Args:
            analysis: the id of the section's analysis.
            reader: whose view it is, None for one who may see everything; then ``analysis`` is not needed.
            seconds: how long the host waits, where that is less than the limit in the settings.
        """
        return self._drawn(section, "panel.html", analysis, reader, seconds)

    def similar(self, section: object, analysis: str = "", reader: Reader | None = None) -> str:
        """The table of similar analyses alone, as :meth:`panel`. Never raises."""
        return self._drawn(section, "similar.html", analysis, reader, inf)

    def page(
        self, path: str, query: Mapping[str, str], reader: Reader | None = None, *, seconds: float = inf
    ) -> PageResponse:
        """One of our pages; ``path`` is relative to the base, without slashes at its ends. Never raises.

        Args:
            reader: whose view it is; None for one who may see everything.
            seconds: how long the host waits, where that is less than the limit in the settings.
        """
        links = self._links(reader)

        def draw() -> PageResponse:
            request = Request(self._opened(), links, self._look, dict(query), self._memory, reader)
            return pages.find_page(path)(request)

        try:
            return self._in_time(draw, seconds)
        except OverdueError:
            limit = round(min(self._limit, seconds), 1)
            message = f"This page was not ready within {limit:g} seconds: store or file system do not answer in time."
            return self._problem(503, message, links)
        except ForbiddenError as error:
            return self._problem(403, str(error), links)
        except NotFoundError as error:
            return self._problem(404, str(error), links, error.meant)
        except NoModelError as error:  # its sentence counts the analyses of every tenant
            message = str(error) if reader is None else "There is no model yet, so these pages are still empty."
            return self._problem(503, message, links, title="No model yet")
        except CuckooMLError as error:
            return self._problem(503, str(error), links)
        except Exception:
            _LOG.exception("Page %r could not be drawn", path[:100])
            return self._problem(500, "This page could not be drawn; see the log of the web interface.", links)

    def _drawn(self, section: object, template: str, analysis: str, reader: Reader | None, seconds: float) -> str:
        def draw() -> str:
            engine, shown = self._opened(), section
            if reader is not None:
                shown = visible_section(engine, section, analysis, reader.visible)
            return PanelView.of(shown, self._links(reader), engine).html(self._look, template)

        try:
            return self._in_time(draw, seconds)
        except OverdueError:
            limit = round(min(self._limit, seconds), 1)
            _LOG.error("The panel was not ready within %g seconds", limit)
            late = failed_section(
                f"The panel was not ready within {limit:g} seconds: store or file system do not answer in time."
                " The finding is in the report."
            )
            return PanelView.of(late, None, None).html(self._look, template)
        except Exception:
            _LOG.exception("The panel could not be drawn")
            return ""

    def _in_time(self, draw: Callable[[], T], seconds: float) -> T:
        """What is drawn, within the limit of the settings from the first time on. Raises OverdueError."""
        began = time.monotonic()
        if self._engine is None:
            within(min(self._limit, seconds), self._opened)
        return within(min(self._limit, seconds) - (time.monotonic() - began), draw, self._cut)

    def _links(self, reader: Reader | None) -> Links:
        return Links(self._addresses.base, self._addresses.analysis, self._storage, for_everything=reader is None)

    def _opened(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self._home, patience=_PATIENCE)
            self._limit = self._engine.settings.host.time_limit
        return self._engine

    def _cut(self) -> None:
        if self._engine is not None:
            self._engine.cut()

    def _problem(
        self, status: int, message: str, links: Links, meant: Sequence[str] = (), title: str = ""
    ) -> PageResponse:
        return PageResponse(status, title or ("Not found" if status == 404 else "Not available"), render(
            "problem.html", self._look, links=links, message=message, meant=meant, here=""
        ))  # fmt: skip


def static_panel(section: object, *, dark: bool = False) -> str:
    """The panel for a report that stands alone: with its style, without links. Never raises; "" on an error."""
    try:
        return PanelView.of(section, None, None).html(PLAIN_DARK if dark else PLAIN)
    except Exception:
        _LOG.exception("The panel could not be drawn")
        return ""
