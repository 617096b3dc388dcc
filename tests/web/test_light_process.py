"""A host's process, and a command that fits nothing, import nothing that only fitting needs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo_home import DemoHome
from support.paths import REPOSITORY
from support.time_limits import HANG

from cuckoo_ml_plugin.store.store import Store

FORBIDDEN = ("fast_hdbscan", "hdbscan", "joblib", "matplotlib", "numba", "pandas", "scipy", "sklearn")
FACE = """
import cuckoo_ml_plugin.hosts.cape as cape
assert callable(cape.counts) and callable(cape.enrich) and callable(cape.complete_html)
"""
PAGE = """
from pathlib import Path
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.web.render import CAPE
from cuckoo_ml_plugin.web.site import Addresses, Site
home, analysis, path = sys.argv[1:]
site = Site(Home(Path(home)), CAPE, Addresses("/cuckooml/", "/analysis/{}/"))
response = site.page(path, {"id": analysis, "days": "all", "kind": "section", "value": ".vlm"})
assert response.status == 200, response
"""
PANEL = """
from pathlib import Path
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.web.render import CUCKOO2
from cuckoo_ml_plugin.web.site import Addresses, Site
home, analysis, report = sys.argv[1:]
section = Engine(Home(Path(home))).score_stored(analysis).section()
site = Site(Home(Path(home)), CUCKOO2, Addresses("/cuckooml/", "/analysis/{}/"))
assert analysis and section["model"]["id"] in site.panel(section) and site.similar(section)
"""
HTML_REPORT = f"""{PANEL}
from cuckoo_ml_plugin.web.static_report import put_into
Path(report).write_text("<html><body></body></html>")
assert put_into(Path(report), section)
"""
ENRICH = """
import json
from pathlib import Path
from cuckoo_ml_plugin.hosts import cape
home, report, folder = sys.argv[1:]
results = json.loads(Path(report).read_bytes())
cape.counts(results, folder, home)
cape.enrich(results, 9001, folder, home)
assert results["cuckooml"]["status"] == "scored", results["cuckooml"]
"""

COMMAND = """
from cuckoo_ml_plugin.cli import main
sys.argv[1:] = ["--home", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end
"""


def imported(program: str, *arguments: object) -> set[str]:
    """The modules of a process of its own after a program."""
    command = f"import json, sys\n{program}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", command, *map(str, arguments)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=HANG,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] in FORBIDDEN}


def member(home: Path) -> str:
    with Store.open(home / "store.db") as store:
        return store.cluster_members("c0", limit=1)[0].finding.analysis


@pytest.mark.parametrize("path", ["", "clusters/c0", "anomalies", "model", "analysis", "compare", "behaviour"])
def test_no_page_imports_what_only_fitting_needs(demo: DemoHome, path: str) -> None:
    assert heavy(imported(PAGE, demo.home, member(demo.home), path)) == set()


@pytest.mark.parametrize("program", [PANEL, HTML_REPORT], ids=["panel", "HTML report"])
def test_neither_do_the_panel_and_the_html_report(demo: DemoHome, tmp_path: Path, program: str) -> None:
    assert heavy(imported(program, demo.home, member(demo.home), tmp_path / "report.html")) == set()


def test_neither_does_an_analysis_in_cape(own_demo: DemoHome, tmp_path: Path) -> None:
    report = next(sample.path for sample in own_demo.corpus.new if sample.role == "new")
    assert heavy(imported(ENRICH, own_demo.home, report, tmp_path)) == set()


def test_the_face_of_our_package_in_cape_imports_nothing_but_the_standard_library() -> None:
    modules = imported(FACE)
    own = {name for name in modules if name.partition(".")[0] == "cuckoo_ml_plugin"}
    assert not any(name.partition(".")[0] in ("numpy", "msgspec", "sqlalchemy", "jinja2") for name in modules)
    assert not own & {
        "cuckoo_ml_plugin.settings",
        "cuckoo_ml_plugin.hosts.enrich",
        "cuckoo_ml_plugin.hosts.installation",
    }
    assert heavy(modules) == set()


@pytest.mark.parametrize(
    "command", [("refit", "--if-needed"), ("models", "rollback"), ("models", "list"), ("clusters",)]
)
def test_a_command_that_fits_nothing_imports_nothing_that_only_fitting_needs(
    own_demo: DemoHome, command: tuple[str, ...]
) -> None:
    if "rollback" in command:
        shutil.copytree(own_demo.home / "models" / "current", own_demo.home / "models" / "20200101-000000-000-00000000")
    assert heavy(imported(COMMAND, own_demo.home, *command)) == set()


def test_help_on_the_installation_waits_for_no_library_of_the_store(tmp_path: Path) -> None:
    assert "sqlalchemy" not in imported(COMMAND, tmp_path, "install", "--help")
