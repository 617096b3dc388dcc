"""Nodes of a distributed CAPE, each at the same path while it works, with the same task ids: ours, or the real CAPE's.

What a node's analyses did comes from recorded reports. In the real CAPE, ``utils/process.py`` works its queue off by
its own engine: its task database, ``analysisinfo``, signatures and all reporting modules are at work.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.cape_analysis import MODULES, analyse_each
from support.cape_loader import add_worker_modules, make_cape
from support.command import cuckoo_ml
from support.paths import REPOSITORY
from support.time_limits import HANG

CAPE, PYTHON = os.environ.get("CAPE_ROOT"), os.environ.get("CAPE_PYTHON", "")
_DATABASE = "[mongodb]\nenabled = yes\nhost = 127.0.0.1\nport = {port}\ndb = {name}\n"
_LITE = "[litereport]\nenabled = yes\nkeys_to_copy = info signatures cuckooml\nbehavior_keys_to_copy = processtree\n"
_RECORDED = """
import json, os
from lib.cuckoo.common.abstracts import Processing

class Recorded(Processing):
    order = 50  # after CAPE's own, before ours

    def run(self):
        self.key = "recorded"
        with open(os.path.join(self.analysis_path, "recorded.json"), "rb") as file:
            self.results.update(json.load(file))
        return True
"""
_ADD_TASKS = """
import datetime, json, os, sys
sys.path.insert(0, os.getcwd())
from lib.cuckoo.core import database
db = database.init_database()
from lib.cuckoo.core.data.samples import Sample
from lib.cuckoo.core.data.task import Task
from sqlalchemy.orm import Session
with Session(db.engine) as session, session.begin():
    for facts in json.load(sys.stdin):
        sha256 = facts["sha256"]
        sample = session.query(Sample).filter_by(sha256=sha256).first()
        if sample is None:
            parts = {"sha1": sha256[:40], "md5": sha256[:32], "crc32": sha256[:8], "sha512": sha256 * 2}
            sample = Sample(file_size=1, file_type="PE32", sha256=sha256, **parts)
            session.add(sample)
            session.flush()
        task = Task("/tmp/sample.exe")
        task.id, task.category, task.status, task.platform = facts["id"], "file", facts["status"], "windows"
        task.options, task.custom, task.sample_id = facts["options"], facts["custom"], sample.id
        task.started_on = datetime.datetime.fromisoformat(facts["started"])
        task.completed_on = task.started_on + datetime.timedelta(seconds=60)
        session.add(task)
"""
_WEB = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "web.settings"
sys.path.insert(0, ".")
import django
django.setup()
from django.test import Client
answers = [Client().get(path) for path in json.load(sys.stdin)]
print(json.dumps([(answer.status_code, answer.content.decode()) for answer in answers]))
"""
MAIN_TASK, CENTRAL_MODE = "main_task_id", "central mode"


@dataclass(frozen=True)
class NodeTask:
    """A task of a node: its number there, the one on the central machine, and the recorded report of what it did."""

    number: int
    central: int
    report: Path

    @property
    def started(self) -> str:
        return f"2026-03-{self.number:02d} 10:00:00"

    @property
    def recorded(self) -> dict[str, Any]:
        results: dict[str, Any] = json.loads(self.report.read_bytes())
        return {key: value for key, value in results.items() if key not in ("info", "cuckooml", "statistics")}

    @property
    def sha256(self) -> str:
        return str(self.recorded["target"]["file"]["sha256"])

    def known_as(self, mode: str) -> dict[str, str]:
        """How the central machine's number comes to the node: by an option, or by the field ``custom``."""
        if mode == MAIN_TASK:
            return {"options": f"main_task_id={self.central}", "custom": ""}
        return {"options": "", "custom": f"job_id=ui-{self.central}"}


class CapeNode:
    """A node with the plugin; it lies aside, and at ``place`` while it works."""

    def __init__(self, name: str, place: Path, real: bool, mode: str) -> None:
        self.name, self.place, self.real, self.mode = name, place, real, mode
        self.root: Final = place.with_name(name)
        if real:
            shutil.copytree(CAPE or "", self.root, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        else:
            add_worker_modules(make_cape(self.root, place))

    @property
    def home(self) -> Path:
        """The home while the node works."""
        return self.place / "custom" / "cuckooml"

    @contextmanager
    def at_work(self) -> Iterator[Path]:
        """The node at the path that all nodes have."""
        self.root.rename(self.place)
        try:
            yield self.place
        finally:
            self.place.rename(self.root)

    def install(self, store_url: str, port: int, database: str) -> None:
        """Install the plugin with a shared store, and configure the host; ``port``, ``database``: of MongoDB."""
        with self.at_work() as root:
            done = cuckoo_ml(root, "install", "--host", "cape", "--root", root, "--refit", "none")
            assert done.code == 0, done.err
            host = f"[host]\nnode = {self.name}\nsignature = yes\ntime_limit = {HANG}\n"
            (self.home / "cuckooml.conf").write_text(f"[store]\nurl = {store_url}\n{host}", encoding="utf-8")
            central = self.mode == CENTRAL_MODE
            conf = root / "custom" / "conf"
            reporting = (
                _DATABASE.format(port=port, name=database)
                + _LITE
                + f"[centralstore]\nenabled = {'yes' if central else 'no'}\n"
            )
            (conf / "reporting.conf.d" / "test.conf").write_text(reporting, encoding="utf-8")
            host = "[cuckoo]\nmachinery = physical\nmax_analysis_count = {count}\n"
            mount = f"[central_mode]\nenabled = {'yes' if central else 'no'}\nstorage_backend = local\n"
            mount += f"central_local_root = {root.with_name('mount')}\n"
            (conf / "cuckoo.conf").write_text(host.format(count=0) + mount, encoding="utf-8")
            if self.real:
                (root / "modules/processing/recorded.py").write_text(_RECORDED, encoding="utf-8")
                off = ("virustotal", "network", "CAPE", "strings", "url_analysis", "procmemory")
                modules = "[recorded]\nenabled = yes\n" + "".join(f"[{name}]\nenabled = no\n" for name in off)
                (conf / "processing.conf.d" / "test.conf").write_text(modules, encoding="utf-8")

    def process(self, tasks: Sequence[NodeTask]) -> None:
        """Process and report tasks that a machine has completed; in the real CAPE by its own engine."""
        with self.at_work() as root:
            if self.real:
                self._run_queue(root, tasks)
                return
            shares = [share for share in (tasks[::2], tasks[1::2]) if share]
            with ThreadPoolExecutor(2) as pool:
                for share in pool.map(lambda share: self._analyse(root, share), shares):
                    assert [seen["errors"] for seen in share] == [0] * len(share)

    def report(self, task: NodeTask, name: str = "report.json") -> dict[str, Any]:
        """A report file of a task."""
        path = self.root / "storage" / "analyses" / str(task.number) / "reports" / name
        return dict(json.loads(path.read_bytes()))

    def web(self, *paths: str) -> list[tuple[int, str]]:
        """Status and HTML of addresses of the real web interface; CAPE's own tables are made before."""
        manage = [PYTHON, "-W", "ignore", "manage.py", "migrate"]
        with self.at_work() as root:
            self._run(manage, root / "web")
            answer = self._run([PYTHON, "-W", "ignore", "-c", _WEB], root / "web", paths)
        return [(status, html) for status, html in json.loads(answer.splitlines()[-1])]

    def add_tasks(self, tasks: Sequence[NodeTask], status: str = "completed", *, central: bool = False) -> None:
        """Put tasks into CAPE's own database; ``central``: under the central machine's numbers."""
        facts = [
            {"id": task.central if central else task.number, "sha256": task.sha256, "started": task.started,
             "status": status, **task.known_as(self.mode)}
            for task in tasks
        ]  # fmt: skip
        self._run([PYTHON, "-W", "ignore", "-c", _ADD_TASKS], self.place, facts)

    def _analyse(self, root: Path, tasks: Sequence[NodeTask]) -> list[Any]:
        reports = {task.number: self._results_of(task) for task in tasks}
        reporting = ("litereport", "mongodb", "centralstore")
        modules = (*MODULES[1:], MODULES[0], *(f"modules.reporting.{name}" for name in reporting))
        return analyse_each(root, reports, modules)

    def _results_of(self, task: NodeTask) -> Path:
        known = task.known_as(self.mode)
        options = dict(part.split("=") for part in known["options"].split(",") if part)
        info = {"id": task.number, "started": task.started, "version": "2.5-CAPE", "category": "file",
                "options": options, "custom": known["custom"]}  # fmt: skip
        results = self.root.with_name(f"{self.name}-{task.number}.json")
        results.write_text(json.dumps({"info": info, **task.recorded}), encoding="utf-8")
        return results

    def _run_queue(self, root: Path, tasks: Sequence[NodeTask]) -> None:
        self.add_tasks(tasks)
        for task in tasks:
            folder = root / "storage" / "analyses" / str(task.number)
            (folder / "logs").mkdir(parents=True)
            (folder / "reports").mkdir()
            (folder / "recorded.json").write_text(json.dumps(task.recorded), encoding="utf-8")
            (folder / "analysis.conf").write_text("[analysis]\n", encoding="utf-8")
        conf = root / "custom/conf/cuckoo.conf.d/count.conf"
        conf.parent.mkdir(exist_ok=True)
        conf.write_text(f"[cuckoo]\nmax_analysis_count = {len(tasks)}\n", encoding="utf-8")
        program = ["utils/process.py", "auto", "-p", "2", "--disable-memory-limit"]
        self._run([PYTHON, "-W", "ignore", *program], root)

    @staticmethod
    def _run(command: Sequence[str], folder: Path, request: object = None) -> str:
        environment: Mapping[str, str] = os.environ | {"PYTHONPATH": str(REPOSITORY), "CAPE_AS_ROOT": "1"}
        done = subprocess.run(
            command, input=json.dumps(request), cwd=folder, env=environment,
            capture_output=True, text=True, check=False, timeout=HANG,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout
