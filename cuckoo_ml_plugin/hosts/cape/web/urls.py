"""CAPE's URLs and ours after them, where settings name this module."""

from __future__ import annotations

from web.urls import *  # noqa: F403 -- its error handlers too
from web.urls import urlpatterns as cape_urlpatterns

from cuckoo_ml_plugin.hosts.cape.web.routes import with_our_pages

urlpatterns = with_our_pages(cape_urlpatterns)
