"""Whether this CAPE is a worker of a central one, which files reports under its own ids."""

from __future__ import annotations


def files_under_central_ids() -> bool:
    """Whether CAPE's module centralstore gives a report the id of the central machine's task."""
    try:
        from lib.cuckoo.common.central_mode import central_mode_config
        from lib.cuckoo.common.config import Config

        return bool(central_mode_config().enabled) and bool(Config("reporting").get("centralstore").get("enabled"))
    except Exception:  # a CAPE from before central mode, or without the section
        return False
