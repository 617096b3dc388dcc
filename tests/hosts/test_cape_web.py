"""The real web interface of CAPE with the plugin in it, read with a real browser.

Runs where ``CAPE_ROOT`` is a checkout of CAPE, ``CAPE_PYTHON`` the Python of an environment with CAPE's requirements
and our dependencies, and ``nx-27017`` (from PyPI, a server that speaks MongoDB's protocol) is on PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from support.browser import LISTS, Reader
from support.cape_analysis import MODULES, analyse, cape_sample
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.hostile_values import LONG, SCRIPTS, hostile_section
from support.paths import REPOSITORY
from support.time_limits import HANG
from support.web_server import end, free_port, wait_for, wait_for_port

ROOT = os.environ.get("CAPE_ROOT")
PYTHON = os.environ.get("CAPE_PYTHON", "")
MONGODB = shutil.which("nx-27017")
pytestmark = pytest.mark.skipif(not (ROOT and PYTHON and MONGODB), reason="no CAPE_ROOT, CAPE_PYTHON and nx-27017")

MOST_PIXELS = 300  # that the panel is high, until it is opened
SCORED, HOSTILE, NO_MODEL, WITHOUT_US = 7, 8, 9, 10
CONFIGURATION = """
[mongodb]
enabled = yes
host = 127.0.0.1
port = {port}
db = cuckoo

[reporthtml]
enabled = yes
screenshots = no

[malheur]
enabled = {malheur}
"""
INSERT = """
import json, sys, pymongo
analyses = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]))["cuckoo"].analysis
for path in sys.argv[2:]:
    analyses.insert_one(json.load(open(path)))
"""
ADD_TASK = """
import sys
sys.path.insert(0, ".")
from lib.cuckoo.core.data.task import Task
from lib.cuckoo.core.database import init_database
database = init_database()
with database.session.begin():
    task = Task("sample.exe")
    task.id, task.category, task.status, task.platform = int(sys.argv[1]), "file", "reported", "windows"
    database.session.add(task)
"""


@dataclass
class Web:
    """The web interface at work."""

    root: Path
    address: str
    section: dict[str, Any]


@pytest.fixture(scope="module", params=["no", "yes"], ids=["malheur off", "malheur on"])
def web(request: pytest.FixtureRequest, demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """An analysis that CAPE's own runners reported with our modules, shown by CAPE's own web interface."""
    folder = tmp_path_factory.mktemp("cape")
    root = folder / "CAPE"
    shutil.copytree(str(ROOT), root, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    mongodb, port = free_port(), free_port()
    (root / "custom" / "conf").mkdir(parents=True, exist_ok=True)
    configuration = CONFIGURATION.format(port=mongodb, malheur=request.param)
    (root / "custom" / "conf" / "reporting.conf").write_text(configuration, encoding="utf-8")
    done = cuckoo_ml(root, "install", "--host", "cape", "--root", root, "--refit", "none")
    assert done.code == 0, done.err
    home = root / "custom" / "cuckooml"
    shutil.copytree(demo.home, home, symlinks=True, dirs_exist_ok=True)
    written, _ = analyse(root, cape_sample(demo), SCORED, (*MODULES, "modules.reporting.reporthtml"))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "CAPE_AS_ROOT": "1"}
    processes: list[subprocess.Popen[bytes]] = []
    with (folder / "web.log").open("wb") as log:

        def start(*command: object, cwd: Path = folder) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                list(map(str, command)), cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            processes.append(process)
            return process

        try:
            own_files = ("--pid-file", folder / "nx-27017.pid", "--log-file", folder / "nx-27017.log")
            served = ("--db", "memory", "--host", "127.0.0.1", "-p", mongodb, "--threaded")
            wait_for_port(mongodb, start(str(MONGODB), *served, *own_files), folder / "web.log")
            paths = reports(written, folder)
            subprocess.run([PYTHON, "-c", INSERT, str(mongodb), *map(str, paths)], check=True, capture_output=True)
            add_task = [PYTHON, "-c", ADD_TASK, str(SCORED)]
            subprocess.run(add_task, cwd=root, env=environment, check=True, capture_output=True)
            manage = [PYTHON, "-W", "ignore", "manage.py"]
            subprocess.run([*manage, "migrate"], cwd=root / "web", env=environment, check=True, capture_output=True)
            server = start(*manage, "runserver", "--noreload", f"127.0.0.1:{port}", cwd=root / "web")
            wait_for(f"http://127.0.0.1:{port}/cuckooml/style.css", server, folder / "web.log")
            yield Web(root, f"http://127.0.0.1:{port}", written["cuckooml"])
        finally:
            for process in processes:
                end(process)


def reports(written: dict[str, Any], folder: Path) -> list[Path]:
    hostile = hostile_section()
    for key in [key for key in hostile["counts"] if set(key) & set(".$\0")]:
        del hostile["counts"][key]  # MongoDB takes no such key
    sections: dict[int, Any] = {
        SCORED: written["cuckooml"],
        HOSTILE: hostile,
        NO_MODEL: {"schema": 1, "status": "no_model", "message": "There is no model yet: 3 of 20 are stored."},
        WITHOUT_US: None,
    }
    paths = []
    for task, section in sections.items():
        report = json.loads(json.dumps(written))
        report["info"]["id"] = task
        for process in report["behavior"]["processes"]:
            process["calls"] = []  # CAPE keeps them in a collection of their own
        report.pop("cuckooml")
        if section is not None:
            report["cuckooml"] = section
        paths.append(folder / f"report-{task}.json")
        paths[-1].write_text(json.dumps(report), encoding="utf-8")
    return paths


@pytest.fixture
def reader(browser: Any) -> Iterator[Reader]:
    reader = Reader(browser, height=1000)
    yield reader
    reader.close()


def test_the_first_tab_has_the_panel_below_capes_detections(web: Web, reader: Reader) -> None:
    assert reader.open(f"{web.address}/analysis/{SCORED}/") == 200
    panel = reader.page.locator("#overview #information > .cml")
    assert panel.count() == 1
    assert web.section["cluster"]["name"] in panel.inner_text()
    box = panel.bounding_box()
    assert box["height"] <= MOST_PIXELS
    above = reader.page.locator("#information :text('Detection(s):')").bounding_box()
    below = reader.page.locator("#information :text('Analysis Details')").bounding_box()
    assert above["y"] + above["height"] <= box["y"]
    assert box["y"] + box["height"] <= below["y"]
    assert panel.locator("h5.cml-title i.fas").count() == 1, "as CAPE's own headings"
    assert not reader.broken_words(".cml-similar td, .cml-tag, .cml-fact dt")
    assert not reader.overflowing("#overview .cml, .cml-box")
    reader.keep("cape-panel")
    panel.locator("summary").click()
    assert web.section["evidence"][0]["value"] in panel.inner_text()
    reader.keep("cape-panel-details", whole=True)


def test_capes_own_navigation_leads_to_our_pages(web: Web, reader: Reader) -> None:
    for path in (f"/analysis/{SCORED}/", "/analysis/", "/dashboard/"):
        reader.open(web.address + path)
        assert reader.page.locator("header .navbar-nav #cuckooml-nav").count() == 1
        assert reader.page.locator("header .navbar-nav .nav-item").count() > 5, "CAPE's own entries"
    reader.follow("#cuckooml-nav")
    assert reader.page.url == f"{web.address}/cuckooml/"
    assert not reader.errors


def test_a_piece_of_evidence_leads_to_the_analyses_that_show_it(web: Web, reader: Reader) -> None:
    reader.open(f"{web.address}/analysis/{SCORED}/")
    reader.page.click("#overview .cml summary")
    value = reader.text("#overview .cml-evidence a >> nth=0")
    reader.follow("#overview .cml-evidence a >> nth=0")
    assert "/cuckooml/behaviour/" in reader.page.url
    assert value in reader.text(".cml")
    assert reader.page.locator(".cml-list tbody tr").count() >= 1
    assert not reader.overflowing(".cml, .cml-box")
    reader.keep("cape-behaviour")


@pytest.mark.parametrize("width", [1280, 420])
def test_pages_fit_into_the_window(web: Web, browser: Any, width: int) -> None:
    reader = Reader(browser, width=width)
    pages = {"panel": f"/analysis/{SCORED}/", **LISTS}
    reader.keep_fitting_pages(web.address, pages, f"cape-{{}}-{width}")
    reader.close()


def test_the_first_page_after_a_restart_has_the_panel_and_our_entry(web: Web) -> None:
    seen = as_a_stranger(web, "none.conf", "")
    assert 'id="cuckooml"' in seen["first"]
    assert 'id="cuckooml-nav"' in seen["first"]


def test_the_tab_of_similar_analyses_is_back(web: Web, reader: Reader) -> None:
    reader.open(f"{web.address}/analysis/{SCORED}/")
    assert reader.page.locator("#similar").count() == 1
    reader.page.click("#similar-tab")
    reader.page.wait_for_selector("#similar .cml", state="visible")
    assert all(similar["sha256"] in reader.text("#similar") for similar in web.section["similar"])
    reader.page.wait_for_selector("#similar.show", state="visible")
    reader.page.wait_for_timeout(500)  # CAPE's tab fades in
    reader.keep("cape-similar")


def test_a_reader_walks_through_our_pages(web: Web, reader: Reader) -> None:
    reader.open(f"{web.address}/analysis/{SCORED}/")
    reader.follow("#overview .cml .cml-fact a >> nth=0")
    assert web.section["cluster"]["name"] in reader.text(".cml-title")
    reader.keep("cape-cluster", whole=True)
    for name in ("Clusters", "Anomalies", "Model"):
        reader.follow(f".cml-menu a >> text='{name}'")
        assert not reader.overflowing(".cml, .cml-box")
        reader.keep(f"cape-{name.lower()}")
    assert web.section["model"]["id"] in reader.text(".cml")
    assert not reader.errors


@pytest.mark.parametrize("width", [1280, 420])
def test_a_hostile_report_is_text_and_nothing_else(web: Web, browser: Any, width: int) -> None:
    reader = Reader(browser, width=width)
    assert reader.open(f"{web.address}/analysis/{HOSTILE}/") == 200
    reader.page.click("#overview .cml summary")
    reader.settle()
    text = reader.text("#overview .cml")
    assert SCRIPTS[0] in text
    assert f"({len(LONG):,} characters)" in text
    assert reader.page.locator(".cml script, .cml img, .cml iframe, .cml base").count() == 0
    assert not reader.overflowing("#overview .cml, .cml-box")
    assert not reader.dialogs
    assert not [url for url in reader.elsewhere(web.address) if "elsewhere.invalid" in url]
    reader.keep(f"cape-hostile-{width}")
    reader.close()


def test_the_panel_says_that_there_is_no_model_and_is_missing_without_a_section(web: Web, reader: Reader) -> None:
    reader.open(f"{web.address}/analysis/{NO_MODEL}/")
    assert "There is no model yet: 3 of 20 are stored." in reader.text("#overview .cml")
    reader.open(f"{web.address}/analysis/{WITHOUT_US}/")
    assert reader.page.locator("#overview .cml").count() == 0
    assert reader.page.locator("#overview").count() == 1


def test_a_changed_page_of_capes_is_still_shown(web: Web, reader: Reader) -> None:
    template = web.root / "web" / "templates" / "analysis" / "report.html"
    before = template.read_text(encoding="utf-8")
    template.write_text(before.replace('id="overview"', 'id="first"').replace('id="reportTabs"', 'id="tabs"'), "utf-8")
    try:
        assert reader.open(f"{web.address}/analysis/{SCORED}/") == 200
        assert web.section["cluster"]["name"] in reader.text(".cml >> nth=0")
        assert reader.page.locator("#similar-tab").count() == 0
        assert reader.page.locator("#behavior-tab").count() == 1
        assert not reader.errors
    finally:
        template.write_text(before, encoding="utf-8")


def test_the_html_report_carries_the_panel(web: Web, reader: Reader) -> None:
    reader.open((web.root / f"storage/analyses/{SCORED}/reports/report.html").as_uri())
    assert web.section["verdict"]["text"] in reader.text(".cml")
    reader.page.click(".cml summary")
    assert web.section["model"]["id"] in reader.text(".cml")
    assert not reader.overflowing(".cml")
    reader.keep("cape-html-report")


def test_the_rest_api_returns_the_section(web: Web) -> None:
    with urlopen(f"{web.address}/apiv2/tasks/get/report/{SCORED}/json/", timeout=HANG) as answer:
        assert json.load(answer)["cuckooml"] == web.section


ASK = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "web.settings"
sys.path.insert(0, ".")
import django
django.setup()
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from cuckoo_ml_plugin.hosts.cape.web.reader import reader_of
from cuckoo_ml_plugin.hosts.cape.web.site import site
paths = ("/cuckooml/", "/cuckooml/model/", "/cuckooml/clusters/c0/", "/cuckooml/analysis/?id=7")
first = Client().get("/analysis/7/").content.decode()
answers = [(answer.status_code, answer.get("Location", "")) for answer in map(Client().get, paths)]
section = json.loads(sys.argv[1])
print(json.dumps({"answers": answers, "first": first, "panel": site().panel(section, "7", reader_of(AnonymousUser()))}))
"""


def as_a_stranger(web: Web, name: str, configuration: str) -> dict[str, Any]:
    """What a user who has not logged in gets under a configuration of CAPE's."""
    conf = web.root / "custom" / "conf" / name
    conf.write_text(configuration, encoding="utf-8")
    try:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "CAPE_AS_ROOT": "1"}
        done = subprocess.run(
            [PYTHON, "-W", "ignore", "-c", ASK, json.dumps(web.section)], cwd=web.root / "web", env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(json.loads(done.stdout.splitlines()[-1]))
    finally:
        conf.unlink()


def test_our_pages_require_a_login_where_cape_does(web: Web) -> None:
    seen = as_a_stranger(web, "web.conf", "[web_auth]\nenabled = yes\n")
    assert all(status == 302 and to.startswith("/accounts/login/") for status, to in seen["answers"]), seen
    assert web.section["similar"][0]["analysis"] in seen["panel"]


def test_with_several_tenants_a_stranger_sees_none_of_their_analyses(web: Web) -> None:
    seen = as_a_stranger(web, "cuckoo.conf", "[multitenancy]\nenabled = yes\n")
    assert [status for status, _ in seen["answers"]] == [200, 403, 404, 404]
    assert web.section["similar"]
    assert not [
        similar["analysis"] for similar in web.section["similar"] if f">{similar['analysis']}<" in seen["panel"]
    ]
    assert f"{len(web.section['similar'])} similar analyses of other tenants are left out." in seen["panel"]
    assert web.section["cluster"]["name"] not in seen["panel"]
