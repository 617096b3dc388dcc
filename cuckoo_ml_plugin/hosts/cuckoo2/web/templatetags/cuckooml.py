# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml/templatetags/cuckooml.py into Cuckoo 2.0.7. Python 2.7.
"""The tags of our templates; whatever goes wrong, Cuckoo's own page is shown.

{% cuckooml_panel %}: the panel of the report in the context; nothing where there is no report. {% cuckooml_nav %} and
{% cuckooml_sidebar %}: Cuckoo's menu and its navigation of an analysis, which stand between them and their end tags,
with our entries.
"""

import logging
import re

from django import template
from django.core.urlresolvers import reverse
from django.utils.html import escape
from django.utils.safestring import mark_safe

register = template.Library()
log = logging.getLogger(__name__)

MENU = re.compile(r'<ul[^<>]*app-nav__nav--primary[^<>]*>.*?(?=</ul>)', re.DOTALL)
MENU_ENTRY = '<li%s><a href="%s" id="cuckooml-nav" title="Behaviour"><i class="fa fa-clone"></i> Behaviour</a></li>'
FIRST = re.compile(r'<ul[^<>]*cuckoo-nav[^<>]*>.*?</li>', re.DOTALL)
SIDEBAR_ENTRY = (
    '<li><a href="%s#cuckooml" id="cuckooml-sidebar"><i class="fa fa-clone"></i>'
    "<span>Behaviour among past analyses</span></a></li>"
)


@register.simple_tag(takes_context=True)
def cuckooml_panel(context):
    try:
        from cuckoo.web.cuckooml.views import panel

        return mark_safe(panel(context["report"]["analysis"]))
    except Exception:  # Cuckoo's page is shown without the panel
        log.exception("cuckoo-ml: the panel could not be drawn")
        return ""


@register.tag
def cuckooml_nav(parser, _token):
    return _Around(parser, "endcuckooml_nav", _with_menu_entry)


@register.tag
def cuckooml_sidebar(parser, _token):
    return _Around(parser, "endcuckooml_sidebar", _with_sidebar_entry)


class _Around(template.Node):
    """A part of Cuckoo's own page, with an entry of ours."""

    def __init__(self, parser, end, add):
        self.inner = parser.parse((end,))
        parser.delete_first_token()
        self.add = add

    def render(self, context):
        html = self.inner.render(context)
        try:
            return mark_safe(self.add(html, context))
        except Exception:  # Cuckoo's navigation is shown without the entry
            log.exception("cuckoo-ml: the navigation has no entry")
            return html


def _with_menu_entry(html, context):
    address = reverse("cuckooml", args=[""])
    request = context.get("request")
    here = ' class="active"' if request is not None and request.path.startswith(address) else ""
    return _behind(MENU, html, MENU_ENTRY % (here, escape(address)))


def _with_sidebar_entry(html, context):
    analysis = context["report"]["analysis"]
    if not analysis.get("cuckooml"):
        return html
    return _behind(FIRST, html, SIDEBAR_ENTRY % escape(reverse("analysis", args=[analysis["info"]["id"], "summary"])))


def _behind(place, html, entry):
    known = place.search(html)
    return html[:known.end()] + entry + html[known.end():] if known else html
