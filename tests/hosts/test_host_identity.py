"""A host's modules say what an analysis is known by: its node, task, start and sample, also in a distributed CAPE."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import mongomock
import pytest
from support.command import cuckoo_ml
from support.paths import REPOSITORY
from support.time_limits import HANG

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.refresh import DocumentChange
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.hosts.mongodb import MongoReports
from cuckoo_ml_plugin.report.identity import identity_of
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web.links import Links

CAPE, CAPE_PYTHON = os.environ.get("CAPE_ROOT"), os.environ.get("CAPE_PYTHON", "")
STARTED = "2026-02-03 10:00:00"


def report_of(task: int, sample: str = "ab", started: str = STARTED, **info: Any) -> dict[str, Any]:
    """The results of a task of CAPE."""
    return {
        "info": {"id": task, "started": started, "version": "2.5-CAPE", **info},
        "target": {"category": "file", "file": {"name": f"{sample}.exe", "sha256": sample * 32}},
        "behavior": {"processes": [], "summary": {"mutexes": [f"m-{sample}"], "files": ["C:\\a.txt"]}},
    }


class Node:
    """A node whose host reports to a store that it shares with others."""

    def __init__(self, name: str, folder: Path, store: Path) -> None:
        self.name = name
        self.home = Home(folder / name / "cuckooml").create()
        host = f"[host]\nnode = {name}\ntime_limit = {HANG}\n"
        self.home.settings_file.write_text(f"[store]\nurl = sqlite:///{store}\n{host}")
        self.storage = folder / "CAPEv2" / "storage" / "analyses"  # the same path on every node
        self.enricher = Enricher(self.home.path)

    def report(self, results: dict[str, Any], *, task: int | None = None, central: bool = False) -> Path:
        """What CAPE does with a task: our module stores it, then its report.json is written."""
        number = task or results["info"]["id"]
        path = self.storage / str(number) / "reports" / "report.json"
        section = self.enricher.enrich(results, str(number), path, central=central)
        assert "not stored" not in section["message"], section
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results))
        return path

    def links(self, *analyses: str) -> list[str]:
        """The addresses that this node's pages link analyses to."""
        links = Links("/cuckooml/", "/analysis/{}/", self.storage)
        links.look_up(Engine(self.home), analyses)
        return [links.to_analysis(analysis) for analysis in analyses]


@pytest.fixture
def nodes(tmp_path: Path) -> tuple[Node, Node]:
    return Node("nodeA", tmp_path, tmp_path / "store.db"), Node("nodeB", tmp_path, tmp_path / "store.db")


def stored_by_id(node: Node) -> dict[str, StoredAnalysis]:
    with Store.open(node.home.store_url(node.home.settings())) as store:
        return {stored.analysis: stored for stored in store.analyses_in_order()}


def test_each_node_links_to_its_own_pages_alone(nodes: tuple[Node, Node]) -> None:
    for node, sample in zip(nodes, ("aa", "bb"), strict=True):
        for task in (5, 6, 7):
            node.report(report_of(task, sample))
    stored = stored_by_id(nodes[0])
    assert {name: one.target for name, one in stored.items()} == {
        "5": "aa.exe", "6": "aa.exe", "7": "aa.exe",
        "nodeB/5": "bb.exe", "nodeB/6": "bb.exe", "nodeB/7": "bb.exe",
    }  # fmt: skip
    assert nodes[0].links("5", "nodeB/5") == ["/analysis/5/", "/cuckooml/analysis/?id=nodeB%2F5"]
    assert nodes[1].links("5", "nodeB/5") == ["/cuckooml/analysis/?id=5", "/analysis/5/"]


def test_a_number_that_began_again_links_to_the_run_that_has_it_now(nodes: tuple[Node, Node]) -> None:
    node = nodes[0]
    node.report(report_of(1, "aa"))
    assert cuckoo_ml(node.home.path, "import", node.storage, "--json").json["stored"] == 1
    assert len(stored_by_id(node)) == 1, "the tree that the host stored is not stored twice"
    with Store.open(node.home.store_url(node.home.settings())) as store:
        store.set_labels({"1": "zeus"})
    path = node.report(report_of(1, "bb", "2026-05-01 10:00:00"))
    assert {name: one.label for name, one in stored_by_id(node).items()} == {"1": "zeus", "1@2026-05-01": None}
    assert node.links("1", "1@2026-05-01") == ["/cuckooml/analysis/?id=1", "/analysis/1/"]
    for _ in range(2):
        node.report(report_of(1, "bb", "2026-05-01 10:00:00"))
        assert cuckoo_ml(node.home.path, "import", node.storage, "--json").code == 0
    assert len(stored_by_id(node)) == 2
    shutil.rmtree(path.parents[1])
    assert node.links("1@2026-05-01") == ["/cuckooml/analysis/?id=1%402026-05-01"], "no dead link"


def test_a_colleagues_file_and_the_hosts_task_with_its_number_stay_apart(
    nodes: tuple[Node, Node], tmp_path: Path
) -> None:
    node = nodes[0]
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "17.json").write_text(json.dumps(report_of(17, "cc", "2026-01-01 00:00:00")))
    assert cuckoo_ml(node.home.path, "import", tmp_path / "mail").code == 0
    node.report(report_of(17, "aa"))
    stored = stored_by_id(node)
    assert {name: one.target for name, one in stored.items()} == {"17": "cc.exe", "nodeA/17": "aa.exe"}
    assert node.links("17", "nodeA/17") == ["/cuckooml/analysis/?id=17", "/analysis/17/"]
    client: Any = mongomock.MongoClient("mongodb://localhost/cape")
    client["cape"]["analysis"].insert_one(report_of(17, "aa"))
    documents = MongoReports("mongodb://localhost/cape", client)
    assert documents.put(stored["17"].identity, {"schema": 1}, {}, "m") == DocumentChange(0, other_run=True)
    assert documents.put(stored["nodeA/17"].identity, {"schema": 1}, {}, "m") == DocumentChange(1)


DISTRIBUTED: list[tuple[dict[str, Any], bool, str]] = [
    ({}, False, "17"),
    ({"options": {"main_task_id": "500"}}, False, "500"),
    ({"options": {"main_task_id": "no number"}}, False, "17"),
    ({"options": "main_task_id=500"}, False, "17"),  # Cuckoo's options are a text
    ({"custom": "job_id=ui-600"}, True, "600"),
    ({"custom": "job_id=ui-600"}, False, "17"),  # this CAPE is no worker of a central one
    ({"custom": "ui-600"}, True, "17"),
    ({"custom": "a=b,job_id=ui-600"}, True, "17"),
    ({"custom": "job_id=local-17"}, True, "17"),
    ({"job_id": "ui-600"}, False, "600"),  # centralstore has run
    ({"custom": "job_id=ui-600", "options": {"main_task_id": "500"}}, True, "500"),
]
"""What CAPE knows of task 17 (``info``), whether it is a worker of a central CAPE, and the id of the document."""


@pytest.mark.parametrize(("info", "central", "task"), DISTRIBUTED)
def test_a_distributed_task_has_the_id_of_the_central_web_interface(
    nodes: tuple[Node, Node], info: dict[str, Any], central: bool, task: str
) -> None:
    """By the rules of CAPE's mongodb.py and centralstore.py at commit 4da22e64."""
    node = nodes[0]
    node.report(report_of(17, **info), central=central)
    [(name, stored)] = stored_by_id(node).items()
    assert (name, stored.task, stored.local_task) == (task, task, "17")
    assert node.links(name) == [f"/analysis/{task}/"]
    assert nodes[1].links(name) == ([f"/analysis/{task}/"] if task != "17" else ["/cuckooml/analysis/?id=17"])
    client: Any = mongomock.MongoClient("mongodb://localhost/cape")
    document = report_of(int(task), **info)  # as CAPE files it
    client["cape"]["analysis"].insert_many([document, report_of(int(task), "ff")])
    documents = MongoReports("mongodb://localhost/cape", client)
    assert documents.put(stored.identity, {"schema": 1}, {}, "m") == DocumentChange(1)
    assert [found["_id"] for found in client["cape"]["analysis"].find({"cuckooml.schema": 1})] == [document["_id"]]
    assert identity_of(document).run == identity_of(report_of(17, **info)).run, "one run, wherever it is read"


@pytest.mark.skipif(not (CAPE and CAPE_PYTHON), reason="no CAPE_ROOT and CAPE_PYTHON")
def test_the_real_cape_files_reports_under_the_same_ids() -> None:
    """``info.job_id`` is what centralstore leaves behind, and text options are Cuckoo's."""
    table = [row for row in DISTRIBUTED if "job_id" not in row[0] and not isinstance(row[0].get("options"), str)]
    table = [({"options": {}} | info, central, task) for info, central, task in table]
    asked = json.dumps([[info, central] for info, central, _ in table])
    script = REPOSITORY / "tests" / "support" / "cape_document_ids.py"
    environment = os.environ | {"PYTHONPATH": CAPE or "", "CAPE_AS_ROOT": "1"}
    done = subprocess.run(
        [CAPE_PYTHON, script, asked], cwd=CAPE, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [int(task) for _, _, task in table]


def test_two_workers_tasks_of_a_central_machine_are_refreshed_under_their_central_ids(
    nodes: tuple[Node, Node],
) -> None:
    for node, main, sample in ((nodes[0], 500, "aa"), (nodes[1], 501, "bb")):
        node.report(report_of(17, sample, options={"main_task_id": str(main)}))
    assert {name: (one.node, one.local_task) for name, one in stored_by_id(nodes[0]).items()} == {
        "500": ("nodeA", "17"),
        "501": ("nodeB", "17"),
    }
    assert nodes[0].links("500", "501") == ["/analysis/500/", "/analysis/501/"]


@pytest.mark.parametrize("started", ["2026-02-03 10:00:00", "2026-02-03T10:00:00", {"$date": "2026-02-03T10:00:00Z"}])
def test_a_start_is_the_same_however_it_is_written(started: Any) -> None:
    assert identity_of(report_of(1, started=started)) == identity_of(report_of(1))


def test_urls_are_samples_too() -> None:
    urls = [{"category": "url", "url": f"https://{'a' * 400}/{page}"} for page in (1, 2)]
    runs = {identity_of({"info": report_of(1)["info"], "target": target}).run for target in urls}
    assert len(runs) == 2
    assert "" not in runs
