"""Real Cuckoo 2.0.7 with the plugin: each analysis is reported, with a finding or with the reason why it has none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.command import cuckoo_ml
from support.cuckoo2 import Cuckoo, fresh_cuckoo, our_command
from support.demo_home import DemoHome
from support.paths import REPOSITORY
from support.reports import case
from support.time_limits import HANG

from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_plugin.web.render import CUCKOO2
from cuckoo_ml_plugin.web.site import Addresses, Site

__all__ = ["fresh_cuckoo"]

SCHEMA = json.loads((files("cuckoo_ml_plugin.finding") / "section.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def cuckoo(fresh_cuckoo: Cuckoo, tmp_path: Path) -> Cuckoo:
    """A working directory with the plugin, installed by our own command, and no model."""
    shutil.copytree(fresh_cuckoo.folder, tmp_path / "cwd", symlinks=True)
    own = Cuckoo(fresh_cuckoo.environment, tmp_path / "cwd")
    (tmp_path / "commands").mkdir()
    own.install(our_command(tmp_path / "commands"))
    return own


@pytest.fixture
def taught(cuckoo: Cuckoo, demo: DemoHome) -> Cuckoo:
    """A working directory with the plugin and the demo's model."""
    shutil.copytree(demo.home, cuckoo.home, symlinks=True, dirs_exist_ok=True)
    return cuckoo


def others(report: dict[str, Any]) -> dict[str, Any]:
    """A report without our section and without what differs from run to run: Cuckoo's clock, log and version check."""
    info = {key: value for key, value in report["info"].items() if key != "clustering"}
    return {key: value for key, value in report.items() if key not in ("cuckooml", "info", "debug")} | {"info": info}


def test_an_analysis_is_scored_as_its_report_is_afterwards(taught: Cuckoo) -> None:
    done = taught.process()
    section = done.section
    assert section["status"] == "scored", section["message"] + done.log
    [scored] = cuckoo_ml(taught.home, "score", "--json", taught.report()).json
    assert section == {key: scored[key] for key in section}
    assert "clusterID" in done.report["info"]["clustering"]["hdbscan"]
    with Store.open(taught.home / "store.db") as store:
        assert store.get("210") is not None
        assert store.findings_of(["210"])["210"].model == section["model"]["id"]
        count = store.count()
        taught.process()
        assert store.count() == count


def test_a_finding_is_a_signature_only_where_the_admin_asks_for_it(taught: Cuckoo) -> None:
    without = taught.process()
    assert not ours(without.report)
    settings = taught.home / "cuckooml.conf"
    settings.write_text(f"[host]\nsignature = yes\ntime_limit = {HANG}\n", encoding="utf-8")
    for _ in range(2):
        report = taught.process().report
        cluster = report["cuckooml"]["cluster"]
        signatures = ours(report)
        assert len(signatures) == (1 if cluster else 0)
        for signature in signatures:
            assert f"({cluster['id']}, probability {cluster['probability']:.2f})" in signature["description"]
            shape = {"name", "description", "severity", "families", "references", "marks", "markcount", "ttp"}
            assert set(signature) == shape, "as Cuckoo's own signatures have it"
        assert report["info"]["score"] == without.report["info"]["score"]
        assert report["cuckooml"]["counts"] == without.section["counts"], "a finding is no behaviour"
    with Store.open(taught.home / "store.db") as store:
        stored = store.get("210")
        assert stored is not None
        assert not [token for token in stored.unpack()[0] if "behaves_like" in token]


def ours(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [signature for signature in report.get("signatures") or [] if signature["name"] == "behaves_like"]


# What VirusTotal's module would leave in the results, from where a site puts its own signatures.
VERDICT = """
from cuckoo.common.abstracts import Signature

class Verdict(Signature):
    name = "verdict"
    def on_complete(self):
        results = self.get_results()
        results["virustotal"] = {"summary": {"positives": 45}, "positives": 45, "total": 60, "response_code": 1,
                                 "scans": {"A": {"detected": True, "result": "Trojan.Zbot", "normalized": ["Zbot"]}}}
        results["dropped"] = [{"name": "a.exe", "type": "PE32", "sha256": "cd" * 32, "virustotal": {
            "summary": {"positives": 3}, "positives": 3, "total": 60, "scans": {"A": {"detected": True}}}}]

plugins = [Verdict]
"""


def test_what_a_program_did_on_linux_is_read_from_systemtaps_log(taught: Cuckoo) -> None:
    logs = taught.folder / "storage" / "analyses" / "210" / "logs"
    shutil.rmtree(logs)
    logs.mkdir()
    shutil.copy(REPOSITORY / "tests" / "support" / "linux_run.stap", logs / "all.stap")
    done = taught.process()
    assert done.report["behavior"]["processes"] == case("cuckoo2_linux")["behavior"]["processes"], (
        "the case is Cuckoo's"
    )
    assert done.section["status"] == "scored", done.section["message"] + done.log
    assert [done.section["counts"][name] for name in ("files_written", "files_opened", "commands")] == [2, 4, 2]
    [scored] = cuckoo_ml(taught.home, "score", "--json", taught.report()).json
    assert done.section == {key: scored[key] for key in done.section}
    with Store.open(taught.home / "store.db") as store:
        stored = store.get("210")
        assert stored is not None
        assert {
            "file_written:/etc/crontab",
            "host:8.8.8.8",
            "command:iptables -a one, two",
            "dir_created:/tmp/ä",
        } <= set(stored.unpack()[0])


def test_virustotal_s_scores_come_into_the_section_and_the_store(taught: Cuckoo) -> None:
    (taught.folder / "signatures" / "cross" / "__init__.py").write_text(VERDICT, encoding="utf-8")
    done = taught.process()
    threat = done.section["threat_scores"]
    [provider] = threat["providers"]
    assert (provider["provider"], provider["indicators"]) == ("virustotal", 2)
    assert provider["score"] == threat["joint"] == 0.7625
    assert [indicator["score"] for indicator in provider["highest"]] == [0.75, 0.05]
    assert provider["prediction"] is None, "no other provider says anything"
    [scored] = cuckoo_ml(taught.home, "score", "--json", taught.report()).json
    assert scored["threat_scores"] == threat, "the report's file says the same"
    with Store.open(taught.home / "store.db") as store:
        assert {score.score for score in store.threat_scores_of(["210"])["210"]} == {0.75, 0.05}


def test_without_a_model_it_is_stored_and_says_what_is_missing(cuckoo: Cuckoo) -> None:
    section = cuckoo.process().section
    assert section["status"] == "no_model"
    assert "needs 20" in section["message"]
    assert section["counts"]["api_calls"] > 0


def test_the_rest_of_the_report_is_what_it_is_without_us(taught: Cuckoo) -> None:
    with_us = others(taught.process().report)
    taught.uninstall()
    without_us = taught.process().report
    assert "cuckooml" not in without_us
    assert with_us == others(without_us)


HANGS = "import sys, time\nsys.stdin.readline(); time.sleep(3600)"
DIES_MID_REQUEST = "import os, sys\nsys.stdin.readline(); os._exit(9)"
ANSWERS_NONSENSE = "import sys\nwhile sys.stdin.readline(): print('no JSON', flush=True)"


@pytest.mark.parametrize("before", [HANGS, DIES_MID_REQUEST, ANSWERS_NONSENSE, "raise SystemExit(3)", None])
def test_a_worker_that_fails_costs_the_finding_and_not_the_analysis(
    taught: Cuckoo, tmp_path: Path, before: str | None
) -> None:
    limit = 3
    command = our_command(tmp_path / "commands", before) if before else tmp_path / "missing"
    taught.configure(command, timeout=limit)
    began = time.monotonic()
    done = taught.process()
    jsonschema.validate(done.section, SCHEMA)
    assert done.section["status"] == "failed"
    assert "Task #210: cuckoo-ml:" in done.log
    assert done.report["behavior"]["processes"]
    if before == HANGS:
        assert "in time" in done.section["message"]
        assert time.monotonic() - began < HANG  # the worker sleeps for longer


def test_a_worker_that_dies_once_is_started_again(taught: Cuckoo, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    once = (
        f"import os, sys\nif not os.path.exists({str(marker)!r}):\n"
        f"    open({str(marker)!r}, 'w').close(); sys.stdin.readline(); os._exit(9)"
    )
    taught.configure(our_command(tmp_path / "commands", once))
    done = taught.process()
    assert marker.exists()
    assert done.section["status"] == "scored", done.log
    assert "starting another worker" in done.log


def test_a_corrupt_model_is_named_in_the_section(taught: Cuckoo) -> None:
    for file in (taught.home / "models").glob("*/*.npy"):
        os.truncate(file, 100)
    section = taught.process().section
    assert section["status"] == "failed"
    assert "model" in section["message"]


def test_several_processes_store_and_score_at_once_where_the_option_names_the_home(
    taught: Cuckoo, shared_data: Path, tmp_path: Path
) -> None:
    home = taught.home.rename(tmp_path / "disk")
    taught.set_option("home", str(home))
    tasks = ["210", "211", "212"]
    for task in tasks[1:]:
        taught.add(shared_data / "cuckoo2" / "210", task)
    taught.process()  # two that start at once in a new working directory clash over Cuckoo's own database
    running = {task: taught.start(task) for task in tasks}
    for task, process in running.items():
        done = taught.finish(process, task)
        assert (done.section["status"], done.section["message"]) == ("scored", ""), done.log
    with Store.open(home / "store.db") as store:
        assert sorted(store.findings_of(tasks)) == tasks
    assert not (taught.home / "store.db").exists()


def doctor(cuckoo: Cuckoo) -> dict[str, dict[str, Any]]:
    done = cuckoo_ml(cuckoo.home, "doctor", "--host", "cuckoo2", "--root", cuckoo.folder, "--json")
    return {check["check"]: check for check in done.json}


def state(*folders: Path) -> dict[Path, tuple[int, ...]]:
    """Every file and folder with its owner, mode, size and the times of its last changes."""
    facts = {path: path.lstat() for folder in folders for path in (folder, *folder.rglob("*"))}
    return {
        path: (fact.st_uid, fact.st_gid, fact.st_mode, fact.st_size, fact.st_mtime_ns, fact.st_ctime_ns)
        for path, fact in facts.items()
    }


A_KILLED_WRITER = """
import os, signal, sqlite3, sys
store = sqlite3.connect(sys.argv[1])
store.execute("PRAGMA wal_autocheckpoint=0")
store.execute("DELETE FROM cuckooml_analysis WHERE number > 30")
store.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_examination_writes_nothing(taught: Cuckoo) -> None:
    """Neither into the working directory nor into Cuckoo's Python, whose modules of ours are not compiled yet."""
    folders = taught.folder, taught.environment
    subprocess.run([sys.executable, "-c", A_KILLED_WRITER, taught.home / "store.db"], check=False)
    before = state(*folders)
    assert taught.home / "store.db-wal" in before
    checks = doctor(taught)
    assert checks["store"]["said"].startswith("writable; 30 analyses"), "those in the log count"
    assert checks["modules"]["ok"], checks["modules"]
    assert checks["worker"]["ok"], checks["worker"]
    assert state(*folders) == before
    shutil.rmtree(taught.home)
    before = state(*folders)
    assert "is gone" in doctor(taught)["home"]["said"]
    assert state(*folders) == before


def test_what_was_learnt_outlives_cuckoos_clean_up(taught: Cuckoo, shared_data: Path) -> None:
    taught.process()
    with Store.open(taught.home / "store.db") as store:
        store.set_labels({"210": "an analyst's own"})
        stored = store.count()
    models = cuckoo_ml(taught.home, "models", "list", "--json").json
    notes = Home(taught.home).notes_file.read_bytes()
    assert taught.clean() == ""
    assert list((taught.folder / "storage" / "analyses").iterdir()) == []
    assert Home(taught.home).notes_file.read_bytes() == notes
    assert cuckoo_ml(taught.home, "models", "list", "--json").json == models
    assert [check for check in doctor(taught).values() if not check["ok"]] == []

    taught.add(shared_data / "cuckoo2" / "210", "1")  # ids have begun again
    section = taught.process("1").section
    assert section["status"] == "scored", section["message"]
    assert section["similar"][0]["analysis"] == "210", "of before the clean-up"
    with Store.open(taught.home / "store.db") as store:
        assert store.count() == stored + 1
        kept = store.get("210")
    assert kept is not None
    assert kept.label == "an analyst's own"
    addresses = Addresses("/cuckooml/", "/analysis/{}/summary/")
    site = Site(Home(taught.home), CUCKOO2, addresses, taught.folder / "storage" / "analyses")
    assert "no longer at the host" in site.page("analysis", {"id": "210"}).html
    assert 'href="/analysis/1/summary/"' in site.page("analysis", {"id": "1"}).html
    taught.uninstall()
    assert taught.home.is_dir()
