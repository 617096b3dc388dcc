"""What pyproject.toml cannot express: the folder conf/ is installed as a package, in which `cuckoo-ml` finds it."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["cuckoo_ml_plugin*", "cuckoo_ml_samples*"]), "cuckoo_ml_plugin.conf"],
    package_dir={"cuckoo_ml_plugin.conf": "conf"},
    package_data={
        "cuckoo_ml_plugin": ["py.typed"],
        "cuckoo_ml_samples": ["py.typed"],
        "cuckoo_ml_plugin.finding": ["*.json"],
        "cuckoo_ml_plugin.threat_study": ["*.html"],
        "cuckoo_ml_plugin.atlas": ["page/*"],
        "cuckoo_ml_plugin.web": ["*.css", "templates/*.html"],
        "cuckoo_ml_plugin.hosts.cape.web": ["templates/*.html", "templates/*/*.html", "templates/*/*/*.html"],
        "cuckoo_ml_plugin.hosts.cuckoo2.web": ["templates/*/*.html", "templates/*/*/*.html", "templates/*/*/*/*.html"],
        "cuckoo_ml_plugin.conf": ["*.conf", "*/*.conf"],
    },
)
