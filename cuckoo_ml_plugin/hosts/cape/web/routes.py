"""The URL patterns of our pages."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.urls import re_path


def with_our_pages(patterns: Iterable[Any]) -> list[Any]:
    """CAPE's URL patterns and ours after them; without ours where our pages cannot be imported."""
    try:
        from cuckoo_ml_plugin.hosts.cape.web import views

        ours = [
            re_path(r"^cuckooml/style\.css$", views.style, name="cuckooml_style"),
            re_path(r"^cuckooml/(?P<path>.*)$", views.page, name="cuckooml"),
        ]
    except Exception:  # CAPE's web interface starts without our pages
        logging.getLogger(__name__).exception("The pages of cuckoo-ml-plugin could not be added")
        ours = []
    return [*patterns, *ours]
