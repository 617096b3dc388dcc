"""The function that the lines in CAPE's ``web/web/local_settings.py`` call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

APP = "cuckoo_ml_plugin.hosts.cape.web"
TEMPLATES = Path(__file__).with_name("templates")


def install(settings: dict[str, Any]) -> None:
    """Add our templates, app and URLs to Django's settings."""
    folders = settings["TEMPLATES"][0]["DIRS"]
    if str(TEMPLATES) not in folders:
        folders.insert(0, str(TEMPLATES))
    if APP not in settings["INSTALLED_APPS"]:
        settings["INSTALLED_APPS"].append(APP)
    settings["ROOT_URLCONF"] = f"{APP}.urls"
