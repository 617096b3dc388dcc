"""The behaviour counts of an analysis under ``cuckooml`` (cuckoo-ml-plugin). Written by cuckoo-ml install."""

import logging

from lib.cuckoo.common.abstracts import Processing
from lib.cuckoo.common.constants import CUCKOO_ROOT

log = logging.getLogger(__name__)


class CuckooML(Processing):
    """Leaves the counts under ``cuckooml``; the reporting module scores the analysis."""

    order = 100  # after the modules whose results are counted

    def run(self):
        self.key = "cuckooml"
        try:
            from cuckoo_ml_plugin.hosts import cape

            return cape.counts(self.results, CUCKOO_ROOT, None)
        except Exception as error:
            return failed_section(error)


def failed_section(error):
    """The section of an analysis for which cuckoo-ml-plugin cannot be imported or fails; the error is logged."""
    message = f"cuckoo-ml-plugin failed ({type(error).__name__}: {error}); check that it is installed beside CAPE."
    log.error("cuckooml: %s", message)
    return {
        "schema": 2,
        "status": "failed",
        "message": message[:1000],
        "verdict": {"kind": "unknown", "text": message[:1000]},
        "model": None,
        "cluster": None,
        "kin": None,
        "anomaly": None,
        "similar": [],
        "evidence": [],
        "behash": None,
        "threat_scores": None,
        "counts": {},
    }
