# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml into Cuckoo 2.0.7. Python 2.7, Django 1.8.
"""The template tags of the app."""
