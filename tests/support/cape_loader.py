"""A folder that loads modules as CAPE does, as far as a module can tell. Each point was seen in CAPE 2.5:

* ``lib.cuckoo.common.abstracts`` has ``Processing`` (made with the results so far; ``key``, ``order``, ``run()``
  returns the section) and ``Report`` (``order``, ``run(results)``), which are given ``task``, ``options`` (a dictionary
  of the module's section in ``processing.conf`` or ``reporting.conf``) and, for reports, ``reports_path``.
* ``lib.cuckoo.core.plugins`` has ``import_plugin(name)``, which registers every subclass that it finds in a module, and
  ``RunProcessing`` and ``RunReporting``, which run them by ``order``: a module without a section in its configuration,
  or with ``enabled`` not true, is passed over; what one raises is logged and the next one runs.
* Before reporting, lazy call logs become lists.
* ``report.json`` is written by ``orjson``, which refuses what is not of Python's own types, NumPy's numbers among them.
* Configuration comes from ``custom/conf/NAME.conf.d/*.conf`` as well.

:data:`DRIVER` runs the modules of such a folder, or of CAPE itself: tests use it on both.
"""

from __future__ import annotations

from pathlib import Path

_ABSTRACTS = """
import os

class Processing:
    order = 1
    def __init__(self, results=None):
        self.results, self.task, self.options = results, None, None

class Report:
    order = 1
    def __init__(self):
        self.task, self.options, self.reports_path = None, None, ""
"""
_PLUGINS = """
import configparser, glob, importlib, inspect, logging, os
from lib.cuckoo.common.abstracts import Processing, Report
from lib.cuckoo.common.constants import CUCKOO_ROOT

log = logging.getLogger(__name__)
_modules = {"processing": [], "reporting": []}

def import_plugin(name):
    for _, value in inspect.getmembers(importlib.import_module(name), inspect.isclass):
        for base, group in ((Processing, "processing"), (Report, "reporting")):
            if issubclass(value, base) and value is not base and value not in _modules[group]:
                _modules[group].append(value)

def _options(kind, cls):
    config = configparser.ConfigParser()
    config.read(sorted(glob.glob(os.path.join(CUCKOO_ROOT, "custom", "conf", kind + ".conf.d", "*.conf"))))
    section = inspect.getmodule(cls).__name__.rsplit(".", 1)[1]
    return dict(config[section]) if section in config and config.getboolean(section, "enabled") else None

class _Run:
    def __init__(self, task, results, reprocess=False):
        self.task, self.results = task, results
        for process in results.get("behavior", {}).get("processes", []) if self.kind == "reporting" else []:
            process["calls"] = list(process["calls"])

    def run(self):
        errors = 0
        for cls in sorted(_modules[self.kind], key=lambda cls: cls.order):
            options = _options(self.kind, cls)
            if options is None:
                continue
            try:
                self.step(cls, options)
            except Exception as error:
                log.exception("Failed to run %s: %s", cls, error)
                errors += 1
        return errors

class RunProcessing(_Run):
    kind = "processing"
    def step(self, cls, options):
        module = cls(self.results)
        module.task, module.options = self.task, options
        data = module.run()
        self.results[module.key] = data

class RunReporting(_Run):
    kind = "reporting"
    def step(self, cls, options):
        module = cls()
        module.task, module.options = self.task, options
        module.reports_path = os.path.join(CUCKOO_ROOT, "storage", "analyses", str(self.task["id"]), "reports")
        os.makedirs(module.reports_path, exist_ok=True)
        module.run(self.results)
"""
_JSONDUMP = """
import os
import orjson
from lib.cuckoo.common.abstracts import Report

class JsonDump(Report):
    order = 10
    def run(self, results):
        with open(os.path.join(self.reports_path, "report.json"), "wb") as file:
            file.write(orjson.dumps(results, option=orjson.OPT_INDENT_2))
"""

DRIVER = """
import json, os, sys
root, report, task = sys.argv[1:4]
sys.path.insert(0, root)
os.chdir(root)
try:
    from cuckoo_ml_plugin.hosts.enrich import Enricher
    Enricher.__init__.__kwdefaults__["patience"] = 300  # a busy machine may keep the store busy for longer than 5 s
except ImportError:
    pass
try:
    from lib.cuckoo.core import database
    database.init_database(dsn="sqlite://")
except ImportError:
    pass
from lib.cuckoo.core import plugins
for name in sys.argv[4:]:
    plugins.import_plugin(name)
with open(report, "rb") as file:
    results = json.load(file)
results.pop("cuckooml", None)
results["statistics"] = {"processing": [], "signatures": [], "reporting": []}
folder = os.path.join(root, "storage", "analyses", task)
os.makedirs(folder, exist_ok=True)
with open(os.path.join(folder, "analysis.conf"), "w") as file:
    file.write("[analysis]\\n")
signatures = results.pop("signatures", [])
task = {"id": int(task), "options": "", "platform": "windows"}
if plugins._modules.get("processing"):
    plugins.RunProcessing(task, results).run()
first = results.get("cuckooml")
results["signatures"] = signatures
errors = plugins.RunReporting(task, results).run()
print(json.dumps({"first": first, "errors": errors, "statistics": results.get("statistics")}))
"""


def make_cape(root: Path) -> Path:
    """Such a folder, with a module that writes report.json and a configuration that enables it."""
    texts = {
        "lib/cuckoo/common/abstracts.py": _ABSTRACTS,
        "lib/cuckoo/common/constants.py": f"CUCKOO_ROOT = {str(root)!r}\n",
        "lib/cuckoo/core/plugins.py": _PLUGINS,
        "modules/reporting/jsondump.py": _JSONDUMP,
        "modules/processing/__init__.py": "",
        "custom/conf/reporting.conf.d/jsondump.conf": "[jsondump]\nenabled = yes\n",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "storage" / "analyses").mkdir(parents=True)
    return root
