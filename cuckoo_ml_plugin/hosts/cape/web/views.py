"""The views of our pages, for the users that CAPE lets in."""

from __future__ import annotations

from analysis.views import conditional_login_required
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe

from cuckoo_ml_plugin.hosts.cape.web.reader import reader_of
from cuckoo_ml_plugin.hosts.cape.web.site import site
from cuckoo_ml_plugin.web.render import style as style_sheet

MAX_PATH = 1000
MAX_PARAMETERS = 10


@require_safe
@conditional_login_required(login_required, settings.WEB_AUTHENTICATION)
def page(request: HttpRequest, path: str) -> HttpResponse:
    """One of our pages in CAPE's own frame; with several tenants of what the user may see."""
    query = {key[:50]: value[:1000] for key, value in list(request.GET.items())[:MAX_PARAMETERS]}
    response = site().page(path[:MAX_PATH], query, reader_of(request.user))
    values = {"title": response.title, "html": mark_safe(response.html), "settings": settings}
    return render(request, "cuckooml/page.html", values, status=response.status)


@require_safe
def style(_request: HttpRequest) -> HttpResponse:
    """The style sheet; its address changes with its content."""
    return HttpResponse(style_sheet(), content_type="text/css; charset=utf-8")
