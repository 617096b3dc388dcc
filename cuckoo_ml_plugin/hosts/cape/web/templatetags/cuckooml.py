"""``{% cuckooml_report %}``: CAPE's analysis page with panel and tab; ``{% cuckooml_similar %}``: the table in the tab;
``{% cuckooml_header %}``: CAPE's header with our entry in its navigation.

CAPE's page is always shown, without panel or tab where something is wrong with ours or its own page has changed.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

# Below CAPE's detections and its status, above its table of details: the comments of its own templates name the places.
_PLACES = (re.compile("<!-- Analysis Details Card -->"), re.compile("<!-- Malware Configuration -->"))
_OVERVIEW = re.compile(r'<div[^<>]*\bid="overview"[^<>]*>')
_TABS = re.compile(r'<ul[^<>]*\bid="reportTabs"[^<>]*>')
_PANES = re.compile(r'<div class="tab-content">')
_TAB = (
    '<li class="nav-item"><a class="nav-link" id="similar-tab" href="#similar" data-bs-toggle="tab" role="tab"'
    ' aria-controls="similar" aria-selected="false"><i class="fas fa-clone me-2"></i>Similar Analyses</a></li>'
)
_NAVIGATION = re.compile(r'<ul[^<>]*\bclass="navbar-nav"[^<>]*>')
_SEARCH = re.compile(r"</i>\s*Search</a></li>")
_ENTRY = (
    '<li class="nav-item"><a class="nav-link" id="cuckooml-nav" href="{}">'
    '<i class="fas fa-clone me-1"></i> Behaviour</a></li>'
)

_LOG = logging.getLogger(__name__)


@register.tag
def cuckooml_report(parser: Any, _token: Any) -> template.Node:
    """The tag; CAPE's own page stands between it and its end tag."""
    inner = parser.parse(("endcuckooml_report",))
    parser.delete_first_token()
    return _ReportNode(inner)


@register.tag
def cuckooml_header(parser: Any, _token: Any) -> template.Node:
    """The tag; CAPE's own header stands between it and its end tag."""
    inner = parser.parse(("endcuckooml_header",))
    parser.delete_first_token()
    return _HeaderNode(inner)


class _HeaderNode(template.Node):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def render(self, context: Any) -> SafeString:
        header = str(self._inner.render(context))
        try:
            header = _with_entry(header, reverse("cuckooml", args=[""]))
        except Exception:  # such as on a page that CAPE draws without its URLs
            _LOG.exception("cuckoo-ml: the navigation has no entry")
        return mark_safe(header)


class _ReportNode(template.Node):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def render(self, context: Any) -> SafeString:
        page = str(self._inner.render(context))
        try:
            section, analysis = _section(context)
            if section is not None:
                reader = _reader(context)
                page = _with_panel(page, _site().panel(section, analysis, reader))
                page = _with_tab(page, _site().similar(section, analysis, reader))
        except Exception:
            _LOG.exception("cuckoo-ml: the panel could not be drawn")
        return mark_safe(page)


@register.simple_tag(takes_context=True)
def cuckooml_similar(context: Any) -> SafeString:
    """The table of similar analyses, for CAPE's own tab."""
    try:
        return mark_safe(_site().similar(*_section(context), _reader(context)))
    except Exception:
        _LOG.exception("cuckoo-ml: the table of similar analyses could not be drawn")
        return mark_safe("")


def _site() -> Any:
    from cuckoo_ml_plugin.hosts.cape.web.site import site

    return site()


def _section(context: Any) -> tuple[Any, str]:
    """The section of the report, None where there is none, and the id of the analysis."""
    analysis = context.get("analysis")
    if not isinstance(analysis, dict):
        return None, ""
    info = analysis.get("info")
    return analysis.get("cuckooml"), str(info.get("id")) if isinstance(info, dict) else ""


def _reader(context: Any) -> Any:
    from cuckoo_ml_plugin.hosts.cape.web.reader import reader_of

    return reader_of(getattr(context.get("request"), "user", None))


def _with_panel(page: str, panel: str) -> str:
    """The page with the panel in its first tab below the detections; else at the tab's head; else above everything."""
    tab = _OVERVIEW.search(page)
    if tab is None:
        return panel + page
    end = next((place.start() for known in _PLACES if (place := known.search(page, tab.end()))), tab.end())
    return page[:end] + panel + page[end:]


def _with_entry(header: str, address: str) -> str:
    """CAPE's header with our entry behind the one of its search; unchanged where it has no navigation that we know."""
    navigation = _NAVIGATION.search(header)
    if navigation is None:
        return header
    search = _SEARCH.search(header, navigation.end())
    end = search.end() if search else navigation.end()
    return header[:end] + _ENTRY.format(escape(address)) + header[end:]


def _with_tab(page: str, similar: str) -> str:
    """The page with the tab, and with its pane unless CAPE has one; unchanged where it has no tabs that we know."""
    tabs, panes = _TABS.search(page), _PANES.search(page)
    end = page.find("</ul>", tabs.end()) if tabs else -1
    if panes is None or end < 0 or end > panes.start() or 'id="similar-tab"' in page:
        return page
    pane = "" if 'id="similar"' in page else f'<div class="tab-pane fade" id="similar">{similar}</div>'
    return page[:end] + _TAB + page[end : panes.end()] + pane + page[panes.end() :]
