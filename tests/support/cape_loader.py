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
* ``litereport`` sets no order and copies ``keys_to_copy``; the options are attributes, too.
* What a worker of a distributed CAPE needs more, by :func:`add_worker_modules`: the configuration of central mode,
  ``centralstore`` (order 9998) and ``mongodb`` (order 9999), which file a report under the central machine's task.
* Of the database the tables ``tasks`` and ``samples``, and over them the rules of ``lib.cuckoo.common.tenancy``;
  ``web/tenancy_optional.py`` makes a viewer of a user.

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
    return _Options(config[section]) if section in config and config.getboolean(section, "enabled") else None

class _Options(dict):
    __getattr__ = dict.get

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

_LITEREPORT = """
import os
import orjson
from lib.cuckoo.common.abstracts import Report

class LiteReport(Report):
    def run(self, results):
        lite = {key: results[key] for key in results.keys() & self.options.keys_to_copy.split(" ")}
        with open(os.path.join(self.reports_path, "lite.json"), "wb") as file:
            file.write(orjson.dumps(lite))
"""
_TENANCY = """
import configparser, os
from dataclasses import dataclass
from typing import Optional
from lib.cuckoo.common.constants import CUCKOO_ROOT

PUBLIC, TENANT, PRIVATE = "public", "tenant", "private"

@dataclass(frozen=True)
class Viewer:
    user_id: Optional[int]
    tenant_id: Optional[int]
    is_superuser: bool = False
    is_tenant_admin: bool = False
    is_local_admin: bool = False

@dataclass(frozen=True)
class Job:
    owner_id: Optional[int]
    tenant_id: Optional[int]
    visibility: str

@dataclass(frozen=True)
class MTConfig:
    enabled: bool

def can_read(viewer, job):
    if job.visibility == PUBLIC or viewer.is_local_admin:
        return True
    if viewer.user_id is not None and viewer.user_id == job.owner_id:
        return True
    return job.visibility == TENANT and job.tenant_id is not None and viewer.tenant_id == job.tenant_id

def multitenancy_config():
    config = configparser.ConfigParser()
    config.read(os.path.join(CUCKOO_ROOT, "custom", "conf", "cuckoo.conf"))
    return MTConfig(config.getboolean("multitenancy", "enabled", fallback=False))
"""
_TENANCY_OPTIONAL = """
from lib.cuckoo.common.tenancy import Viewer, multitenancy_config

def viewer_for(user):
    if not multitenancy_config().enabled:
        return Viewer(user.id, None, is_local_admin=True)
    if not user.is_authenticated:
        return Viewer(None, None)
    return Viewer(user.id, user.userprofile.tenant_id, is_local_admin=user.is_superuser)
"""
_SAMPLES = """
from sqlalchemy import Integer, String
from sqlalchemy.orm import DeclarativeBase, mapped_column

class Base(DeclarativeBase):
    pass

class Sample(Base):
    __tablename__ = "samples"
    id, file_size = mapped_column(Integer, primary_key=True), mapped_column(Integer)
    sha256, sha512, sha1, md5, crc32 = (mapped_column(String) for _ in range(5))
    file_type = mapped_column(String)
"""
_TASK = """
from sqlalchemy import DateTime, ForeignKey, Integer, String
from sqlalchemy.orm import mapped_column
from .samples import Base

class Task(Base):
    __tablename__ = "tasks"
    id = mapped_column(Integer, primary_key=True)
    target, options, category, status, platform = (mapped_column(String) for _ in range(5))
    started_on = mapped_column(DateTime)
    sample_id = mapped_column(ForeignKey("samples.id"))
    user_id, tenant_id = mapped_column(Integer), mapped_column(Integer)
    visibility = mapped_column(String, server_default="private")

    def __init__(self, target=None):
        self.target = target
"""
_DATABASE = """
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from .data.task import Base

class _Database:
    def __init__(self, dsn):
        self.engine = create_engine(dsn)
        Base.metadata.create_all(self.engine)
        self.session = Session(self.engine)

def init_database(dsn):
    global _DATABASE
    _DATABASE = _Database(dsn)
    return _DATABASE

def Database():
    return _DATABASE
"""
_CONFIG = """
import configparser, glob, os
from lib.cuckoo.common.constants import CUCKOO_ROOT

class Config:
    def __init__(self, name):
        conf = os.path.join(CUCKOO_ROOT, "custom", "conf")
        self.parser = configparser.ConfigParser()
        more = glob.glob(os.path.join(conf, name + ".conf.d", "*.conf"))
        self.parser.read([os.path.join(conf, name + ".conf"), *sorted(more)])

    def get(self, section):
        values = self.parser[section]
        return {key: {"yes": True, "no": False}.get(value, value) for key, value in values.items()}
"""
_CENTRAL_MODE = """
from types import SimpleNamespace
from lib.cuckoo.common.config import Config

def central_mode_config():
    return SimpleNamespace(**Config("cuckoo").get("central_mode"))
"""
_CENTRALSTORE = """
import re
from lib.cuckoo.common.abstracts import Report
from lib.cuckoo.common.central_mode import central_mode_config

class CentralStore(Report):
    order = 9998
    def run(self, results):
        if central_mode_config().enabled:
            info = results["info"]
            info["job_id"] = info["custom"].partition("job_id=")[2] or "local-%s" % info["id"]
            match = re.match(r"^ui-(\\d+)$", info["job_id"])
            if match:
                info["id"] = int(match[1])
"""
_MONGODB = """
import copy
import pymongo
from lib.cuckoo.common.abstracts import Report

class MongoDB(Report):
    order = 9999
    def run(self, results):
        document = copy.deepcopy(results)
        main = document["info"]["options"].get("main_task_id")
        document["info"]["id"] = int(main or document["info"]["id"])
        for process in document["behavior"]["processes"]:
            process["calls"] = []
        file = document["target"]["file"]
        file["file_ref"] = file.pop("sha256")
        analyses = pymongo.MongoClient(self.options["host"], int(self.options["port"]))[self.options["db"]].analysis
        analyses.delete_many({"info.id": document["info"]["id"]})
        analyses.insert_one(document)
"""

DRIVER = """
import json, os, sys
root, reports, tasks = sys.argv[1:4]  # one on each line, as a process of CAPE's works off its queue
sys.path.insert(0, root)
os.chdir(root)
try:
    from cuckoo_ml_plugin.hosts import enrich
    enrich.Enricher.__init__.__kwdefaults__["patience"] = 300  # a busy machine may keep the store busy for longer
    enrich.TIME_LIMIT = 300  # until the home's settings are read
except ImportError:
    pass
try:
    from lib.cuckoo.core import database
    database.init_database(dsn=os.environ.get("CAPE_DSN", "sqlite://"))
except ImportError:
    pass
from lib.cuckoo.core import plugins
for name in sys.argv[4:]:
    plugins.import_plugin(name)
for report, task in zip(reports.split("\\n"), tasks.split("\\n")):
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


def make_cape(root: Path, place: Path | None = None) -> Path:
    """Such a folder, with a module that writes report.json and a configuration that enables it.

    ``place``: where the folder lies when it is at work, if not where it is made.
    """
    texts = {
        "lib/cuckoo/common/abstracts.py": _ABSTRACTS,
        "lib/cuckoo/common/constants.py": f"CUCKOO_ROOT = {str(place or root)!r}\n",
        "lib/cuckoo/core/plugins.py": _PLUGINS,
        "lib/cuckoo/common/tenancy.py": _TENANCY,
        "lib/cuckoo/core/database.py": _DATABASE,
        "lib/cuckoo/core/data/samples.py": _SAMPLES,
        "lib/cuckoo/core/data/task.py": _TASK,
        "web/tenancy_optional.py": _TENANCY_OPTIONAL,
        "modules/reporting/jsondump.py": _JSONDUMP,
        "modules/reporting/litereport.py": _LITEREPORT,
        "modules/processing/__init__.py": "",
        "custom/conf/reporting.conf.d/jsondump.conf": "[jsondump]\nenabled = yes\n",
    }
    _write(root, texts)
    (root / "storage" / "analyses").mkdir(parents=True)
    return root


def add_worker_modules(root: Path) -> None:
    """What a worker of a distributed CAPE has more."""
    texts = {
        "lib/cuckoo/common/config.py": _CONFIG,
        "lib/cuckoo/common/central_mode.py": _CENTRAL_MODE,
        "modules/reporting/centralstore.py": _CENTRALSTORE,
        "modules/reporting/mongodb.py": _MONGODB,
    }
    _write(root, texts)


def _write(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
