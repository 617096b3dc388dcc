"""CAPE's URLs, and ours after them."""

from __future__ import annotations

import logging

from django.urls import re_path
from web.urls import *  # noqa: F403 -- its error handlers too
from web.urls import urlpatterns as cape_urlpatterns

urlpatterns = list(cape_urlpatterns)

try:
    from cuckoo_ml_plugin.hosts.cape.web import views

    urlpatterns += [
        re_path(r"^cuckooml/style\.css$", views.style, name="cuckooml_style"),
        re_path(r"^cuckooml/(?P<path>.*)$", views.page, name="cuckooml"),
    ]
except Exception:  # CAPE's web interface starts without our pages
    logging.getLogger(__name__).exception("The pages of cuckoo-ml-plugin could not be added")
