# Part of cuckoo-ml-plugin, installed as cuckoo/processing/cuckooml.py into Cuckoo 2.0.7. Python 2.7.
"""The processing module: leaves the behaviour counts under `cuckooml`."""

import logging

from cuckoo.common.abstracts import Processing

log = logging.getLogger(__name__)

try:
    from cuckoo.common import cuckooml as client

    client.register()
except Exception:  # an error at import would stop Cuckoo from starting
    log.exception("cuckoo-ml-plugin cannot be used; install it again by the command in reporting.conf")
else:
    class CuckooML(Processing):
        """Behaviour counts, before signatures and scoring."""

        order = 100  # after the modules whose results are counted

        def run(self):
            self.key = "cuckooml"
            return client.count(self.results, self.task["id"])
