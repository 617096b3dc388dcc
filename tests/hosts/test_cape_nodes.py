"""Two nodes of a distributed CAPE at the same path, with the same task ids, on one store and one database of reports.

Runs on our stand-in for CAPE, and with CAPE_ROOT and CAPE_PYTHON in the real one: its own queue, engine and modules.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.cape_nodes import CAPE, CENTRAL_MODE, MAIN_TASK, PYTHON, CapeNode, NodeTask
from support.cape_tenants import TenantCape
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.node_writers import WRITERS
from support.paths import REPOSITORY
from support.postgresql import postgresql_server  # noqa: F401 -- a fixture
from support.time_limits import HANG
from support.web_server import end, free_port, wait_for_port

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.store import Store

FITTED, NEW = range(1, 14), 14
"""The numbers of the tasks on each node: before the first model, and after it."""
OFFSETS = {"nodeA": 500, "nodeB": 600}
WITH_REAL = ["stand-in", *(["real"] if CAPE and PYTHON else [])]


@dataclass
class Fleet:
    """The nodes, what they have processed, and what they share."""

    nodes: list[CapeNode]
    tasks: dict[int, tuple[CapeNode, NodeTask]]
    store_url: str
    mongodb: str
    documents: Any
    central: list[int]

    def document(self, task: int) -> dict[str, Any]:
        """The one document of a task of the central machine that has a section."""
        [document] = self.documents.find({"info.id": task, "cuckooml": {"$exists": True}})
        return dict(document)


@pytest.fixture(scope="module")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port, log = free_port(), tmp_path_factory.mktemp("mongodb") / "log"
    server = REPOSITORY / "tests" / "support" / "mongodb_server.py"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, server, str(port)], stdout=file, stderr=file, start_new_session=True
        )
    try:
        wait_for_port(port, process, log)
        yield port
    finally:
        end(process)


def database(server: str, name: str) -> str:
    """The URL of a new database."""
    import psycopg

    with psycopg.connect(
        host=server.partition("?host=")[2], user="tester", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return server.format(database=name)


def tasks_of(demo: DemoHome) -> dict[str, list[NodeTask]]:
    """Each node's tasks: every family was analysed on both nodes, each sample on one."""
    families: defaultdict[str, list[Path]] = defaultdict(list)
    for sample in demo.corpus.fitted:
        if "cape/storage" in str(sample.path) and sample.role == "member" and is_of_today(sample.path):
            families[sample.family].append(sample.path)
    largest = sorted(families.values(), key=len, reverse=True)[:3]
    count = len(FITTED) + 1
    paths = [path for position in range(count) for members in largest for path in members[position : position + 1]]
    assert len(paths) >= 2 * count
    halves = {"nodeA": paths[0 : 2 * count : 2], "nodeB": paths[1 : 2 * count : 2]}
    return {
        name: [NodeTask(number, OFFSETS[name] + number, path) for number, path in enumerate(half, 1)]
        for name, half in halves.items()
    }


def is_of_today(report: Path) -> bool:
    """Whether a report has detections as CAPE has them since 2022; its signatures' scores need them so."""
    return not isinstance(json.loads(report.read_bytes()).get("detections"), str)


@pytest.fixture(scope="module", params=WITH_REAL)
def cape(request: pytest.FixtureRequest) -> bool:
    """Whether it is the real CAPE."""
    return bool(request.param == "real")


@pytest.fixture(scope="module", params=[MAIN_TASK, CENTRAL_MODE])
def fleet(
    request: pytest.FixtureRequest,
    cape: bool,
    demo: DemoHome,
    mongodb: int,
    postgresql_server: str,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Fleet:
    """Both nodes have processed their tasks, the model is fitted and in force on both, and each has a new analysis."""
    import pymongo

    place = tmp_path_factory.mktemp("fleet") / "CAPEv2"
    name = f"fleet_{'real' if cape else 'ours'}_{request.param.replace(' ', '_')}"
    store_url = database(postgresql_server, name)
    client: Any = pymongo.MongoClient("127.0.0.1", mongodb)
    given = tasks_of(demo)
    nodes = [CapeNode(node, place, cape, request.param) for node in given]
    tasks = {task.central: (node, task) for node in nodes for task in given[node.name]}
    for node in nodes:
        node.install(store_url, mongodb, name)
        node.process(given[node.name][: len(FITTED)])
    for node in nodes:
        with node.at_work():
            done = cuckoo_ml(node.home, "refit")
            assert done.code == 0, done.err
        node.process(given[node.name][len(FITTED) :])
    url = f"mongodb://127.0.0.1:{mongodb}/{name}"
    return Fleet(nodes, tasks, store_url, url, client[name]["analysis"], sorted(tasks))


def test_the_store_knows_every_analysis_by_its_central_id(fleet: Fleet) -> None:
    with Store.open(fleet.store_url) as store:
        stored = {record.analysis: record for record in store.analyses_in_order()}
    assert sorted(stored, key=int) == [str(task) for task in fleet.central]
    for central, (node, task) in fleet.tasks.items():
        record = stored[str(central)]
        known = (record.node, record.local_task, record.identity.sample, record.identity.started)
        assert known == (node.name, str(task.number), task.sha256, task.started.replace(" ", "T"))
    assert len({record.source_path for record in stored.values()}) == len(FITTED) + 1, "the paths are the same"


def test_each_document_has_the_finding_of_its_own_run_with_central_ids(fleet: Fleet) -> None:
    assert fleet.documents.count_documents({}) == len(fleet.central)
    for central, (_, task) in fleet.tasks.items():
        document = fleet.document(central)
        assert document["target"]["file"]["file_ref"] == task.sha256
        if task.number == NEW:
            assert_scored(fleet, document["cuckooml"])


def assert_scored(fleet: Fleet, section: dict[str, Any]) -> None:
    """A section that names analyses of both nodes, each by its id and its sample."""
    assert section["status"] == "scored", section["message"]
    assert section["cluster"]
    assert section["similar"]
    for similar in section["similar"]:
        assert similar["sha256"] == fleet.tasks[int(similar["analysis"])][1].sha256


def test_the_short_report_and_the_signature_state_the_finding(fleet: Fleet) -> None:
    """By the host's own litereport, which has order 1."""
    for node in fleet.nodes:
        [task] = [task for of, task in fleet.tasks.values() if of is node and task.number == NEW]
        lite, report = node.report(task, "lite.json"), node.report(task)
        assert lite["cuckooml"] == report["cuckooml"]
        assert_scored(fleet, lite["cuckooml"])
        cluster = lite["cuckooml"]["cluster"]
        for shown in (lite, report, fleet.document(task.central)):
            [signature] = [entry for entry in shown["signatures"] if entry["name"] == "behaves_like"]
            assert f"({cluster['id']}, probability {cluster['probability']:.2f})" in signature["description"]
        assert (lite["info"]["id"], report["info"]["id"]) == (NEW, NEW), "the worker's own number"


def test_a_refresh_writes_into_the_documents_of_its_own_runs_and_into_no_other(fleet: Fleet) -> None:
    own = {central: fleet.document(central)["_id"] for central in fleet.central}
    foreign: list[Any] = []
    for central in fleet.central[:4]:  # a worker that knows no central ids, and a task that ran again
        document = fleet.document(central)
        info = document["info"]
        for changed in (
            {"target": {"file": {"file_ref": "cd" * 32}}},
            {"info": info | {"started": "2020-01-01 00:00:00"}},
        ):
            foreign.append(document | changed | {"cuckooml": None, "_id": f"{central}-{len(foreign)}"})
    fleet.documents.insert_many(foreign)
    try:
        for document in fleet.documents.find({"signatures.name": "behaves_like"}):
            signatures = [
                entry | {"description": "of a model before"} if entry["name"] == "behaves_like" else entry
                for entry in document["signatures"]
            ]
            fleet.documents.update_one({"_id": document["_id"]}, {"$set": {"signatures": signatures}})
        first = fleet.nodes[0]
        with first.at_work() as root:
            done = cuckoo_ml(first.home, "refit")
            assert done.code == 0, done.err
            analyses = root / "storage" / "analyses"
            done = cuckoo_ml(first.home, "refresh", "--analyses", analyses, "--mongodb", fleet.mongodb, "--json")
            assert done.code == 0, done.err
            model = Engine(Home(first.home)).require_model().id
        assert done.json["documents"] == len(fleet.central)
        assert done.json["reports"] == NEW, "the reports that lie on this node"
        assert done.json["failed"] == done.json["other_runs"] == []
        for central, (node, task) in fleet.tasks.items():
            document = fleet.documents.find_one({"_id": own[central]})
            assert document["cuckooml"]["model"]["id"] == model
            assert all(int(similar["analysis"]) in fleet.tasks for similar in document["cuckooml"]["similar"])
            if task.number == NEW:
                cluster = document["cuckooml"]["cluster"]
                stated = (
                    ["Behaves like {name} ({id}, probability {probability:.2f})".format(**cluster)] if cluster else []
                )
                ours = [entry["description"] for entry in document["signatures"] if entry["name"] == "behaves_like"]
                assert ours == stated, "as the section says, and gone where it names no cluster"
            if node is first:
                assert node.report(task)["cuckooml"] == document["cuckooml"]
        kept = {document["_id"]: document for document in fleet.documents.find({"cuckooml": None})}
        assert kept == {document["_id"]: document for document in foreign}
    finally:
        fleet.documents.delete_many({"cuckooml": None})


def test_a_nodes_pages_link_to_the_pages_of_the_central_machine(fleet: Fleet) -> None:
    central, section = a_clustered_analysis(fleet)
    node = fleet.nodes[0]
    with node.at_work() as root:
        pages = [(f"clusters/{section['cluster']['id']}", {}), ("analysis", {"id": str(central)})]
        answers, panel = TenantCape(root, node.home).view(0, pages, section, str(central), admin=True)
    assert [status for status, _ in answers] == [200, 200]
    links = set(re.findall(r'href="/analysis/(\d+)/"', panel + "".join(html for _, html in answers)))
    assert {similar["analysis"] for similar in section["similar"]} <= links <= {str(task) for task in fleet.tasks}
    assert {fleet.tasks[int(number)][0].name for number in links} == set(OFFSETS), "of both nodes"


def a_clustered_analysis(fleet: Fleet) -> tuple[int, dict[str, Any]]:
    """One whose document has the signature, and its section."""
    document = fleet.documents.find_one({"signatures.name": "behaves_like"})
    return document["info"]["id"], document["cuckooml"]


def test_the_web_interface_of_the_central_machine_shows_finding_and_signature(fleet: Fleet, cape: bool) -> None:
    if not cape:
        pytest.skip("the real CAPE's web interface: no CAPE_ROOT and CAPE_PYTHON")
    central, section = a_clustered_analysis(fleet)
    node, task = fleet.nodes[0], fleet.tasks[central][1]
    with node.at_work():
        node.add_tasks([task], "reported", central=True)
    [(status, html)] = node.web(f"/analysis/{central}/")
    assert status == 200
    assert "Behaves like {name} ({id}, probability {probability:.2f})".format(**section["cluster"]) in html
    for similar in section["similar"]:
        assert f'href="/analysis/{similar["analysis"]}/"' in html


# -- all at once -------------------------------------------------------------------------------------------------------
@dataclass
class Writers:
    """The processes of two nodes that share a store and nothing else, and what each was given last."""

    nodes: dict[str, subprocess.Popen[bytes]]
    home: Path
    sections: dict[tuple[str, int], list[dict[str, Any]]]

    def process(self, work: dict[str, list[list[dict[str, Any]]]]) -> None:
        """Give each process of each node its reports, all at the same time."""
        for node, shares in work.items():
            pipe = self.nodes[node].stdin
            assert pipe is not None
            pipe.write(json.dumps(shares).encode() + b"\n")
            pipe.flush()
        given: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        for node, shares in work.items():
            for share, sections in zip(shares, self.answer(node), strict=True):
                for report, section in zip(share, sections, strict=True):
                    assert (section["status"], section["message"]) == ("scored", "")
                    given[node, report["info"]["id"]].append(section)
        self.sections |= given

    def answer(self, node: str) -> Any:
        """The answer of a node to one line."""
        pipe = self.nodes[node].stdout
        assert pipe is not None
        return json.loads(pipe.readline())


@pytest.fixture
def writers(demo: DemoHome, postgresql_server: str, tmp_path: Path) -> Iterator[Writers]:  # noqa: F811
    url = database(postgresql_server, "all_at_once")
    program = REPOSITORY / "tests" / "support" / "node_writers.py"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    nodes = {}
    for node in OFFSETS:
        home = tmp_path / node
        shutil.copytree(demo.home / "models", home / "models", symlinks=True)
        settings = f"[store]\nurl = {url}\n[host]\nnode = {node}\ntime_limit = {HANG}\n"
        (home / "cuckooml.conf").write_text(settings, encoding="utf-8")
        nodes[node] = subprocess.Popen(
            [sys.executable, program, home], env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
    try:
        for process in nodes.values():
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield Writers(nodes, home, {})
    finally:
        for process in nodes.values():
            end(process)


AT_ONCE = range(1, 2 * WRITERS + 1)
"""The numbers of the tasks on each node, two for each process."""


def run_on(demo: DemoHome, node: str, number: int, again: bool = False) -> dict[str, Any]:
    """What a run did; every fourth sample ran on both nodes, under one number, from one second on."""
    paths = [sample.path for sample in demo.corpus.fitted if "cape/storage" in str(sample.path)]
    report: dict[str, Any] = json.loads(paths[number + len(paths) // 2 * (node == "nodeB")].read_bytes())
    name = f"{node}-{number}"
    report["info"] = {"id": number, "started": "2026-03-01 10:00:00", "version": "2.5-CAPE", "category": "file"}
    report["target"]["file"]["sha256"] = sha256((str(number) if number % 4 == 0 else name).encode()).hexdigest()
    report["behavior"]["summary"]["mutexes"] = [f"{name}-again" if again else name]
    report["detections"] = [{"family": f"{name}-again" if again else name, "details": []}]
    return report


def test_16_processes_of_two_nodes_with_the_same_paths_and_ids_store_at_once(demo: DemoHome, writers: Writers) -> None:
    """Nothing is lost, nobody gets another's record, and a run that is processed again replaces its own alone."""
    first = {(node, number): run_on(demo, node, number) for node in OFFSETS for number in AT_ONCE}
    writers.process({node: [[first[node, k], first[node, k + WRITERS]] for k in AT_ONCE[:WRITERS]] for node in OFFSETS})
    before = assert_stored(first, writers)
    numbers = AT_ONCE[1::2]  # also of the samples that ran on both nodes
    again = {(node, number): run_on(demo, node, number, again=True) for node in OFFSETS for number in numbers}
    twice = {node: [[again[node, n] for n in numbers[k % 4 :: 4]] for k in range(WRITERS)] for node in OFFSETS}
    writers.process(twice)  # each run by two processes at once
    after = assert_stored(first | again, writers)
    assert {run: stored.analysis for run, stored in after.items()} == {
        run: stored.analysis for run, stored in before.items()
    }
    assert {run: stored.stored_at for run, stored in after.items() if run not in again} == {
        run: stored.stored_at for run, stored in before.items() if run not in again
    }


def assert_stored(
    runs: dict[tuple[str, int], dict[str, Any]], writers: Writers
) -> dict[tuple[str, int], StoredAnalysis]:
    """Every run is stored once with what is its own, under an id that means no other; returns the analyses."""
    engine = Engine(Home(writers.home))
    stored = list(engine.store.analyses_in_order())
    by_run = {(analysis.node, int(analysis.task)): analysis for analysis in stored}
    assert len(stored) == len(by_run) == len(runs) == 2 * len(AT_ONCE)
    findings = engine.store.findings_of(analysis.analysis for analysis in stored)
    for (node, number), report in runs.items():
        analysis = by_run[node, number]
        mutex, family = report["behavior"]["summary"]["mutexes"][0], report["detections"][0]["family"]
        assert analysis.identity.sample == analysis.sha256 == report["target"]["file"]["sha256"]
        assert (analysis.local_task, analysis.analysed_at) == (str(number), "2026-03-01T10:00:00")
        assert [token for token in analysis.unpack()[0] if token.startswith("mutex:")] == [f"mutex:{mutex.lower()}"]
        assert analysis.label == family.lower()
        section = json.loads(findings[analysis.analysis].section)
        assert [run for run, given in writers.sections.items() if section in given] == [(node, number)]
        assert analysis.analysis in (str(number), f"{node}/{number}")
        assert {other.node for other in engine.store.of_tasks([str(number)])} == set(OFFSETS)
    for number in AT_ONCE:
        ids = [by_run[node, number].analysis for node in OFFSETS]
        assert str(number) in ids, "the shortest id is not wasted"
    return by_run
