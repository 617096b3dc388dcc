# Part of cuckoo-ml-plugin, installed as cuckoo/web/cuckooml/settings.py into Cuckoo 2.0.7. Python 2.7.
"""The function that the lines in $CWD/web/local_settings.py call."""

import os

FOLDER = os.path.dirname(os.path.abspath(__file__))
HOST = os.path.dirname(FOLDER)  # cuckoo/web; through it our templates include those of Cuckoo that they replace


def install(settings):
    """Add our templates, app and URLs to Django's settings."""
    ours = os.path.join(FOLDER, "templates")
    templates = settings["TEMPLATES"][0]
    if ours not in templates["DIRS"]:
        templates["DIRS"] = [ours] + list(templates["DIRS"]) + [HOST]
    if "cuckoo.web.cuckooml" not in settings["INSTALLED_APPS"]:
        settings["INSTALLED_APPS"] = tuple(settings["INSTALLED_APPS"]) + ("cuckoo.web.cuckooml",)
    settings["ROOT_URLCONF"] = "cuckoo.web.cuckooml.urls"
