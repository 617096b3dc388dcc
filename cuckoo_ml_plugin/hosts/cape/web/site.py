"""The site of this CAPE: its home, look and addresses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.urls import reverse
from lib.cuckoo.common.config import Config
from lib.cuckoo.common.constants import CUCKOO_ROOT

from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.cape.analysis import home_of
from cuckoo_ml_plugin.web.render import CAPE
from cuckoo_ml_plugin.web.site import Addresses, Site


@cache
def site() -> Site:
    """The site; each process keeps one, with its open store and model."""
    home = home_of(Path(CUCKOO_ROOT), Config("reporting").get("cuckooml").get("home"))
    addresses = Addresses(reverse("cuckooml", args=[""]), reverse("report", args=[0]).replace("/0/", "/{}/"))
    return Site(Home(home), CAPE, addresses, Path(CUCKOO_ROOT) / "storage" / "analyses")
