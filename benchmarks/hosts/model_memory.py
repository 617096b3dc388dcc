"""The memory of a host's processes that score by one model: 1, 4 and 16 of them.

    python -m benchmarks.hosts.model_memory [--homes HOME ...] [--sizes 1000 100000] [--workers 1 4 16]
        [--data ../shared/data] [--cache FOLDER]

Each worker loads the model and scores 200 stored behaviours. Memory is what /proc/PID/smaps_rollup says: PSS, in which
each shared page counts with its part, and what is private. From both is taken what a worker has that has imported the
same modules and loads no model. "mapped" is how models were read before: each array mapped from its file, so that
whoever shortens a file ends the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import DATA

WAYS = ("mapped", "sealed")
_BEHAVIOURS = 200
_MEGABYTE = 2**20


def work(home: Path, way: str) -> None:
    """Load and score; print the seconds of loading, then stay until standard input ends."""
    from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
    from cuckoo_ml_plugin.model import model as models
    from cuckoo_ml_plugin.model.folder import _read_facts
    from cuckoo_ml_plugin.store.store import Store

    def mapped(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        facts = _read_facts(folder)
        loaded = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in facts["arrays"]}
        for array in loaded.values():
            np.ascontiguousarray(array).reshape(-1).view(np.uint8).sum()  # as its checksum reads it
        return facts, {name: np.asarray(array) for name, array in loaded.items()}

    if way == "mapped":
        mock.patch.object(models, "read_model", mapped).start()
    behaviours = []
    with Store.open(home / "store.db") as store:
        for stored in store.analyses_in_order():
            if stored.has_behaviour:
                behaviours.append(Behaviour(*stored.unpack()))
            if len(behaviours) == _BEHAVIOURS:
                break
    start = time.perf_counter()
    model = None if way == "none" else models.Model.load(home / "models" / "current")
    seconds = time.perf_counter() - start
    for behaviour in behaviours if model is not None else []:
        assert model is not None
        model.score(behaviour)
    print(json.dumps(seconds), flush=True)
    sys.stdin.read()


def measure(home: Path, way: str, workers: int) -> dict[str, float]:
    """The memory of so many workers in MB, and the mean seconds of loading; they load one after another."""
    command = [sys.executable, "-m", "benchmarks.hosts.model_memory", "--work", str(home), way]
    processes = []
    seconds = []
    try:
        for _ in range(workers):
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(process)
            assert process.stdout is not None
            seconds.append(float(json.loads(process.stdout.readline())))
        memory = [_rollup(process.pid) for process in processes]
    finally:
        for process in processes:
            process.communicate()
    return {
        "pss": sum(one["Pss"] for one in memory) / _MEGABYTE,
        "private": sum(one["Private_Clean"] + one["Private_Dirty"] for one in memory) / _MEGABYTE,
        "seconds": sum(seconds) / workers,
    }


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    return {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}


def memory_table(home: Path, counts: list[int]) -> Table:
    """All workers' memory beyond that of as many without a model, by way and number of workers."""
    folder = (home / "models" / "current").resolve()
    size = sum(path.stat().st_size for path in folder.iterdir()) / _MEGABYTE
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    table = Table(title=f"A model of {facts['analyses']:,} analyses, {size:.1f} MB of files")
    table.add_column("way")
    for column in ("workers", "PSS of all, MB", "of it private, MB", "a worker's part, MB", "loading, s"):
        table.add_column(column, justify="right")
    for count in counts:
        bare = measure(home, "none", count)
        for way in WAYS:
            measured = measure(home, way, count)
            pss, private = (max(measured[name] - bare[name], 0.0) for name in ("pss", "private"))
            cells = (f"{pss:.1f}", f"{private:.1f}", f"{pss / count:.1f}", f"{measured['seconds']:.2f}")
            table.add_row(way, str(count), *cells)
    return table


def main() -> None:
    """Fit the homes that are missing, measure each and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--homes", type=Path, nargs="+", default=[], help="homes with a model, instead of --sizes")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder in which the fitted homes are kept for the next run")
    parser.add_argument("--work", nargs=2, metavar=("HOME", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(Path(options.work[0]), options.work[1])
        return
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as temporary:
        homes = list(options.homes)
        if not homes:
            from benchmarks.support.perturbed import fitted_home, real_behaviours

            behaviours = real_behaviours(options.data)
            folder = options.cache or Path(temporary)
            homes = [fitted_home(folder / str(size), behaviours, size) for size in options.sizes]
        for home in homes:
            console.print(memory_table(home, options.workers))


if __name__ == "__main__":
    main()
