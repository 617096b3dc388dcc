"""What the plugin costs inside real Cuckoo 2.0.7: our two modules' time against all of processing and reporting.

    python -m benchmarks.hosts.cuckoo2_cost [--sizes 0 1000 50000] [--repeats 10] [--data ../shared/data]

Cuckoo processes its recorded analysis again and again in one process, as `cuckoo process` does, each time with so many
other analyses stored, and a model of them (with 0: none). The first time, in which the worker starts, is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import DATA, REPOSITORY
from benchmarks.support.perturbed import fill, real_behaviours
from cuckoo_ml_plugin.fit.refit import refit
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.settings import Settings
from cuckoo_ml_plugin.store.store import Store

sys.path.append(str(REPOSITORY / "tests"))  # a real Cuckoo is set up as the tests do it

# Runs in Cuckoo's Python 2.7, after `cuckoo process -r` has set everything up: times each stage and our modules' part.
DRIVER = """
import json, sys, time
import cuckoo.apps.apps as apps, cuckoo.main as main
from cuckoo.processing.cuckooml import CuckooML as Counts
from cuckoo.reporting.cuckooml import CuckooML as Section

spent = {}

def timed(owner, name, key):
    run = getattr(owner, name)
    def wrapper(*args, **kwargs):
        began = time.time()
        try:
            return run(*args, **kwargs)
        finally:
            spent[key] = time.time() - began
    setattr(owner, name, wrapper)

timed(Counts, "run", "processing module")
timed(Section, "run", "reporting module")
timed(apps, "process", "all")
once = main.process_task_range

def repeat(tasks):
    for _ in range(int(REPEATS)):
        once(tasks)
        print("TIMES " + json.dumps(spent))

main.process_task_range = repeat
sys.argv = ["cuckoo", "--cwd", CWD, "process", "-r", "210"]
main.main()
"""


def measure(folder: Path, repeats: int) -> list[dict[str, float]]:
    """Seconds by part, for each time that Cuckoo processed the analysis."""
    from support.cuckoo2 import environment

    driver = DRIVER.replace("REPEATS", repr(str(repeats))).replace("CWD", repr(str(folder)))
    python = environment() / "bin" / "python"
    done = subprocess.run([python, "-c", driver], capture_output=True, text=True, check=False)
    found = [json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("TIMES ")]
    if len(found) != repeats:
        raise SystemExit(f"Cuckoo failed:\n{done.stderr[-2000:]}")
    section = json.loads((folder / "storage/analyses/210/reports/report.json").read_text(encoding="utf-8"))["cuckooml"]
    if section["status"] == "failed":
        raise SystemExit(section["message"])
    return found


def main() -> None:
    from support.cuckoo2 import RECORDED, make_cuckoo, our_command

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1_000, 50_000])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    behaviours = real_behaviours(options.data)
    table = Table("stored", "all, s", "processing module, ms", "reporting module, ms", "ours, share", "first, ms")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            cuckoo = make_cuckoo(Path(name) / "cwd")
            cuckoo.add(options.data / "cuckoo2" / RECORDED)
            (Path(name) / "commands").mkdir()
            cuckoo.install(our_command(Path(name) / "commands"))
            if size:
                home = Home(cuckoo.home).create()
                with Store.open(home.store_file) as store:
                    fill(store, behaviours, size)
                    refit(home, store, Settings())
            found = measure(cuckoo.folder, options.repeats + 1)
        parts = {key: statistics.median(one[key] for one in found[1:]) for key in found[0]}
        ours = parts["processing module"] + parts["reporting module"]
        first = found[0]["processing module"] + found[0]["reporting module"]
        table.add_row(
            f"{size:,}", f"{parts['all']:.2f}", f"{parts['processing module'] * 1e3:.0f}",
            f"{parts['reporting module'] * 1e3:.0f}", f"{ours / parts['all']:.0%}", f"{first * 1e3:.0f}",
        )  # fmt: skip
    Console().print(table)
    Console().print(f"Medians of {options.repeats}; {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
