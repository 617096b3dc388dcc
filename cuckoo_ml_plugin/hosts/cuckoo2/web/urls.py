# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml/urls.py into Cuckoo 2.0.7. Python 2.7.
"""Cuckoo's URLs, and ours after them."""

import logging

from django.conf.urls import url
from web.urls import handler404, handler500, urlpatterns

__all__ = ["handler404", "handler500", "urlpatterns"]

try:
    from cuckoo.web.cuckooml import views

    urlpatterns = list(urlpatterns) + [
        url(r"^cuckooml/style\.css$", views.style, name="cuckooml/style"),
        url(r"^cuckooml/(?P<path>.*)$", views.page, name="cuckooml"),
    ]
except Exception:
    log = logging.getLogger(__name__)
    log.exception("cuckoo-ml-plugin has no pages; install it again by the command in reporting.conf")
