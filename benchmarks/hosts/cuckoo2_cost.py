"""The cost of the plugin inside Cuckoo 2.0.7: the time of its two modules, and of all processing and reporting.

    python -m benchmarks.hosts.cuckoo2_cost [--sizes 0 1000 50000] [--repeats 10] [--data ../shared/data]

Cuckoo processes its recorded analysis repeatedly in one process, as `cuckoo process` does. Each size is the number of
other analyses that are stored, with a model of them; with 0 there is no model. The first analysis, which starts the
worker, has a column of its own.
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

sys.path.append(str(REPOSITORY / "tests"))  # for the tests' setup of a real Cuckoo

# Runs in Cuckoo's Python 2.7. It replaces a function inside of `cuckoo process -r`, to time all and each module.
DRIVER = """
import json, sys, time
import cuckoo.apps.apps as apps, cuckoo.main as main
from cuckoo.processing.cuckooml import CuckooML as Counts
from cuckoo.reporting.cuckooml import CuckooML as Section

spent = {}

def timed(owner, name, key):
    run = getattr(owner, name)
    def wrapper(*args, **kwargs):
        start = time.time()
        try:
            return run(*args, **kwargs)
        finally:
            spent[key] = time.time() - start
    setattr(owner, name, wrapper)

timed(Counts, "run", "processing module")
timed(Section, "run", "reporting module")
timed(apps, "process", "all")
process_once = main.process_task_range

def repeat(tasks):
    for _ in range(int(REPEATS)):
        process_once(tasks)
        print("TIMES " + json.dumps(spent))

main.process_task_range = repeat
sys.argv = ["cuckoo", "--cwd", CWD, "process", "-r", "210"]
main.main()
"""


def measure(folder: Path, repeats: int) -> list[dict[str, float]]:
    """The seconds of each part, an entry for each time that Cuckoo processed the analysis."""
    from support.cuckoo2 import environment

    driver = DRIVER.replace("REPEATS", repr(str(repeats))).replace("CWD", repr(str(folder)))
    python = environment() / "bin" / "python"
    process = subprocess.run([python, "-c", driver], capture_output=True, text=True, check=False)
    times = [json.loads(line[6:]) for line in process.stdout.splitlines() if line.startswith("TIMES ")]
    if len(times) != repeats:
        raise SystemExit(f"Cuckoo failed:\n{process.stderr[-2000:]}")
    section = json.loads((folder / "storage/analyses/210/reports/report.json").read_text(encoding="utf-8"))["cuckooml"]
    if section["status"] == "failed":
        raise SystemExit(section["message"])
    return times


def main() -> None:
    """Print the table."""
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
            first, *others = measure(cuckoo.folder, options.repeats + 1)
        parts = {key: statistics.median(seconds[key] for seconds in others) for key in first}
        ours = parts["processing module"] + parts["reporting module"]
        first_total = first["processing module"] + first["reporting module"]
        table.add_row(
            f"{size:,}", f"{parts['all']:.2f}", f"{parts['processing module'] * 1e3:.0f}",
            f"{parts['reporting module'] * 1e3:.0f}", f"{ours / parts['all']:.0%}", f"{first_total * 1e3:.0f}",
        )  # fmt: skip
    Console().print(table)
    Console().print(f"Medians of {options.repeats}; {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
