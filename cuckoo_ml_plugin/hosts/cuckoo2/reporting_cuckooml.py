# Part of cuckoo-ml-plugin, installed as cuckoo/reporting/cuckooml.py into Cuckoo 2.0.7. Python 2.7.
"""The reporting module: stores and scores the analysis before the other reporting modules write it."""

import logging
import os

from cuckoo.common.abstracts import Report

log = logging.getLogger(__name__)

try:
    from cuckoo.common import cuckooml as client

    client.register()
except Exception:  # Cuckoo does not start if a module cannot be imported
    log.exception("cuckoo-ml-plugin cannot be used; install it again")
else:
    class CuckooML(Report):
        """Cluster, anomaly score and similar analyses."""

        order = 0  # JsonDump is 1, MongoDB 2

        def run(self, results):
            client.enrich(results, self.task["id"], os.path.join(self.reports_path, "report.json"))

    class CuckooMLHtml(Report):
        """The panel in the HTML report."""

        order = 5  # SingleFile is 1

        def run(self, results):
            client.complete_html(results, self.task["id"], os.path.join(self.reports_path, "report.html"))
