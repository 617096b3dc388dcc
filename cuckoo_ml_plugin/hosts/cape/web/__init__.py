"""The Django app in CAPE's web interface: the panel, the tab Similar Analyses and our own pages.

Comes in: a request of one of CAPE's users, and the section in the report. Goes out: HTML inside CAPE's own pages.
The lines that ``cuckoo-ml install`` puts into ``web/web/local_settings.py`` call ``settings.install``. May import the
package's ``web`` and the rooms below it.
"""
