"""A CAPE of several tenants: its tasks with owners, and its pages as one of its users sees them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from support.paths import REPOSITORY
from support.time_limits import HANG

_ADD_TASKS = """
import datetime, json, os, sys
sys.path.insert(0, os.getcwd())
from lib.cuckoo.core import database
db = database.init_database(dsn=os.environ["CAPE_DSN"])
from lib.cuckoo.core.data.samples import Sample
from lib.cuckoo.core.data.task import Task
from sqlalchemy.orm import Session
samples = {}
with Session(db.engine) as session, session.begin():
    for facts in json.load(sys.stdin):
        task = Task("/tmp/sample.exe")
        task.id, task.category, task.status, task.platform = facts["id"], "file", "reported", "windows"
        task.user_id, task.tenant_id, task.visibility = facts["user"], facts["tenant"], facts["visibility"]
        task.options = facts["options"]
        task.started_on = datetime.datetime.fromisoformat(facts["started"])
        sha256 = facts["sha256"]
        sample = samples.get(sha256) or session.query(Sample).filter_by(sha256=sha256).first()
        if sample is None:
            parts = {"sha1": sha256[:40], "md5": sha256[:32], "crc32": sha256[:8], "sha512": sha256 * 2}
            sample = Sample(file_size=1, file_type="PE32", sha256=sha256, **parts)
            session.add(sample)
            session.flush()
        samples[sha256] = sample
        task.sample_id = sample.id
        session.add(task)
"""
_VIEW = """
import json, os, sys
from types import SimpleNamespace
root, home, tenant, admin = sys.argv[1:5]
sys.path[:0] = [os.path.join(root, "web"), root] if os.path.isdir(os.path.join(root, "web", "web")) else [root]
from pathlib import Path
from lib.cuckoo.core import database
if os.environ["CAPE_DSN"] != "broken":
    database.init_database(dsn=os.environ["CAPE_DSN"])
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.cape.web.reader import reader_of
from cuckoo_ml_plugin.web.render import CAPE
from cuckoo_ml_plugin.web.site import Addresses, Site
profile = SimpleNamespace(tenant_id=int(tenant) or None, tenant=None, is_tenant_admin=False)
user = SimpleNamespace(id=1000 + int(tenant), pk=1000 + int(tenant), is_authenticated=int(tenant) > 0,
                       is_superuser=admin == "admin", userprofile=profile)
site = Site(Home(Path(home)), CAPE, Addresses("/cuckooml/", "/analysis/{}/"), Path(root) / "storage" / "analyses")
request = json.load(sys.stdin)
reader = reader_of(user)
answers = []
for path, query in request["pages"]:
    answer = site.page(path, query, reader)
    answers.append([answer.status, answer.html])
print(json.dumps({"pages": answers, "panel": site.panel(request["section"], request["analysis"], reader)}))
"""


@dataclass(frozen=True)
class OwnedTask:
    """A task of CAPE's database."""

    id: int
    sha256: str
    started: str
    user: int
    tenant: int
    visibility: str = "tenant"
    options: str = ""

    @classmethod
    def of(
        cls, task: int, report: Mapping[str, Any], tenant: int, visibility: str = "tenant", **more: Any
    ) -> OwnedTask:
        """The task of a report; the user of a tenant has the number 1000 and the tenant's."""
        sha256, started = report["target"]["file"]["sha256"], report["info"]["started"]
        return cls(task, sha256, started, more.pop("user", 1000 + tenant), tenant, visibility, **more)


@dataclass(frozen=True)
class TenantCape:
    """A CAPE with several tenants and the plugin in it."""

    root: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(REPOSITORY), "CAPE_DSN": f"sqlite:///{self.root}/tenants.db"}

    def serve_tenants(self, enabled: bool = True) -> None:
        """Set ``[multitenancy]`` in CAPE's own configuration."""
        conf = self.root / "custom" / "conf" / "cuckoo.conf"
        conf.write_text(f"[multitenancy]\nenabled = {'yes' if enabled else 'no'}\n", encoding="utf-8")

    def add_tasks(self, tasks: Iterable[OwnedTask]) -> None:
        self._run(_ADD_TASKS, [], [asdict(task) for task in tasks])

    def change_task(self, task: int | str, **values: Any) -> dict[str, Any]:
        """Change columns of a task; returns what its owner, sample and start were before."""
        columns = ("tenant_id", "sample_id", "started_on")
        with closing(sqlite3.connect(self.root / "tenants.db")) as database, database:
            query = f"select {', '.join(columns)} from tasks where id = ?"
            before = dict(zip(columns, database.execute(query, (task,)).fetchone(), strict=True))
            for column, value in values.items():
                database.execute(f"update tasks set {column} = ? where id = ?", (value, task))
        return before

    def view(
        self,
        tenant: int,
        pages: Iterable[tuple[str, dict[str, str]]],
        section: Any = None,
        analysis: str = "",
        *,
        admin: bool = False,
    ) -> tuple[list[tuple[int, str]], str]:
        """Status and HTML of pages, and the panel of a section, for the user of a tenant (0: a stranger)."""
        arguments = [str(self.root), str(self.home), str(tenant), "admin" if admin else "user"]
        request = {"pages": list(pages), "section": section, "analysis": analysis}
        answer = json.loads(self._run(_VIEW, arguments, request).splitlines()[-1])
        return [(status, html) for status, html in answer["pages"]], answer["panel"]

    def _run(self, program: str, arguments: list[str], request: object) -> str:
        python = os.environ.get("CAPE_PYTHON", sys.executable)
        done = subprocess.run(
            [python, "-W", "ignore", "-c", program, *arguments], input=json.dumps(request), cwd=self.root,
            env=self.environment, capture_output=True, text=True, check=False, timeout=HANG,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout
