"""Adds panel, tab and pages to CAPE's web interface: ``put_in_place`` from ``custom/analysis_services.py``.

CAPE imports that file with its URLs, when its settings are complete. So templates and tags are added to the settings
and to the template engine that may exist already, and the pages to the module of the URLs, which is half imported then.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

APP: Final = "cuckoo_ml_plugin.hosts.cape.web"
TEMPLATES: Final = Path(__file__).with_name("templates")
_URLS: Final = f"{APP}.urls"
_TAGS: Final = ("cuckooml", f"{APP}.templatetags.cuckooml")


def put_in_place() -> None:
    """Add our templates, tags and pages; may be repeated, and does nothing outside of the web interface."""
    from django.apps import apps
    from django.conf import settings

    if not settings.configured:
        return
    templates = settings.TEMPLATES[0]
    if str(TEMPLATES) not in templates["DIRS"]:
        templates["DIRS"] = [str(TEMPLATES), *templates["DIRS"]]
    name, module = _TAGS
    templates.setdefault("OPTIONS", {}).setdefault("libraries", {})[name] = module
    if apps.ready:
        _add_to_engine()
    _add_pages(settings)


def install(settings: dict[str, Any]) -> None:
    """Add templates, app and URLs to the settings: for the lines that older versions put into local_settings.py."""
    folders = settings["TEMPLATES"][0]["DIRS"]
    if str(TEMPLATES) not in folders:
        folders.insert(0, str(TEMPLATES))
    if APP not in settings["INSTALLED_APPS"]:
        settings["INSTALLED_APPS"].append(APP)
    settings["ROOT_URLCONF"] = _URLS


def _add_to_engine() -> None:
    """Add templates and tags to the first engine, which copied the settings if it was made before."""
    from django.template import engines
    from django.template.library import import_library

    engine = engines.all()[0].engine
    name, module = _TAGS
    library = import_library(module)  # first: without it, no template of ours may come into CAPE's pages
    if str(TEMPLATES) not in engine.dirs:
        engine.dirs = [str(TEMPLATES), *engine.dirs]
    engine.libraries[name] = module
    engine.template_libraries[name] = library
    for loader in engine.template_loaders:
        loader.reset()


def _add_pages(settings: Any) -> None:
    if settings.ROOT_URLCONF == _URLS:  # by the lines of an older version
        return
    urls = sys.modules.get(settings.ROOT_URLCONF)
    if urls is None:  # no URL was looked up yet
        settings.ROOT_URLCONF = _URLS
    elif type(urls) is ModuleType:
        urls.__class__ = _UrlsWithOurPages


class _UrlsWithOurPages(ModuleType):
    """The module of CAPE's URLs: who asks for its ``urlpatterns`` gets ours after them."""

    @property
    def urlpatterns(self) -> list[Any]:
        try:
            patterns = self.__dict__["urlpatterns"]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute 'urlpatterns'") from None
        from cuckoo_ml_plugin.hosts.cape.web.routes import with_our_pages

        return with_our_pages(patterns)
