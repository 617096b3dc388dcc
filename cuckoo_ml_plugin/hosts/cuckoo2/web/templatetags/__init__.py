# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml into Cuckoo 2.0.7. Python 2.7, Django 1.8.
"""The panel on the analysis page, and our own pages, in Cuckoo's web interface. HTML comes from the worker."""
