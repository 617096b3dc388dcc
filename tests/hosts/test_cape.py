"""Inside CAPE: each finished analysis is enriched, whatever is broken. With CAPE_ROOT also in the real CAPE."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.cape_analysis import MODULES, analyse, cape_sample, cape_version
from support.cape_loader import make_cape
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.paths import REPOSITORY
from support.time_limits import HANG

from cuckoo_ml_plugin.store.store import Store

REAL = os.environ.get("CAPE_ROOT")
REFIT = [
    sys.executable,
    "-c",
    "import sys; home = sys.argv[1]; sys.argv[1:] = ['--home', home, 'refit'];"
    "from cuckoo_ml_plugin.cli import main; main()",
]
TASKS = (7, 8, 100, 101, 102)


@pytest.fixture(scope="module")
def real_cape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the real CAPE, so that several runs of the tests can share a checkout."""
    root = tmp_path_factory.mktemp("real") / "CAPE"
    return Path(shutil.copytree(REAL or "", root, symlinks=True, ignore=shutil.ignore_patterns(".git")))


@pytest.fixture(params=["our loader", *(["CAPE"] if REAL else [])])
def cape(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """CAPE's folder with the plugin installed, and no model yet."""
    root: Path
    root = request.getfixturevalue("real_cape") if request.param == "CAPE" else make_cape(tmp_path / "cape")
    done = cuckoo_ml(root, "install", "--host", "cape", "--root", root, "--refit", "none")
    assert done.code == 0, done.err
    yield root
    cuckoo_ml(root, "uninstall", "--host", "cape", "--root", root, "--purge")
    for task in TASKS:
        shutil.rmtree(root / "storage" / "analyses" / str(task), ignore_errors=True)


LOADED = """
import os, sys
sys.path.insert(0, ".")
from lib.cuckoo.core import plugins
before = len(os.listdir("/proc/self/task"))
for name in sys.argv[1:]:
    plugins.import_plugin(name)
print(before, len(os.listdir("/proc/self/task")), "numpy" in sys.modules)
"""


def with_model(root: Path, demo: DemoHome) -> Path:
    """The home, with the demo's store and model in it."""
    home = root / "custom" / "cuckooml"
    shutil.copytree(demo.home, home, symlinks=True, dirs_exist_ok=True)
    return home


def test_an_analysis_is_counted_scored_stored_and_written(cape: Path, demo: DemoHome) -> None:
    home = with_model(cape, demo)
    report = cape_sample(demo)
    written, seen = analyse(cape, report)
    section = written["cuckooml"]
    assert seen["errors"] == 0
    assert section["status"] == "scored"
    assert section["cluster"]
    assert written["info"]["clustering"]["hdbscan"]["clusterProbability"] == section["cluster"]["probability"]
    assert seen["first"]["counts"]["files_written"] == section["counts"]["files_written"], "counted before reporting"
    with Store.open(home / "store.db") as store:
        assert store.get("7") is not None
        assert store.findings_of(["7"])["7"].cluster == section["cluster"]["id"]
    again = cuckoo_ml(home, "score", cape / "storage" / "analyses" / "7" / "reports" / "report.json", "--json").json[0]
    for key in ("status", "cluster", "anomaly", "evidence", "threat_scores", "counts"):
        assert again[key] == section[key], "the file says the same as the results did"


def test_a_file_that_virustotal_misses_gets_a_reason(cape: Path, demo: DemoHome) -> None:
    home = with_model(cape, demo)
    written, _ = analyse(cape, next(sample.path for sample in demo.corpus.new if sample.name == "new-03"))
    section = written["cuckooml"]
    everyone = {"virustotal", "threatfox", "detections", "malscore"}
    assert {provider["provider"] for provider in section["threat_scores"]["providers"]} == everyone
    [disagreement] = section["threat_scores"]["disagreements"]
    assert disagreement["text"].startswith("VirusTotal says 0.0")
    assert disagreement["text"] in [reason["text"] for reason in section["anomaly"]["reasons"]]
    with Store.open(home / "store.db") as store:
        assert {score.provider for score in store.threat_scores_of(["7"])["7"]} == everyone


def test_the_rest_of_the_report_is_the_same_with_and_without_us(cape: Path, demo: DemoHome) -> None:
    with_model(cape, demo)
    report = cape_sample(demo)
    with_us, _ = analyse(cape, report)
    without_us, _ = analyse(cape, report, modules=MODULES[2:])
    with_us.pop("cuckooml")
    with_us["info"].pop("clustering")
    for written in (with_us, without_us):
        written.pop("statistics", None)
    assert with_us == without_us


def test_processing_an_analysis_again_replaces_its_record(cape: Path, demo: DemoHome) -> None:
    home = with_model(cape, demo)
    with Store.open(home / "store.db") as store:
        before = store.count()
        analyse(cape, cape_sample(demo))
        analyse(cape, cape_sample(demo, "novel") if cape_version(demo.corpus.new[-1].path) else cape_sample(demo))
        assert store.count() == before + 1
    done = cuckoo_ml(home, "import", cape / "storage" / "analyses", "--json")
    assert done.code == 0
    with Store.open(home / "store.db") as store:
        assert store.count() == before + 1, "importing the host's tree finds the same record"


LITE = ("modules.processing.cuckooml", "modules.reporting.litereport", *MODULES[1:])


def test_the_short_report_that_other_tools_read_has_the_finding(cape: Path, demo: DemoHome) -> None:
    """Litereport has no order of its own, which is order 1; Assemblyline reads what it writes."""
    with_model(cape, demo)
    conf = cape / "custom" / "conf" / "reporting.conf.d" / "litereport.conf"
    keys = "keys_to_copy = info signatures cuckooml\nbehavior_keys_to_copy = processtree"
    conf.write_text(f"[litereport]\nenabled = yes\n{keys}\n", encoding="utf-8")
    try:
        written, seen = analyse(cape, cape_sample(demo), modules=LITE)
    finally:
        conf.unlink()
    assert seen["errors"] == 0
    lite = json.loads((cape / "storage" / "analyses" / "7" / "reports" / "lite.json").read_bytes())
    assert lite["cuckooml"]["status"] == "scored"
    assert lite["cuckooml"] == written["cuckooml"]
    assert lite["info"]["clustering"] == written["info"]["clustering"]


def test_a_finding_is_a_signature_only_where_the_admin_asks_for_it(cape: Path, demo: DemoHome) -> None:
    home = with_model(cape, demo)
    without, _ = analyse(cape, cape_sample(demo))
    assert not ours(without)
    settings = home / "cuckooml.conf"
    settings.write_text(f"[host]\nsignature = yes\ntime_limit = {HANG}\n", encoding="utf-8")
    report = cape / "storage" / "analyses" / "7" / "reports" / "report.json"
    for _ in range(2):  # processed again, the report has it already
        written, seen = analyse(cape, report)
        assert seen["errors"] == 0
        [signature] = ours(written)
        cluster = written["cuckooml"]["cluster"]
        place = f"({cluster['id']}, probability {cluster['probability']:.2f})"
        name = "a known cluster" if cluster["name"] == cluster["id"] else cluster["name"]
        assert signature["description"] == f"Behaves like {name} {place}"
        assert (signature["weight"], signature["severity"], signature["alert"]) == (0, 1, False)
    assert written.get("malscore") == without.get("malscore")
    assert written["cuckooml"]["counts"] == without["cuckooml"]["counts"]
    copy = cape / "storage" / "copy.json"
    shutil.copy(report, copy)
    assert cuckoo_ml(home, "import", copy).code == 0
    copy.unlink()
    with Store.open(home / "store.db") as store:
        for analysis in ("7", "copy"):
            stored = store.get(analysis)
            assert stored is not None
            assert not [token for token in stored.unpack()[0] if "behaves_like" in token], "a finding is no behaviour"
    settings.write_text("", encoding="utf-8")
    written, _ = analyse(cape, report)
    assert not ours(written), "the setting was taken back"


def ours(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [signature for signature in report.get("signatures") or [] if signature["name"] == "behaves_like"]


def test_a_cold_start_counts_what_is_stored(cape: Path, demo: DemoHome) -> None:
    for task in TASKS[:2]:
        written, _ = analyse(cape, cape_sample(demo), task)
        assert written["cuckooml"]["status"] == "no_model"
    assert "2 analyses with behaviour are stored, and it needs 20" in written["cuckooml"]["message"]
    assert written["cuckooml"]["counts"]["api_calls"] > 0


@pytest.mark.parametrize("damage", ["model", "store", "settings", "home", "package"])
def test_an_analysis_is_reported_whatever_is_broken(
    cape: Path, demo: DemoHome, damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = with_model(cape, demo)
    if damage == "model":
        next((home / "models" / "current").glob("*.npy")).write_bytes(b"nothing")
    elif damage == "store":
        (home / "store.db").write_bytes(b"no database " * 1000)
    elif damage == "settings":
        (home / "cuckooml.conf").write_text("[clustering]\nmin_cluster_size = many\n")
    elif damage == "home":
        shutil.rmtree(home)
        home.write_text("a file, where a folder should be")
    else:
        broken = tmp_path / "broken" / "cuckoo_ml_plugin"
        broken.mkdir(parents=True)
        (broken / "__init__.py").write_text("raise ImportError('as if it were not installed')\n")
        monkeypatch.setattr("support.cape_analysis.REPOSITORY", broken.parent)
    try:
        written, seen = analyse(cape, cape_sample(demo))
    finally:
        if damage == "home":
            home.unlink()
    assert seen["errors"] == 0
    section = written["cuckooml"]
    if damage == "store":
        assert section["status"] == "scored", "the model can answer without the store"
        assert "not stored" in section["message"]
    else:
        assert section["status"] == "failed"
        assert section["message"]
    if damage in ("model", "store", "settings"):
        checks = cuckoo_ml(cape, "doctor", "--host", "cape", "--root", cape, "--json").json
        errors = next(check for check in checks if check["check"] == "errors")
        assert errors["ok"] is False
        assert "analysis 7: " in errors["said"]


def test_several_workers_at_once_store_and_score_while_a_refit_runs(cape: Path, demo: DemoHome) -> None:
    home = with_model(cape, demo)
    reports = [sample.path for sample in demo.corpus.analyses if "cape/storage" in str(sample.path)][:4]
    with ThreadPoolExecutor(5) as pool:
        refit = pool.submit(subprocess.run, [*REFIT, str(home)], cwd=REPOSITORY, capture_output=True, check=False)
        running = [pool.submit(analyse, cape, report, task) for task, report in zip(TASKS, reports, strict=False)]
        sections = [analysis.result()[0]["cuckooml"] for analysis in running]
    assert refit.result().returncode == 0, refit.result().stderr
    assert {section["status"] for section in sections} <= {"scored", "no_behaviour"}
    assert not any(section["message"] for section in sections if section["status"] == "scored")
    with Store.open(home / "store.db") as store:
        assert all(store.get(str(task)) for task in TASKS[: len(reports)])
    before = {section["model"]["id"] for section in sections}
    after = analyse(cape, reports[0], TASKS[0])[0]["cuckooml"]["model"]["id"]
    listed = [model["id"] for model in cuckoo_ml(home, "models", "list", "--json").json]
    assert after == listed[-1], "the next analysis is scored by the new model"
    assert before <= set(listed)


def test_real_reports_are_enriched(cape: Path, demo: DemoHome, shared_data: Path, tmp_path: Path) -> None:
    import gzip

    with_model(cape, demo)
    path = tmp_path / "report.json"
    statuses = set()
    for task, packed in enumerate(sorted((shared_data / "cape").glob("*.json.gz"))[:3], TASKS[2]):
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        written, seen = analyse(cape, path, task)
        assert seen["errors"] == 0
        statuses.add(written["cuckooml"]["status"])
    assert statuses <= {"scored", "no_behaviour"}


def test_loading_the_modules_starts_no_thread(cape: Path) -> None:
    """CAPE's engine prefork refuses to start in a process with a second thread; linear algebra starts some."""
    python = os.environ.get("CAPE_PYTHON", sys.executable)
    command = [python, "-W", "ignore", "-c", LOADED, *MODULES]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "CAPE_AS_ROOT": "1"}
    done = subprocess.run(command, cwd=cape, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after, has_numpy = done.stdout.split()[-3:]
    assert after == before
    assert has_numpy == "False"
