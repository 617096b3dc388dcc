"""What the plugin costs inside CAPE: our two modules beside CAPE's own writing of the report.

    CAPE_PYTHON=/opt/CAPEv2/venv/bin/python python -m benchmarks.hosts.cape_cost --root /opt/CAPEv2
        [--sizes 0 1000 50000] [--data ../shared/data]

Runs CAPE's own plugin runner (RunProcessing, RunReporting) on a full report's results, with our two modules and
JsonDump, several analyses in one process as CAPE's workers do; the times are CAPE's own ``statistics``. The plugin is
installed for it and taken away again, with its home. The first analysis of a process, which opens the store and
the model, stands in a column of its own.
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


def home_with(home: Path, size: int, data: Path) -> None:
    """Store that many analyses, and fit a model if there are enough."""
    from cuckoo_ml_plugin.fit.refit import refit
    from cuckoo_ml_plugin.home import Home
    from cuckoo_ml_plugin.settings import Settings
    from cuckoo_ml_plugin.store.store import Store

    made = Home(home).create()
    with Store.open(made.store_file) as store:
        if size:
            fill(store, real_behaviours(data, 0.25), size)
            refit(made, store, Settings())


def measure(root: Path, report: Path) -> list[dict[str, float]]:
    """Seconds of each module, one entry an analysis."""
    python = os.environ.get("CAPE_PYTHON", sys.executable)
    command = [python, "-c", _PROGRAM, str(root), str(report), TASK, str(ROUNDS + 1), *MODULES]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return [json.loads(line)["seconds"] for line in output.splitlines() if line.startswith('{"seconds"')]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1_000, 50_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--report", default="36d218f3", help="part of the report's name")
    options = parser.parse_args()
    packed = next((options.data / "cape").glob(f"*{options.report}*.json.gz"))
    install = [sys.executable, "-c", "from cuckoo_ml_plugin.cli import main; main()"]
    host = ["--host", "cape", "--root", str(options.root)]
    table = Table(title="Inside CAPE, a report with 15,638 calls", caption=f"medians of {ROUNDS}, milliseconds")
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
                home_with(options.root / "storage" / "cuckooml", size, options.data)
                first, *others = measure(options.root, report)
            finally:
                subprocess.run([*install, "uninstall", *host, "--purge"], check=True, stdout=2, env=environment)
                shutil.rmtree(options.root / "storage" / "analyses" / TASK, ignore_errors=True)
            median = {name: statistics.median(one[name] for one in others) * 1e3 for name in first}
            ours = median["processing CuckooML"], median["reporting CuckooML"]
            dump = median["reporting JsonDump"]
            opened = (first["processing CuckooML"] + first["reporting CuckooML"]) * 1e3
            shown = (f"{ours[0]:.1f}", f"{ours[1]:.1f}", f"{dump:.1f}", f"{sum(ours) / dump:.0%}", f"{opened:.0f}")
            table.add_row(f"{size:,}", *shown)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
