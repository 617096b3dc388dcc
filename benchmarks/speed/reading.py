"""The time to read reports and to extract their behaviour, compared with json.load and orjson.dumps.

    python -m benchmarks.speed.reading [FOLDER] [--scoring-report PART_OF_NAME]

FOLDER contains full CAPE reports (.json.gz or .json; default: ../shared/data/cape beside the checkout). They are
unpacked before, so that the times do not include decompression. Everything runs in one process, except for peak memory,
which is that of a fresh process for each way to read the largest file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import DATA
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.behaviour.tokens import addresses, background, normalise, volatile
from cuckoo_ml_plugin.report.report import read_report, report_from_results

ROUNDS = 5
LATENCY_ROUNDS = 40


def json_load(path: Path) -> object:
    """The standard library's way."""
    with path.open(encoding="utf-8") as file:
        return json.load(file)


def read_and_extract(path: Path) -> object:
    """All that ``cuckoo-ml import`` does with a file before it stores the behaviour."""
    return extract(read_report(path)).hashes()


WAYS: dict[str, Callable[[Path], object]] = {
    "json.load": json_load,
    "read_report": read_report,
    "read_report + extract": read_and_extract,
}


def best_seconds(work: Callable[[], object], rounds: int) -> float:
    """The shortest of several runs, which other load on the machine disturbs least."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory(way: str, path: Path) -> int:
    """The peak memory, in bytes, of a fresh process that reads ``path`` once, including interpreter and imports."""
    command = [sys.executable, "-m", "benchmarks.speed.reading", "--peak-of", way, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_of_this_process() -> int:
    """In bytes. ``ru_maxrss`` would not do: it starts with the memory that the parent process had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def reading_table(paths: list[Path]) -> Table:
    """The throughput of each way over all files, and its peak memory for the largest."""
    total = sum(path.stat().st_size for path in paths)
    largest = max(paths, key=lambda path: path.stat().st_size)
    size = largest.stat().st_size
    table = Table(title=f"Reading {len(paths)} reports, {total / 1e6:.0f} MB; the largest {size / 1e6:.0f} MB")
    for column in ("way", "seconds", "MB/s", "× json.load", "peak memory", "× largest file"):
        table.add_column(column, justify="left" if column == "way" else "right")
    seconds = {name: sum(best_seconds(partial(way, path), ROUNDS) for path in paths) for name, way in WAYS.items()}
    for name, total_seconds in seconds.items():
        peak = peak_memory(name, largest)
        table.add_row(
            name,
            f"{total_seconds:.3f}",
            f"{total / 1e6 / total_seconds:.0f}",
            f"{seconds['json.load'] / total_seconds:.1f}",
            f"{peak / 1e6:.0f} MB",
            f"{peak / size:.1f}",
        )
    return table


def clear_caches() -> None:
    """Empty the caches that extraction keeps between analyses."""
    for module in (normalise, addresses, background, volatile):
        for cache in vars(module).values():
            if isinstance(cache, volatile.BoundedCache):
                cache.clear()
    normalise.forget_system_names()


def latency_table(path: Path) -> Table:
    """The time of extraction in a host's process, compared with the time in which the host writes the report."""
    results = orjson.loads(path.read_bytes())
    calls = sum(len(process["calls"]) for process in results["behavior"]["processes"])

    def write() -> object:
        return orjson.dumps(results, option=orjson.OPT_INDENT_2)

    def extract_hashes() -> object:
        return extract(report_from_results(results)).hashes()

    def clear_caches_and_write() -> None:
        clear_caches()
        write()

    def repeated(work: Callable[[], object], before: Callable[[], object] | None = None) -> list[float]:
        times = []
        for _ in range(LATENCY_ROUNDS):
            if before is not None:
                before()
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return times

    extract_hashes()
    rows = {
        "orjson.dumps, indented": repeated(write),
        "extract, repeated": repeated(extract_hashes),
        "extract, empty caches": repeated(extract_hashes, clear_caches),
        "extract, each after a dumps (cold processor caches)": repeated(extract_hashes, write),
        "extract, empty caches, after a dumps": repeated(extract_hashes, clear_caches_and_write),
    }
    table = Table(title=f"From a results dictionary to token hashes, {path.name[:12]}…, {calls:,} calls")
    for column in ("what", "best ms", "median ms", "best / dumps", "median / dumps"):
        table.add_column(column, justify="left" if column == "what" else "right")
    reference = rows["orjson.dumps, indented"]
    for name, times in rows.items():
        best, median = min(times), statistics.median(times)
        table.add_row(
            name,
            f"{best * 1e3:.2f}",
            f"{median * 1e3:.2f}",
            f"{best / min(reference):.1%}",
            f"{median / statistics.median(reference):.1%}",
        )
    return table


def unpack(folder: Path, into: Path) -> list[Path]:
    """Write the reports of ``folder`` as plain JSON files; returns their paths."""
    paths = []
    for source in sorted(folder.glob("*.json*")):
        target = into / source.name.removesuffix(".gz")
        target.write_bytes(gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes())
        paths.append(target)
    return paths


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DATA / "cape")
    parser.add_argument("--scoring-report", default="36d218f3", help="part of the name of the second table's report")
    parser.add_argument("--peak-of", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        WAYS[options.peak_of](options.folder)
        print(_peak_of_this_process())
        return
    console = Console()
    with tempfile.TemporaryDirectory() as temporary:
        paths = unpack(options.folder, Path(temporary))
        if not paths:
            parser.error(f"{options.folder} contains no reports (.json or .json.gz)")
        console.print(reading_table(paths))
        for path in paths:
            if options.scoring_report in path.name:
                console.print(latency_table(path))


if __name__ == "__main__":
    main()
