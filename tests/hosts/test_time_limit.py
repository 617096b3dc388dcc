"""No analysis and no page waits longer than the limit, whatever hangs, and what was not stored in time is stored later.

What hangs here hangs for good. Each story would never end without the limit, and asserts that it ended by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.cuckoo2 import our_command, python2
from support.cuckoo2_client import CuckooProcess, client
from support.demo_home import DemoHome
from support.hangs import frozen_server, locked_sqlite, locked_table, silent_port, unanswering_file
from support.paths import REPOSITORY
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures
from support.time_limits import HANG, wait_until

from cuckoo_ml_plugin.engine.arrivals import spool as spool_module
from cuckoo_ml_plugin.engine.arrivals.spool import Spool
from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.cape import analysis as cape
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.hosts.worker import OPERATIONS, Resources
from cuckoo_ml_plugin.plumbing.time_limit import MOST_LEFT_BEHIND, OverdueError, within
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web.render import LOOKS
from cuckoo_ml_plugin.web.site import Addresses, Site

LIMIT = 5  # seconds; a busy machine scores in a small part of it


def with_settings(home: Path, store: str = "", limit: float = LIMIT) -> Path:
    text = f"[store]\nurl = {store}\n[host]\nnode = here\ntime_limit = {limit}\n"
    (home / "cuckooml.conf").write_text(text, encoding="utf-8")
    return home


def results_of(demo: DemoHome, number: int) -> dict[str, Any]:
    results = json.loads(demo.corpus.new[number].path.read_text(encoding="utf-8"))
    assert isinstance(results, dict)
    return results


def enriched(enricher: Enricher, results: dict[str, Any], task: str) -> dict[str, Any]:
    """The section; the analysis fails the test, instead of hanging it, where the limit is not kept."""
    return within(HANG, lambda: enricher.enrich(results, task, f"/nowhere/{task}/reports/report.json"))


def waiting_in(home: Path) -> list[Path]:
    return Spool(Home(home)).waiting()


def stored(store: str | Path, task: str) -> str:
    """The section that the store has of a task, "" where it has none."""
    found = Store.open(store)
    [analysis] = found.of_tasks([task])
    record = found.findings_of([analysis.analysis]).get(analysis.analysis)
    return record.section if record else ""


def working_threads() -> list[threading.Thread]:
    """The threads that do work within a limit, or were left behind."""
    return [thread for thread in threading.enumerate() if thread.name == "cuckoo-ml"]


def waits_in_server(url: str) -> bool:
    """Whether the server has a statement that waits for a lock."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(connection.execute(query).fetchall())


def hangs(
    kind: str, home: Path, request: pytest.FixtureRequest
) -> tuple[str, Callable[[], contextlib.AbstractContextManager[None]]]:
    """The URL of a store, and what makes it hang."""
    if kind == "locked SQLite":
        return f"sqlite:///{home / 'store.db'}", lambda: locked_sqlite(home)
    url = request.getfixturevalue("postgresql_url")
    return url, lambda: (locked_table if kind == "locked table" else frozen_server)(url)


@pytest.mark.parametrize("kind", ["locked SQLite", "locked table", "frozen PostgreSQL"])
def test_what_the_store_does_not_take_in_time_is_scored_and_stored_by_the_next_analysis(
    own_demo: DemoHome, kind: str, request: pytest.FixtureRequest
) -> None:
    store, hang = hangs(kind, own_demo.home, request)
    home = with_settings(own_demo.home, store)
    enricher = Enricher(home)
    assert wait_until(lambda: "not stored" not in enriched(enricher, results_of(own_demo, 0), "801")["message"])
    assert wait_until(lambda: not waiting_in(home) or not enricher.store_waiting())
    with hang():
        for task in ("802", "803"):
            section = enriched(enricher, results_of(own_demo, 1), task)
            assert section["status"] == "scored", section["message"]
            assert "The analysis was not stored" in section["message"]
            assert "It waits in the home" in section["message"]
            assert section["counts"]
        assert len(waiting_in(home)) == 2
        assert wait_until(lambda: not working_threads()), "what was given up has ended, in the server as well"
        assert kind != "locked table" or wait_until(lambda: not waits_in_server(store))
        assert Spool(Home(home)).store_hangs, "the next process need not find out again"
        late = enriched(Enricher(home), results_of(own_demo, 1), "804")
        assert "not stored" in late["message"]
    assert wait_until(lambda: "not stored" not in enriched(enricher, results_of(own_demo, 2), "805")["message"])
    assert wait_until(lambda: not waiting_in(home) or not enricher.store_waiting())
    assert waiting_in(home) == []
    assert not Spool(Home(home)).store_hangs
    for task in ("802", "803", "804", "805"):
        assert json.loads(stored(store, task))["status"] == "scored"
    assert Store.open(store).of_tasks(["802"])[0].node == "here"


@pytest.mark.parametrize("kind", ["locked SQLite", "locked table"])
def test_a_wait_for_a_lock_leaves_time_to_say_so(own_demo: DemoHome, kind: str, request: pytest.FixtureRequest) -> None:
    url, hang = hangs(kind, own_demo.home, request)
    with Store.open(url) as store:
        with hang(), pytest.raises(StoreError, match="another process kept it locked"):
            within(12, lambda: store.forget(["801"]))
        assert wait_until(lambda: store.forget(["801"]) == 0), "the store goes on"


def test_a_port_that_never_answers_ends_by_the_limit_too(own_demo: DemoHome) -> None:
    pytest.importorskip("psycopg")
    with silent_port() as url:
        home = with_settings(own_demo.home, url)
        section = enriched(Enricher(home), results_of(own_demo, 0), "801")
        assert section["status"] == "scored"
        assert "that did not end within" in section["message"]
        assert "p@" not in section["message"]
    with_settings(home)
    told = cuckoo_ml(home, "import", own_demo.corpus.new[1].path)
    assert "1 analysis of the host that had waited for the store: stored." in told.err
    assert json.loads(stored(home / "store.db", "801"))["status"] == "scored"


def socket_of_this_process(address: tuple[str, int]) -> socket.socket:
    """A copy of the socket that has this address at our end."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(link).startswith("socket:"):
                copy = socket.socket(fileno=os.dup(int(link.name)))
                if copy.family == socket.AF_INET and copy.getsockname() == address:
                    return copy
                copy.close()
    raise AssertionError("there is no such socket")


def test_a_server_that_cannot_be_reached_keeps_no_thread(own_demo: DemoHome) -> None:
    """Of one that is silent, the driver gives up the connection; of one that is gone from the network, the kernel."""
    pytest.importorskip("psycopg")
    with socket.socket() as silent, ThreadPoolExecutor(1) as aside:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        silent.settimeout(HANG)
        home = with_settings(own_demo.home, f"postgresql+psycopg://u:p@127.0.0.1:{silent.getsockname()[1]}/db")
        section = aside.submit(enriched, Enricher(home), results_of(own_demo, 0), "801")
        connection, client = silent.accept()
        with connection, socket_of_this_process(client) as ours:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 0
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 10
            section.result()
            seconds = 60  # the driver would wait for more than two minutes by itself
            assert wait_until(lambda: not working_threads(), seconds)


def test_a_file_system_that_does_not_answer_ends_by_the_limit(own_demo: DemoHome) -> None:
    home = with_settings(own_demo.home)
    with unanswering_file((home / "models" / "current").resolve() / "model.json"):
        section = enriched(Enricher(home), results_of(own_demo, 0), "801")
    assert section["status"] == "failed"
    assert f"time limit of {LIMIT} seconds" in section["message"]
    assert section["counts"], "the counts need no home"
    assert Enricher(home).store_waiting() == 1
    assert json.loads(stored(home / "store.db", "801"))["status"] == "scored"


def test_a_host_that_waits_less_than_the_limit_has_its_answer(own_demo: DemoHome) -> None:
    home = with_settings(own_demo.home, limit=3600)
    facts = (home / "models" / "current").resolve() / "model.json"
    facts.unlink()
    os.mkfifo(facts)  # nobody ever writes into it
    body = own_demo.corpus.new[0].path.read_bytes()
    answers: list[Any] = []  # of a thread without a limit of its own, which would end what hangs

    def ask() -> None:
        answers.append(OPERATIONS["enrich"](Resources(home), {"analysis": "801", "seconds": LIMIT}, body))

    host = threading.Thread(target=ask, daemon=True)
    host.start()
    host.join(60)  # what hangs for its share of the limit in the settings hangs for three minutes
    assert [answer["section"]["status"] for answer in answers] == ["failed"]
    assert len(waiting_in(home)) == 1


def test_the_counts_end_by_the_limit(own_demo: DemoHome) -> None:
    class Endless(dict[str, Any]):
        def get(self, *_: object) -> Any:
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(["sleep", str(HANG)], check=False, timeout=20)

    enricher = Enricher(with_settings(own_demo.home))
    enriched(enricher, results_of(own_demo, 0), "801")  # has read the limit
    section = within(HANG, lambda: enricher.counts(Endless(info={})))
    assert "time limit" in section["message"]


def test_analyses_that_wait_are_stored_by_a_refit_and_named_before(own_demo: DemoHome) -> None:
    home = with_settings(own_demo.home)
    with locked_sqlite(home):
        enriched(Enricher(home), results_of(own_demo, 0), "801")
    [file] = waiting_in(home)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "1 analysis" in cuckoo_ml(home, "refit", "--if-needed").err
    assert waiting_in(home) == []
    assert json.loads(stored(home / "store.db", "801"))["status"] == "scored"


def test_storing_what_waits_again_changes_nothing_and_what_nobody_can_read_is_set_aside(own_demo: DemoHome) -> None:
    home, store = with_settings(own_demo.home), own_demo.home / "store.db"
    enricher = Enricher(home)
    with locked_sqlite(home):
        enriched(enricher, results_of(own_demo, 0), "801")
    [file] = waiting_in(home)
    content = file.read_bytes()
    damaged = file.with_name(f"{'0' * 20}-{'0' * 16}.analysis")
    damaged.write_bytes(content[: len(content) // 2])
    assert enricher.store_waiting() == 1
    before = Store.open(store).count()
    file.write_bytes(content)  # as after a kill between storing and removing
    assert enricher.store_waiting() == 1
    assert Store.open(store).count() == before
    assert waiting_in(home) == []
    assert [path.name for path in Spool(Home(home)).unreadable()] == [damaged.with_suffix(".unreadable").name]


def test_a_full_spool_is_said(own_demo: DemoHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home, enricher = with_settings(own_demo.home), Enricher(own_demo.home)
    monkeypatch.setattr(spool_module, "MOST_FILES", 1)
    with locked_sqlite(home):
        assert "It waits in the home" in enriched(enricher, results_of(own_demo, 0), "801")["message"]
        message = enriched(enricher, results_of(own_demo, 1), "802")["message"]
    assert "spool is full (1 files)" in message
    assert "import its report" in message
    assert len(waiting_in(home)) == 1


def test_without_a_model_the_analysis_waits_as_well(demo: DemoHome, tmp_path: Path) -> None:
    home = with_settings(tmp_path)
    enriched(Enricher(home), results_of(demo, 0), "800")
    with locked_sqlite(home):
        section = enriched(Enricher(home), results_of(demo, 1), "801")
    assert "not stored" in section["message"]
    assert Enricher(home).store_waiting() == 1
    assert Store.open(home / "store.db").of_tasks(["801"])


def test_a_store_that_was_deleted_under_a_worker_is_noticed_and_said(own_demo: DemoHome) -> None:
    home = with_settings(own_demo.home)
    enricher = Enricher(home)
    enriched(enricher, results_of(own_demo, 0), "801")
    for file in home.glob("store.db*"):
        file.unlink()
    message = enriched(enricher, results_of(own_demo, 1), "802")["message"]
    assert "was deleted or moved away while it was in use" in message
    assert "It waits in the home" in message
    assert "not stored" not in enriched(enricher, results_of(own_demo, 2), "803")["message"]
    assert waiting_in(home) == []
    assert {row.task for row in Store.open(home / "store.db").of_tasks(["802", "803"])} == {"802", "803"}


def test_a_store_in_whose_place_another_was_put_is_used_at_once(own_demo: DemoHome, tmp_path: Path) -> None:
    home = with_settings(own_demo.home)
    shutil.copy(home / "store.db", tmp_path / "copy.db")
    enricher = Enricher(home)
    enriched(enricher, results_of(own_demo, 0), "801")
    for name in ("store.db-wal", "store.db-shm"):
        (home / name).unlink(missing_ok=True)
    (tmp_path / "copy.db").replace(home / "store.db")
    assert "not stored" not in enriched(enricher, results_of(own_demo, 1), "802")["message"]
    tasks = {row.task for row in Store.open(home / "store.db").of_tasks(["801", "802"])}
    assert tasks == {"802"}, "the analysis of the store that is gone went with it"


def home_and_site(demo: DemoHome, store: str) -> tuple[Path, dict[str, Any], Site]:
    """A home with its store at a URL, the section of an analysis in it, and the pages."""
    home = with_settings(demo.home, store)
    section = enriched(Enricher(home), results_of(demo, 0), "801")
    return home, section, Site(Home(home), LOOKS["cuckoo2"], Addresses("/cuckooml/", "/analysis/{}/"))


def test_pages_end_by_the_limit_with_a_message(
    own_demo: DemoHome,
    postgresql_url: str,  # noqa: F811
) -> None:
    _, section, site = home_and_site(own_demo, postgresql_url)
    assert site.page("", {}).status == 200
    with locked_table(postgresql_url):
        for path in ("anomalies", "births"):
            page = within(HANG, partial(site.page, path, {}))
            assert page.status == 503
            assert "seconds" in page.html or "busy" in page.html
        panel = within(HANG, lambda: site.panel(section))
        assert panel
        assert wait_until(lambda: not waits_in_server(postgresql_url)), "the server itself ends what nobody waits for"
    assert site.page("", {}).status == 200


def test_pages_of_a_frozen_server_end_by_the_limit(
    own_demo: DemoHome,
    postgresql_url: str,  # noqa: F811
) -> None:
    home, section, site = home_and_site(own_demo, postgresql_url)
    other = Site(Home(home), LOOKS["cuckoo2"], Addresses("/cuckooml/", "/analysis/{}/"))
    for its in (site, other):  # each keeps a connection, on which it will ask and never be answered
        assert its.page("anomalies", {}).status == 200
    with frozen_server(postgresql_url):
        page = within(HANG, lambda: site.page("anomalies", {}))
        assert (page.status, f"was not ready within {LIMIT} seconds" in page.html) == (503, True)
        assert within(HANG, lambda: other.panel(section)), "it has no links, or is a line that says why"
        header = {"look": "cuckoo2", "path": "anomalies", "seconds": 1.0}
        answer = within(HANG, lambda: OPERATIONS["page"](Resources(home), header, b""))
        assert (answer["status"], "was not ready within 0.9 seconds" in answer["html"]) == (503, True)
    assert wait_until(lambda: site.page("anomalies", {}).status == 200)


def test_threads_that_hang_do_not_add_up() -> None:
    silent, other = socket.socketpair()
    begun: list[bool] = []
    with silent, other:
        for _ in range(MOST_LEFT_BEHIND):
            with pytest.raises(OverdueError):
                within(0.01, lambda: silent.recv(1))
        with pytest.raises(OverdueError):
            within(HANG, lambda: begun.append(True))
        silent.shutdown(socket.SHUT_RDWR)
    assert not begun
    assert wait_until(_works)


def _works() -> bool:
    try:
        return within(HANG, lambda: True)
    except OverdueError:
        return False


FROZEN = """#!/bin/sh
kill -STOP $$
"""


def test_a_request_of_cuckoo_waits_where_the_worker_is_frozen(own_demo: DemoHome, tmp_path: Path) -> None:
    home = with_settings(own_demo.home, limit=HANG)
    frozen = tmp_path / "frozen"
    frozen.write_text(FROZEN, encoding="utf-8")
    frozen.chmod(0o755)

    def process(worker: Path, timeout: int, *tasks: str) -> list[dict[str, Any]]:
        with CuckooProcess(python2(), home, worker, timeout) as cuckoo:
            return [within(HANG, partial(cuckoo.enrich, results_of(own_demo, 0), task)) for task in tasks]

    first, second, third = process(frozen, LIMIT, "801", "802", "803")
    for section in (first, second, third):
        assert section["status"] == "failed"
        assert "the analysis waits in the home" in section["message"]
    assert "did not answer in time" in first["message"]
    assert "was not waited for" in second["message"]
    assert "was not waited for" in third["message"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in waiting_in(home)] == [0o600] * 3

    [section] = process(our_command(tmp_path), HANG, "804")
    assert section["status"] == "scored", section["message"]
    assert wait_until(lambda: not waiting_in(home) or not Enricher(home).store_waiting())
    assert {row.task for row in Store.open(home / "store.db").of_tasks(["801", "802", "803", "804"])} == {
        "801", "802", "803", "804"
    }  # fmt: skip
    assert json.loads(stored(home / "store.db", "801"))["status"] == "scored"


def test_cuckoo_leaves_a_part_of_the_time_for_ending_its_worker_and_keeping_the_request() -> None:
    module, waited = client(), []
    module._settings = lambda: ("cuckoo-ml", "/home", LIMIT, "/log")  # type: ignore[attr-defined]
    module._ask_within = lambda header, body, seconds, start: waited.append(seconds)  # type: ignore[attr-defined]
    for share in (module.COUNTS_SHARE, 1.0):
        module._ask({}, b"", "801", share)
    assert max(waited) < LIMIT


def test_the_worker_stores_in_its_idle_time(own_demo: DemoHome) -> None:
    home = with_settings(own_demo.home)
    with locked_sqlite(home):
        enriched(Enricher(home), results_of(own_demo, 0), "801")
    command = [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(home), "worker"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert wait_until(lambda: not waiting_in(home))
        worker.communicate()
    assert json.loads(stored(home / "store.db", "801"))["status"] == "scored"


def test_client_and_home_agree_on_the_spool() -> None:
    module = client()
    assert Home(Path("/home")).spool.name == module.SPOOL
    assert (module.MOST_WAITING, module.MOST_WAITING_BYTES) == (spool_module.MOST_FILES, spool_module.MOST_BYTES)


def test_a_home_of_cape_on_a_file_system_that_does_not_answer_costs_no_analysis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(*_: object) -> Path:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["sleep", str(HANG)], check=False, timeout=20)
        return tmp_path

    monkeypatch.setattr(cape, "home_of", hangs)
    monkeypatch.setattr("cuckoo_ml_plugin.hosts.enrich.TIME_LIMIT", 0.4)
    results: dict[str, Any] = {"info": {"id": 1}}
    assert "does not answer" in cape.counts(results, str(tmp_path), None)["message"]
    cape.enrich(results, {"id": 1}, str(tmp_path), None)
    assert results["cuckooml"]["status"] == "failed"
