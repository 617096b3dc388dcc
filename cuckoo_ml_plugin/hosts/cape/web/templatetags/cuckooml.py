"""``{% cuckooml_report %}``: CAPE's analysis page with the panel and the tab; ``{% cuckooml_similar %}``: the table.

Whatever is wrong with us or has changed in CAPE's page, the page is shown: without panel or tab if need be.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_OVERVIEW = re.compile(r'<div[^<>]*\bid="overview"[^<>]*>')
_TABS = re.compile(r'<ul[^<>]*\bid="reportTabs"[^<>]*>')
_PANES = re.compile(r'<div class="tab-content">')
_TAB = (
    '<li class="nav-item"><a class="nav-link" id="similar-tab" href="#similar" data-bs-toggle="tab" role="tab"'
    ' aria-controls="similar" aria-selected="false"><i class="fas fa-clone me-2"></i>Similar Analyses</a></li>'
)

_LOG = logging.getLogger(__name__)


@register.tag
def cuckooml_report(parser: Any, _token: Any) -> template.Node:
    """Takes CAPE's own page between it and its end."""
    inner = parser.parse(("endcuckooml_report",))
    parser.delete_first_token()
    return _ReportNode(inner)


class _ReportNode(template.Node):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def render(self, context: Any) -> SafeString:
        page = str(self._inner.render(context))
        try:
            section = _section(context)
            if section is not None:
                page = _with_panel(page, _site().panel(section))
                page = _with_tab(page, _site().similar(section))
        except Exception:
            _LOG.exception("cuckoo-ml: no panel")
        return mark_safe(page)


@register.simple_tag(takes_context=True)
def cuckooml_similar(context: Any) -> SafeString:
    """The table of similar analyses, where CAPE has its own place for it."""
    try:
        return mark_safe(_site().similar(_section(context)))
    except Exception:
        _LOG.exception("cuckoo-ml: no table of similar analyses")
        return mark_safe("")


def _site() -> Any:
    from cuckoo_ml_plugin.hosts.cape.web.site import site

    return site()


def _section(context: Any) -> Any:
    """The section in the report, or None; only what the reader may see."""
    from cuckoo_ml_plugin.hosts.cape.web.access import visible_section

    analysis = context.get("analysis")
    section = analysis.get("cuckooml") if isinstance(analysis, dict) else None
    request = context.get("request")
    return None if section is None else visible_section(section, getattr(request, "user", None))


def _with_panel(page: str, panel: str) -> str:
    """In front of all else in the first tab; above the page where there is no such tab."""
    found = _OVERVIEW.search(page)
    return page[: found.end()] + panel + page[found.end() :] if found else panel + page


def _with_tab(page: str, similar: str) -> str:
    """The tab, and its pane unless CAPE has one; nothing where the page has no tabs that we know."""
    tabs, panes = _TABS.search(page), _PANES.search(page)
    end = page.find("</ul>", tabs.end()) if tabs else -1
    if panes is None or end < 0 or end > panes.start() or 'id="similar-tab"' in page:
        return page
    pane = "" if 'id="similar"' in page else f'<div class="tab-pane fade" id="similar">{similar}</div>'
    return page[:end] + _TAB + page[end : panes.end()] + pane + page[panes.end() :]
