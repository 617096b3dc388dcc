# Part of cuckoo-ml-plugin, installed as cuckoo/processing/cuckooml.py into Cuckoo 2.0.7. Python 2.7.
"""The processing module: leaves the counts of the behaviour under `cuckooml`."""

import logging

from cuckoo.common.abstracts import Processing

log = logging.getLogger(__name__)

try:
    from cuckoo.common import cuckooml as client

    client.register()
except Exception:  # Cuckoo does not start if a module cannot be imported
    log.exception("cuckoo-ml-plugin cannot be used; install it again")
else:
    class CuckooML(Processing):
        """Behaviour counts, before signatures and scoring."""

        order = 100  # behind all that it reads

        def run(self):
            self.key = "cuckooml"
            return client.count(self.results, self.task["id"])
