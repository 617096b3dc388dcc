"""Clusters, similar analyses and anomaly scores (cuckoo-ml-plugin): the counts. Put here by cuckoo-ml install."""

import logging

from lib.cuckoo.common.abstracts import Processing
from lib.cuckoo.common.constants import CUCKOO_ROOT

log = logging.getLogger(__name__)


class CuckooML(Processing):
    """Leaves the counts under ``cuckooml``; the reporting module completes them."""

    order = 100  # after all that is counted

    def run(self):
        self.key = "cuckooml"
        try:
            from cuckoo_ml_plugin.hosts import cape

            return cape.counts(self.results, CUCKOO_ROOT, None)
        except Exception as error:
            log.error("cuckooml: %s: %s (is cuckoo-ml-plugin installed beside CAPE?)", type(error).__name__, error)
            return {"schema": 1, "status": "failed", "message": f"cuckoo-ml-plugin: {error}"}
