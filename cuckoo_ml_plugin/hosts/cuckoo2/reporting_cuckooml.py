# Part of cuckoo-ml-plugin, installed as cuckoo/reporting/cuckooml.py into Cuckoo 2.0.7. Python 2.7.
"""The reporting modules: one stores and scores the analysis, the other completes the HTML report."""

import logging
import os

from cuckoo.common.abstracts import Report

log = logging.getLogger(__name__)

try:
    from cuckoo.common import cuckooml as client

    client.register()
except Exception:  # an error at import would stop Cuckoo from starting
    log.exception("cuckoo-ml-plugin cannot be used; install it again by the command in reporting.conf")
else:
    class CuckooML(Report):
        """Puts the finding into the results."""

        order = 0  # before JsonDump (1) and MongoDB (2)

        def run(self, results):
            client.enrich(results, self.task["id"], os.path.join(self.reports_path, "report.json"))

    class CuckooMLHtml(Report):
        """Puts the panel into the HTML report."""

        order = 5  # after SingleFile (1)

        def run(self, results):
            client.complete_html(results, self.task["id"], os.path.join(self.reports_path, "report.html"))
