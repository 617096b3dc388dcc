"""What runs inside CAPE (Python 3.10 and newer), in CAPE's own processes.

Comes in: the results of an analysis, from the modules that ``cuckoo-ml install`` puts into CAPE's folders. Goes out:
the section ``cuckooml`` in those results, and the panel in the HTML reports. ``modules`` holds the installed files,
``web`` the Django app. The functions below are what installed modules import, so their names and arguments stay.
Importing them is cheap: the engine is imported with the first analysis.
"""

from cuckoo_ml_plugin.hosts.cape.analysis import complete_html, counts, enrich

__all__ = ["complete_html", "counts", "enrich"]
