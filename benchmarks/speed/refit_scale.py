"""The time and memory of a refit of 1,000, 10,000 and 100,000 distinct analyses with perturbed real behaviour.

    python -m benchmarks.speed.refit_scale [--sizes 1000 10000 100000] [--data ../shared/data]

Each refit is a fresh process that is limited to two cores. The store is filled before, which is not counted. Processor
seconds are those of the process and its workers; beside other work they tell more than a clock. Memory is the peak of
the process together with its workers, as far as they run at the same time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import DATA

CORES = 2
STAGES = ("read", "vectors", "clusters", "kin", "anomalies", "publish", "findings")
BAR_SECONDS, BAR_GIGABYTES = 300, 6.0


def refit_once(folder: Path) -> None:
    """Refit the home in ``folder`` and print, as JSON, the seconds and the message of each stage."""
    from cuckoo_ml_plugin.fit.refit import refit
    from cuckoo_ml_plugin.home import Home
    from cuckoo_ml_plugin.settings import Settings
    from cuckoo_ml_plugin.store.store import Store

    stages, processor, messages = {}, {}, {}
    last = start = time.perf_counter()
    last_used = start_used = processor_seconds()

    def report(stage: str, message: str) -> None:
        nonlocal last, last_used
        now, used = time.perf_counter(), processor_seconds()
        stages[stage], processor[stage], messages[stage] = now - last, used - last_used, message
        last, last_used = now, used

    home = Home(folder)
    with Store.open(home.store_file) as store:
        refit(home, store, Settings(), report)
    seconds, used = time.perf_counter() - start, processor_seconds() - start_used
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    measured = {"seconds": seconds, "used": used, "stages": stages, "processor": processor}
    print(json.dumps(measured | {"messages": messages, "own": own}))


def processor_seconds() -> float:
    """Processor seconds of this process and of all its workers, those that still run and those that have ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    running = sum(map(_used, _family(os.getpid())[1:]))
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + running


def _used(pid: int) -> float:
    """Of a process and those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path) -> dict[str, Any]:
    """Refit in a fresh process; returns what it prints, and its peak memory with its workers in GB."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(CORES))
    command = [sys.executable, "-m", "benchmarks.speed.refit_scale", "--refit", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    peak = 0.0
    finished = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not finished.wait(0.25):
            peak = max(peak, sum(map(_resident, _family(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    finished.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"The refit of {folder} failed.")
    measurement: dict[str, Any] = json.loads(output.splitlines()[-1])
    return measurement | {"memory": max(peak, measurement["own"])}


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [pid, *(descendant for child in children for descendant in _family(int(child)))]


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e9


def exponent(sizes: list[int], values: list[float]) -> float:
    """The slope of a straight line through the logarithms: 1 is linear growth, 2 quadratic."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(value, 1e-3)) for value in values]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else math.nan


def main() -> None:
    """Fill the stores, refit each and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder in which the filled stores are kept for the next run")
    parser.add_argument("--refit", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.refit:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        refit_once(options.refit)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.cache or Path(temporary)
        measured = [measure(filled_home(folder / str(size), options.data, size)) for size in options.sizes]
    console = Console(width=140)
    console.print(scale_table(options.sizes, measured))
    for size, measurement in zip(options.sizes, measured, strict=True):
        console.print(f"{size:,}: " + "; ".join(str(text) for text in measurement["messages"].values()))


def filled_home(home: Path, data: Path, size: int) -> Path:
    """Create a home with ``size`` analyses stored, unless it exists. Returns its path."""
    from benchmarks.support.perturbed import fill, real_behaviours
    from cuckoo_ml_plugin.store.store import Store

    if not (home / "complete").exists():
        home.mkdir(parents=True, exist_ok=True)
        with Store.open(home / "store.db") as store:
            fill(store, real_behaviours(data), size)
        (home / "complete").touch()
    return home


def scale_table(sizes: list[int], measured: list[dict[str, Any]]) -> Table:
    """The seconds of each stage and in total, the peak memory, and the growth of each."""
    table = Table(title=f"Refit of distinct analyses on {CORES} cores")
    table.add_column("stage")
    for size in sizes:
        table.add_column(f"{size:,}", justify="right")
    table.add_column("growth exponent", justify="right")
    rows: dict[str, list[float]] = {
        stage: [measurement["stages"][stage] for measurement in measured] for stage in STAGES
    }
    for stage, seconds in rows.items():
        table.add_row(f"{stage}, s", *(f"{value:.2f}" for value in seconds), f"{exponent(sizes, seconds):.2f}")
    table.add_section()
    used: list[float]
    for stage in STAGES:
        used = [measurement["processor"][stage] for measurement in measured]
        table.add_row(f"{stage}, processor s", *(f"{value:.2f}" for value in used), f"{exponent(sizes, used):.2f}")
    total: list[float] = [measurement["seconds"] for measurement in measured]
    memory: list[float] = [measurement["memory"] for measurement in measured]
    table.caption = f"(bars at 100,000: {BAR_SECONDS} s, {BAR_GIGABYTES:g} GB)"
    table.add_section()
    table.add_row("in total, s", *(f"{value:.1f}" for value in total), f"{exponent(sizes, total):.2f}")
    used = [measurement["used"] for measurement in measured]
    table.add_row("in total, processor s", *(f"{value:.1f}" for value in used), f"{exponent(sizes, used):.2f}")
    table.add_row("peak memory, GB", *(f"{value:.2f}" for value in memory), f"{exponent(sizes, memory):.2f}")
    return table


if __name__ == "__main__":
    main()
