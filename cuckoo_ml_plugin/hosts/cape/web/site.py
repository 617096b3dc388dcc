"""The pages of this CAPE's home."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.urls import reverse
from lib.cuckoo.common.config import Config
from lib.cuckoo.common.constants import CUCKOO_ROOT

from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts import cape
from cuckoo_ml_plugin.web.render import CAPE
from cuckoo_ml_plugin.web.site import Addresses, Site


@cache
def site() -> Site:
    """One for each process: store and model stay open."""
    home = Config("reporting").get("cuckooml").get("home") or Path(CUCKOO_ROOT) / cape.HOME
    addresses = Addresses(reverse("cuckooml", args=[""]), reverse("report", args=[0]).replace("/0/", "/{}/"))
    return Site(Home(Path(home)), CAPE, addresses, Path(CUCKOO_ROOT) / "storage" / "analyses")
