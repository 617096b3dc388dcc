"""CAPE's web interface: a Django app with the panel, the "Similar Analyses" tab and our own pages.

CAPE imports it where ``cuckoo-ml install`` has put two lines for it into ``web/web/local_settings.py``.
"""
