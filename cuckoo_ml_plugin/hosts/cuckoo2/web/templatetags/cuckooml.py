# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml/templatetags/cuckooml.py into Cuckoo 2.0.7. Python 2.7.
"""{% cuckooml_panel %}: the panel of the report in the context; nothing where there is no report."""

import logging

from django import template
from django.utils.safestring import mark_safe

register = template.Library()
log = logging.getLogger(__name__)


@register.simple_tag(takes_context=True)
def cuckooml_panel(context):
    try:
        from cuckoo.web.cuckooml.views import panel

        return mark_safe(panel(context["report"]["analysis"]))
    except Exception:  # Cuckoo's page is shown without the panel
        log.exception("cuckoo-ml: the panel could not be drawn")
        return ""
