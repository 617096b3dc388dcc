# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml into Cuckoo 2.0.7. Python 2.7, Django 1.8.
"""The Django app in Cuckoo's web interface: the panel and our own pages, whose HTML the worker draws."""
