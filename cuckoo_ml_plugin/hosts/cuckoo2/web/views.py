# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml/views.py into Cuckoo 2.0.7. Python 2.7.
"""The views of our pages. Cuckoo's own middleware decides who may see them, as for its own pages."""

import json
import logging

from cuckoo.common import cuckooml as client
from cuckoo.misc import cwd
from cuckoo.web.utils import render_template, view_error
from django.core.urlresolvers import reverse
from django.http import HttpResponse
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe

log = logging.getLogger(__name__)
client.register()
client.warm_up()

PATIENCE = 10  # seconds that a page may take
PANEL_PATIENCE = 5
MAX_PATH = 1000
MAX_PARAMETERS = 10


@require_safe
def page(request, path):
    """One of our pages in Cuckoo's own frame."""
    query = dict((key[:50], value[:1000]) for key, value in list(request.GET.items())[:MAX_PARAMETERS])
    try:
        answer = client.ask("page", dict(_site(), path=path[:MAX_PATH], query=query), b"", PATIENCE)
    except client.WorkerError as error:
        log.error("cuckoo-ml: the page could not be drawn: %s", error)
        return view_error(request, "cuckoo-ml does not answer; see $CWD/log/cuckooml.log.", status=503)
    return render_template(request, "cuckooml/page.html", html=mark_safe(answer["html"]), status=answer["status"])


@require_safe
def style(request):
    """The style sheet; its address changes with its content."""
    try:
        content = client.ask("style", {}, b"", PATIENCE)
    except client.WorkerError as error:
        log.error("cuckoo-ml: the style sheet could not be read: %s", error)
        content = ""
    return HttpResponse(content.encode("utf-8"), content_type="text/css; charset=utf-8")


def panel(report):
    """The panel for a report as Cuckoo's pages have it; empty where the report has no section."""
    section = report.get("cuckooml") if isinstance(report, dict) else None
    if section is None:
        return ""
    try:
        return client.ask("panel", _site(), json.dumps(section, default=str, skipkeys=True), PANEL_PATIENCE)
    except Exception as error:  # Cuckoo's page is shown without the panel
        log.error("cuckoo-ml: the panel could not be drawn: %s", error)
        return '<p class="text-muted">cuckoo-ml could not draw the panel; the finding is in the report.</p>'


def _site():
    """What the worker has to know of this web interface."""
    return {
        "look": "cuckoo2",
        "base": reverse("cuckooml", args=[""]),
        "analysis": reverse("analysis", args=[0, "summary"]).replace("/0/", "/{}/"),
        "storage": cwd("storage", "analyses"),
    }
