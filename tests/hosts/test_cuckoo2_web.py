"""The real web interface of Cuckoo 2.0.7 with the plugin in it, read with a real browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from support.browser import LISTS, Reader
from support.command import cuckoo_ml
from support.cuckoo2 import RECORDED, Cuckoo, fresh_cuckoo, our_command
from support.demo_home import DemoHome
from support.hostile_values import LONG, SCRIPTS, hostile_section
from support.time_limits import HANG
from support.web_server import end, free_port, wait_for, wait_for_port

from cuckoo_ml_plugin.store.store import Store

__all__ = ["fresh_cuckoo"]

HOSTILE = "211"
REPORTED_WITHOUT_US = "212"
NO_MODEL = "213"
MOST_PIXELS = 300  # that the panel is high, until it is opened
# MongoDB in memory, in the web interface's own process, filled with reports.
SITECUSTOMIZE = """
import json, os
try:
    import mongomock, mongomock.gridfs, pymongo
except ImportError:
    pass
else:
    mongomock.gridfs.enable_gridfs_integration()
    client = mongomock.MongoClient()
    for path in filter(None, os.environ.get("CUCKOO_TEST_REPORTS", "").split(":")):
        client["cuckoo"].analysis.insert_one(json.load(open(path)))
    pymongo.MongoClient = lambda *_, **__: client
"""


@dataclass
class Web:
    """The web interface at work."""

    cuckoo: Cuckoo
    address: str
    html_report: Path


def set_options(file: Path, section: str, **options: object) -> None:
    lines, inside, missing = [], False, dict(options)
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            inside = line.strip() == f"[{section}]"
        key = line.partition("=")[0].strip()
        lines.append(f"{key} = {missing.pop(key)}" if inside and key in missing else line)
    assert not missing
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def reports(cuckoo: Cuckoo) -> list[Path]:
    """The report that was made, and copies of it: hostile, without us, and without a model."""
    made = json.loads(cuckoo.report().read_text(encoding="utf-8"))
    hostile = hostile_section()
    for key in [key for key in hostile["counts"] if set(key) & set(".$\0")]:
        del hostile["counts"][key]  # MongoDB takes no such key
    others: dict[str, Any] = {
        HOSTILE: hostile,
        REPORTED_WITHOUT_US: None,
        NO_MODEL: {"schema": 1, "status": "no_model", "message": "There is no model yet: 3 of 20 are stored."},
    }
    paths = [cuckoo.report()]
    for task, section in others.items():
        report = json.loads(json.dumps(made))
        report["info"]["id"] = int(task)
        report["target"]["file"]["name"] = SCRIPTS[1] if task == HOSTILE else "sample.exe"
        report.pop("cuckooml")
        if section is not None:
            report["cuckooml"] = section
        path = cuckoo.folder / f"report-{task}.json"
        path.write_text(json.dumps(report), encoding="utf-8")
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def web(fresh_cuckoo: Cuckoo, demo: DemoHome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """An analysis that Cuckoo processed with our modules, shown by Cuckoo's own web interface."""
    folder = tmp_path_factory.mktemp("web")
    shutil.copytree(fresh_cuckoo.folder, folder / "cwd", symlinks=True)
    cuckoo = Cuckoo(fresh_cuckoo.environment, folder / "cwd")
    (folder / "commands").mkdir()
    cuckoo.install(our_command(folder / "commands"))
    shutil.copytree(demo.home, cuckoo.home, symlinks=True, dirs_exist_ok=True)
    hostile_labels(cuckoo.home)
    conf = cuckoo.folder / "conf" / "reporting.conf"
    set_options(conf, "singlefile", enabled="yes", html="yes")
    cuckoo.process()
    wait_long_for_pages(cuckoo)
    listening = accept_connections()
    set_options(conf, "mongodb", enabled="yes", port=listening.getsockname()[1])
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "site"),
        "CUCKOO_TEST_REPORTS": ":".join(map(str, reports(cuckoo))),
    }
    program = [cuckoo.environment / "bin" / "python", "-W", "ignore", cuckoo.environment / "bin" / "cuckoo"]
    command = [*map(str, program), "--cwd", str(cuckoo.folder), "web", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/cuckooml/style.css", process, folder / "web.log")
        yield Web(cuckoo, f"http://127.0.0.1:{port}", cuckoo.report().with_name("report.html"))
    finally:
        end(process)
        listening.close()
        cuckoo.uninstall()


def wait_long_for_pages(cuckoo: Cuckoo) -> None:
    """Let a page take as long as a busy machine needs, in the place of the few seconds that a reader would wait."""
    patch = (
        "from cuckoo.common import cuckooml as client\n"
        "ask = client.ask\n"
        f"client.ask = lambda op, fields, body, seconds: ask(op, fields, body, {HANG})\n"
    )
    with (cuckoo.folder / "web" / "local_settings.py").open("a", encoding="utf-8") as settings:
        settings.write(patch)


def hostile_labels(home: Path) -> None:
    """The clusters get hostile names."""
    with Store.open(home / "store.db") as store:
        names = [stored.analysis for stored in store.analyses_in_order(behaviours=False)]
        store.set_labels(dict.fromkeys(names[:40], SCRIPTS[0]))
    assert cuckoo_ml(home, "refit").code == 0


def accept_connections() -> socket.socket:
    """Where Cuckoo asks whether there is a MongoDB."""
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        try:
            while True:
                listening.accept()[0].close()
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    return listening


@pytest.fixture
def reader(browser: Any) -> Iterator[Reader]:
    reader = Reader(browser)
    yield reader
    reader.close()


def summary(web: Web, task: str = RECORDED) -> str:
    return f"{web.address}/analysis/{task}/summary"


def section(web: Web) -> dict[str, Any]:
    written = json.loads(web.cuckoo.report().read_text(encoding="utf-8"))["cuckooml"]
    assert written["status"] == "scored"
    return dict(written)


def test_the_analysis_page_has_the_panel_above_the_file(web: Web, reader: Reader) -> None:
    assert reader.open(summary(web)) == 200
    panel = reader.text(".cml")
    finding = section(web)
    for similar in finding["similar"][:3]:
        assert similar["analysis"] in panel
    assert finding["anomaly"]["reasons"][0]["text"] in panel
    below = reader.page.locator("#file").bounding_box()
    box = reader.page.locator(".cml").bounding_box()
    assert 0 < box["y"] < below["y"] <= box["y"] + box["height"] + 60
    assert box["height"] <= MOST_PIXELS
    assert reader.page.locator(".cml h4.cml-title i.fa").count() == 1, "as Cuckoo's own headings"
    assert not reader.broken_words(".cml-similar td, .cml-tag, .cml-fact dt")
    assert not reader.overflowing(".cml, .cml-box")
    assert not reader.errors
    assert not reader.elsewhere(web.address)
    reader.keep("cuckoo-panel")
    reader.page.click(".cml summary")
    opened = reader.text(".cml")
    assert finding["evidence"][0]["value"] in opened
    assert all(similar["analysis"] in opened for similar in finding["similar"])
    assert all(reason["text"] in opened for reason in finding["anomaly"]["reasons"])
    score = f"{finding['anomaly']['score'] * 100:.1f} %"
    assert opened.count(score) == 1, "the score is said once"
    reader.keep("cuckoo-panel-details", whole=True)


def test_cuckoos_own_navigation_leads_to_our_pages_and_to_the_panel(web: Web, reader: Reader) -> None:
    reader.open(summary(web))
    assert reader.page.locator("#analysis-nav #cuckooml-sidebar").get_attribute("href").endswith("/summary/#cuckooml")
    assert reader.page.locator("#cuckooml.cml").count() == 1
    assert reader.page.locator("#analysis-nav li").count() > 5, "Cuckoo's own entries"
    reader.follow("#primary-nav #cuckooml-nav")
    assert reader.page.url == f"{web.address}/cuckooml/"
    assert reader.page.locator("#primary-nav li.active #cuckooml-nav").count() == 1
    reader.follow("#primary-nav a[title=Dashboard]")
    assert reader.page.locator("#cuckooml-nav").count() == 1
    assert reader.page.locator("li.active #cuckooml-nav").count() == 0
    reader.open(summary(web, REPORTED_WITHOUT_US))
    assert reader.page.locator("#cuckooml-sidebar").count() == 0


def test_a_piece_of_evidence_leads_to_the_analyses_that_show_it(web: Web, reader: Reader) -> None:
    reader.open(summary(web))
    reader.page.click(".cml summary")
    value = reader.text(".cml-evidence a >> nth=0")
    reader.follow(".cml-evidence a >> nth=0")
    assert "/cuckooml/behaviour/" in reader.page.url
    assert value in reader.text(".cml")
    assert RECORDED in reader.text(".cml-list")
    assert not reader.overflowing(".cml, .cml-box")
    reader.keep("cuckoo-behaviour")
    reader.follow(f".cml-list a >> text='{RECORDED}'")
    assert reader.page.url.rstrip("/") == summary(web)


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("theme", ["default", "night"])
def test_pages_fit_into_the_window_by_day_and_by_night(web: Web, browser: Any, width: int, theme: str) -> None:
    reader = Reader(browser, width=width)
    reader.page.context.add_cookies([{"name": "theme", "value": theme, "url": web.address}])
    own = {"panel": f"/analysis/{RECORDED}/summary", "analysis": f"/cuckooml/analysis/?id={RECORDED}"}
    reader.keep_fitting_pages(web.address, {**own, **LISTS}, f"cuckoo-{{}}-{width}-{theme}")
    reader.close()


def test_a_reader_walks_from_the_panel_to_a_similar_analysis_its_cluster_and_back(web: Web, reader: Reader) -> None:
    reader.open(summary(web))
    first = section(web)["similar"][0]
    reader.follow(f".cml-similar a >> text='{first['analysis']}'")
    assert "/cuckooml/analysis/" in reader.page.url  # the demo's analyses have no page in this Cuckoo
    assert first["analysis"] in reader.text(".cml-title >> nth=0")
    reader.follow(".cml-menu a >> text='Clusters'")
    reader.keep("cuckoo-clusters")
    assert reader.page.locator(".cml-list tbody tr").count() > 5
    reader.follow(".cml-list tbody a >> nth=0")
    assert "/cuckooml/clusters/" in reader.page.url
    assert reader.page.locator(".cml-list tbody tr").count() > 3
    reader.keep("cuckoo-cluster", whole=True)
    reader.follow(".cml-menu a >> text='Anomalies'")
    reader.page.select_option("select[name=days]", "all")
    reader.follow(".cml-form button")
    assert RECORDED in reader.text(".cml-list")
    reader.keep("cuckoo-anomalies")
    reader.follow(f".cml-list a >> text='{RECORDED}'")
    assert reader.page.url.rstrip("/") == summary(web)  # Cuckoo's own page of its own analysis
    reader.follow(".cml-menu a >> text='Model'")
    assert section(web)["model"]["id"] in reader.text(".cml")
    reader.keep("cuckoo-model", whole=True)
    assert not reader.errors


def test_clusters_are_searched_and_sorted_by_clicks(web: Web, reader: Reader) -> None:
    reader.open(f"{web.address}/cuckooml/")
    reader.page.fill("input[name=q]", "velmora")
    reader.follow(".cml-form button")
    names = reader.page.locator(".cml-list tbody tr td:first-child a").all_inner_texts()
    assert names
    assert all("velmora" in row for row in reader.page.locator(".cml-list tbody tr").all_inner_texts())
    reader.follow(".cml-list thead a >> text='Cluster'")
    assert "q=velmora" in reader.page.url
    ordered = reader.page.locator(".cml-list tbody tr td:first-child a").all_inner_texts()
    assert ordered == sorted(names, key=str.lower)


@pytest.mark.parametrize("width", [1280, 420])
def test_a_hostile_report_is_text_and_nothing_else(web: Web, browser: Any, width: int) -> None:
    reader = Reader(browser, width=width)
    assert reader.open(summary(web, HOSTILE)) == 200
    reader.page.click(".cml summary")
    reader.settle()
    assert SCRIPTS[0] in reader.text(".cml")
    assert f"({len(LONG):,} characters)" in reader.text(".cml")
    assert reader.page.locator(".cml script, .cml img, .cml iframe, .cml base").count() == 0
    assert not reader.overflowing(".cml, .cml-box")
    reader.keep(f"cuckoo-hostile-{width}", whole=True)
    for path in ("/cuckooml/", "/cuckooml/clusters/c0/", "/cuckooml/anomalies/?days=all", "/cuckooml/model/"):
        assert reader.open(web.address + path) == 200
        assert not reader.overflowing(".cml, .cml-box")
    assert not reader.dialogs
    assert not reader.elsewhere(web.address)
    reader.close()


def test_the_panel_says_that_there_is_no_model_and_is_missing_without_a_section(web: Web, reader: Reader) -> None:
    reader.open(summary(web, NO_MODEL))
    assert "There is no model yet: 3 of 20 are stored." in reader.text(".cml")
    reader.keep("cuckoo-no-model")
    reader.open(summary(web, REPORTED_WITHOUT_US))
    assert reader.page.locator(".cml").count() == 0
    assert reader.page.locator("#file").count() == 1


def test_at_night_the_panel_is_dark(web: Web, reader: Reader) -> None:
    reader.page.context.add_cookies([{"name": "theme", "value": "night", "url": web.address}])
    reader.open(summary(web))
    colour = reader.page.eval_on_selector(
        ".cml", "panel => getComputedStyle(panel).getPropertyValue('--cml-warn').trim()"
    )
    assert colour == "#ff9a66"
    reader.keep("cuckoo-night")


def test_our_pages_require_cuckoos_secret(web: Web) -> None:
    conf = web.cuckoo.folder / "conf" / "cuckoo.conf"
    before = conf.read_text(encoding="utf-8")
    set_options(conf, "cuckoo", web_secret="only for us")
    try:
        fetch = [web.cuckoo.environment / "bin" / "python", "-W", "ignore", "-c", ASK_ALL, str(web.cuckoo.folder)]
        done = subprocess.run(list(map(str, fetch)), capture_output=True, text=True, check=False)
        answers = json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr
        assert set(map(tuple, answers)) == {(302, "http://testserver/secret/")}, answers
    finally:
        conf.write_text(before, encoding="utf-8")


ASK_ALL = """
import json, os, sys
import mongomock, mongomock.gridfs, pymongo
mongomock.gridfs.enable_gridfs_integration()
pymongo.MongoClient = mongomock.MongoClient
import cuckoo
from cuckoo.misc import set_cwd
set_cwd(sys.argv[1])
os.chdir(os.path.join(cuckoo.__path__[0], "web"))
sys.path.insert(0, ".")
os.environ["DJANGO_SETTINGS_MODULE"] = "cuckoo.web.web.settings"
import django
django.setup()
from django.test import Client
paths = ("/", "/cuckooml/", "/cuckooml/model/", "/cuckooml/clusters/c0/", "/cuckooml/style.css")
print(json.dumps([(answer.status_code, answer.get("Location")) for answer in map(Client().get, paths)]))
"""


def test_cuckoos_html_report_carries_the_panel(web: Web, reader: Reader) -> None:
    reader.open(web.html_report.as_uri())
    assert section(web)["verdict"]["text"] in reader.text(".cml")
    reader.page.click(".cml summary")
    assert section(web)["model"]["id"] in reader.text(".cml")
    assert not reader.overflowing(".cml")
    assert not [url for url in reader.requested if not url.startswith("file:")]
    reader.keep("cuckoo-html-report")


def test_cuckoos_rest_api_returns_the_section(web: Web, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "api.log"
    command = [web.cuckoo.environment / "bin" / "cuckoo", "--cwd", web.cuckoo.folder, "api", "-p", port]
    with log.open("wb") as output:
        api = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, start_new_session=True)
    try:
        token = next(
            line.partition("=")[2].strip()
            for line in (web.cuckoo.folder / "conf" / "cuckoo.conf").read_text(encoding="utf-8").splitlines()
            if line.startswith("api_token")
        )
        headers = {"Authorization": f"Bearer {token}"}
        request = Request(f"http://127.0.0.1:{port}/tasks/report/{RECORDED}/json", headers=headers)
        wait_for_port(port, api, log)
        with urlopen(request, timeout=HANG) as response:
            assert json.load(response)["cuckooml"] == section(web)
    finally:
        end(api)
