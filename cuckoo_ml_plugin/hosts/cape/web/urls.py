"""CAPE's addresses, and ours behind them."""

from __future__ import annotations

import logging

from django.urls import re_path
from web.urls import *  # noqa: F403 -- its handlers of errors, too
from web.urls import urlpatterns as host

urlpatterns = list(host)

try:
    from cuckoo_ml_plugin.hosts.cape.web import views

    urlpatterns += [
        re_path(r"^cuckooml/style\.css$", views.style, name="cuckooml_style"),
        re_path(r"^cuckooml/(?P<path>.*)$", views.page, name="cuckooml"),
    ]
except Exception:  # the web interface is CAPE's: it starts without us
    logging.getLogger(__name__).exception("cuckoo-ml-plugin has no pages")
