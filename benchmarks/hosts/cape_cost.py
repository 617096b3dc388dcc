"""The cost of the plugin inside CAPE: the time of its two modules, and of CAPE's module that writes the report.

    CAPE_PYTHON=/opt/CAPEv2/venv/bin/python python -m benchmarks.hosts.cape_cost --root /opt/CAPEv2
        [--sizes 0 1000 50000] [--data ../shared/data]

CAPE's own plugin runner (RunProcessing, RunReporting) runs on the results of a full report, with our two modules and
JsonDump, several analyses in one process as in CAPE's workers. The plugin is installed for this and removed afterwards
with its home. The first analysis of a process, which opens the store and the model, has a column of its own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import DATA, REPOSITORY
from benchmarks.support.perturbed import fill, real_behaviours

ROUNDS = 10
TASK = "999999"
MODULES = ("processing.cuckooml", "reporting.cuckooml", "reporting.jsondump")
_PROGRAM = """
import json, os, sys, timeit
root, report, task, rounds = sys.argv[1:5]
sys.path.insert(0, root); os.chdir(root)
from lib.cuckoo.core import database, plugins
database.init_database(dsn="sqlite://")
for name in sys.argv[5:]:
    plugins.import_plugin("modules." + name)
folder = os.path.join(root, "storage", "analyses", task)
os.makedirs(folder, exist_ok=True)
open(os.path.join(folder, "analysis.conf"), "w").write("[analysis]\\n")
text = open(report, "rb").read()
task = {"id": int(task), "options": "", "platform": "windows"}
for _ in range(int(rounds)):
    results = json.loads(text)
    results["statistics"] = {"processing": [], "signatures": [], "reporting": []}
    seconds = {}
    for kind, run in (("processing", plugins.RunProcessing), ("reporting", plugins.RunReporting)):
        for cls in plugins.list_plugins(kind):
            inner = cls.run
            if not hasattr(inner, "measured"):
                def timed(self, *arguments, inner=inner, name=kind + " " + cls.__name__):
                    start = timeit.default_timer()
                    try:
                        return inner(self, *arguments)
                    finally:
                        seconds_now[name] = timeit.default_timer() - start
                timed.measured = True
                cls.run = timed
        seconds_now = seconds
        run(task, results).run()
    print(json.dumps({"seconds": seconds, "status": results["cuckooml"]["status"]}))
"""


def fill_home(path: Path, size: int, data: Path) -> None:
    """Store ``size`` analyses and fit a model on them; with 0 the home stays empty."""
    from cuckoo_ml_plugin.fit.refit import refit
    from cuckoo_ml_plugin.home import Home
    from cuckoo_ml_plugin.settings import Settings
    from cuckoo_ml_plugin.store.store import Store

    home = Home(path).create()
    with Store.open(home.store_file) as store:
        if size:
            fill(store, real_behaviours(data, 0.25), size)
            refit(home, store, Settings())


def measure(root: Path, report: Path) -> list[dict[str, float]]:
    """The seconds of each module, an entry for each analysis."""
    python = os.environ.get("CAPE_PYTHON", sys.executable)
    command = [python, "-c", _PROGRAM, str(root), str(report), TASK, str(ROUNDS + 1), *MODULES]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return [json.loads(line)["seconds"] for line in output.splitlines() if line.startswith('{"seconds"')]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1_000, 50_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--report", default="36d218f3", help="part of the report's name")
    options = parser.parse_args()
    packed = next((options.data / "cape").glob(f"*{options.report}*.json.gz"))
    install = [sys.executable, "-c", "from cuckoo_ml_plugin.cli import main; main()"]
    host = ["--host", "cape", "--root", str(options.root)]
    table = Table(title="Inside CAPE, a report with 15,638 calls", caption=f"milliseconds, medians of {ROUNDS}")
    columns = ("stored", "our processing", "our reporting", "JsonDump", "ours / JsonDump", "first analysis")
    for name in columns:
        table.add_column(name, justify="right")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        report.write_bytes(gzip.decompress(packed.read_bytes()))
        for size in options.sizes:
            subprocess.run([*install, "install", *host, "--refit", "none"], check=True, stdout=2, env=environment)
            try:
                fill_home(options.root / "custom" / "cuckooml", size, options.data)
                first, *others = measure(options.root, report)
            finally:
                subprocess.run([*install, "uninstall", *host, "--purge"], check=True, stdout=2, env=environment)
                shutil.rmtree(options.root / "storage" / "analyses" / TASK, ignore_errors=True)
            median = {name: statistics.median(seconds[name] for seconds in others) * 1e3 for name in first}
            ours = median["processing CuckooML"], median["reporting CuckooML"]
            dump = median["reporting JsonDump"]
            first_total = (first["processing CuckooML"] + first["reporting CuckooML"]) * 1e3
            cells = (f"{ours[0]:.1f}", f"{ours[1]:.1f}", f"{dump:.1f}", f"{sum(ours) / dump:.0%}", f"{first_total:.0f}")
            table.add_row(f"{size:,}", *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
