"""The finding on an analysis under ``cuckooml`` (cuckoo-ml-plugin). Written by cuckoo-ml install."""

import logging
import os

from lib.cuckoo.common.abstracts import Report
from lib.cuckoo.common.constants import CUCKOO_ROOT

log = logging.getLogger(__name__)


class CuckooML(Report):
    """Completes ``cuckooml`` before any report is written: a module without an order of its own has order 1."""

    order = 0

    def run(self, results):
        try:
            from cuckoo_ml_plugin.hosts import cape

            report = os.path.join(self.reports_path, "report.json")
            cape.enrich(results, self.task, CUCKOO_ROOT, self.options.get("home"), report)
        except Exception as error:
            from modules.processing.cuckooml import failed_section

            results["cuckooml"] = failed_section(error)


class CuckooMLHtml(Report):
    """Puts the panel into the HTML reports that CAPE wrote."""

    order = 9000

    def run(self, results):
        try:
            from cuckoo_ml_plugin.hosts import cape

            cape.complete_html(results, self.reports_path)
        except Exception as error:
            log.error("cuckooml: the HTML reports have no panel (%s: %s)", type(error).__name__, error)
