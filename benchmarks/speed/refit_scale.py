"""How a refit's time and memory grow: 1,000, 10,000 and 100,000 distinct analyses made by perturbing real behaviour.

    python -m benchmarks.speed.refit_scale [--sizes 1000 10000 100000] [--data ../shared/data]

Each refit is a fresh process held to two cores, with a store that was filled before (not counted). Memory is the sum of
that process' peak and, while workers read the store, of theirs.
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
STAGES = ("read", "vectors", "clusters", "anomalies", "publish", "findings")
BAR_SECONDS, BAR_GIGABYTES = 300, 6.0


def refit_once(folder: Path) -> None:
    """Refit the home in ``folder``; prints seconds by stage and what was found, as JSON."""
    from cuckoo_ml_plugin.fit.refit import refit
    from cuckoo_ml_plugin.home import Home
    from cuckoo_ml_plugin.settings import Settings
    from cuckoo_ml_plugin.store.store import Store

    stages, found = {}, {}
    last = start = time.perf_counter()

    def report(stage: str, said: str) -> None:
        nonlocal last
        now = time.perf_counter()
        stages[stage], found[stage], last = now - last, said, now

    home = Home(folder)
    with Store.open(home.store_file) as store:
        refit(home, store, Settings(), report)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": time.perf_counter() - start, "stages": stages, "found": found, "own": own}))


def measure(folder: Path) -> dict[str, object]:
    """Refit in a process of two cores, and the greatest memory that it and its workers held at once, in GB."""
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(CORES))
    command = [sys.executable, "-m", "benchmarks.speed.refit_scale", "--one", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    peak = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.25):
            peak = max(peak, sum(map(_resident, _family(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"The refit of {folder} failed.")
    measured: dict[str, Any] = json.loads(output.splitlines()[-1])
    return measured | {"memory": max(peak, measured["own"])}


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e9


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of a straight line through the logarithms: 1 is linear growth, 2 quadratic."""
    xs, ys = [math.log(size) for size in sizes], [math.log(max(value, 1e-3)) for value in values]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else math.nan


def main() -> None:
    """Fill the stores, refit each, print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder to keep the filled stores in")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        refit_once(options.one)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.cache or Path(temporary)
        measured = [measure(filled(folder / str(size), options.data, size)) for size in options.sizes]
    console = Console(width=140)
    console.print(scale_table(options.sizes, measured))
    for size, one in zip(options.sizes, measured, strict=True):
        console.print(f"{size:,}: " + "; ".join(str(text) for text in one["found"].values()))  # type: ignore[attr-defined]


def filled(home: Path, data: Path, size: int) -> Path:
    """A home with that many analyses stored, made unless it is there."""
    from benchmarks.support.perturbed import fill, real_behaviours
    from cuckoo_ml_plugin.store.store import Store

    if not (home / "complete").exists():
        home.mkdir(parents=True, exist_ok=True)
        with Store.open(home / "store.db") as store:
            fill(store, real_behaviours(data), size)
        (home / "complete").touch()
    return home


def scale_table(sizes: list[int], measured: list[dict[str, object]]) -> Table:
    """Seconds by stage, in all, and peak memory; the growth of each."""
    table = Table(title=f"Refit of distinct analyses on {CORES} cores")
    table.add_column("stage")
    for size in sizes:
        table.add_column(f"{size:,}", justify="right")
    table.add_column("growth exponent", justify="right")
    rows: dict[str, list[float]] = {stage: [one["stages"][stage] for one in measured] for stage in STAGES}  # type: ignore[index]
    for stage, seconds in rows.items():
        table.add_row(f"{stage}, s", *(f"{value:.2f}" for value in seconds), f"{exponent(sizes, seconds):.2f}")
    whole: list[float] = [one["seconds"] for one in measured]  # type: ignore[misc]
    memory: list[float] = [one["memory"] for one in measured]  # type: ignore[misc]
    bars = f"(bars at 100,000: {BAR_SECONDS} s, {BAR_GIGABYTES:g} GB)"
    table.add_section()
    table.add_row("in all, s", *(f"{value:.1f}" for value in whole), f"{exponent(sizes, whole):.2f}")
    table.add_row("peak memory, GB", *(f"{value:.2f}" for value in memory), f"{exponent(sizes, memory):.2f}")
    table.caption = bars
    return table


if __name__ == "__main__":
    main()
