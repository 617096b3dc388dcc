"""The time of scoring in a host's process, compared with the time in which the host writes the report.

    python -m benchmarks.speed.scoring [--sizes 1000 50000] [--data ../shared/data]
        [--report PART_OF_NAME] [--cache FOLDER]

A full CAPE report in memory, as a reporting module gets it, is extracted and scored. The reference is ``orjson.dumps``
of the same dictionary with indentation, which is how CAPE writes it. CAPE's parser of call logs shares one string
between all calls of a function; ``orjson.loads`` creates a string for each call, which takes longer to read. Both are
measured.

Models are fitted on --sizes stored analyses with perturbed real behaviour; a quarter of them are full CAPE analyses.
Each size is measured in a fresh process that has scored the other reports before, as a host's process has.
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
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import DATA
from benchmarks.support.perturbed import fitted_home, real_behaviours

ROUNDS = 40
CAPE_SHARE = 0.25
BAR_SHARE, BAR_SECONDS, BAR_MEGABYTES = 0.15, 0.5, 80


def repeated(work: Callable[[], object], before: Callable[[], object] | None = None) -> dict[str, float]:
    """Shortest and median time, in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        if before is not None:
            before()
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return {"best": min(times), "median": statistics.median(times)}


def share_strings(results: dict[str, Any]) -> dict[str, Any]:
    """The same results with one string for all calls of a function, as in CAPE.

    ``ParseProcessLog._parse`` of CAPE makes a dictionary for each call. The function's name, its category and the names
    of its arguments in it are the strings of the log's description of the function. Its summary and events share
    strings as well.
    """
    strings: dict[str, str] = {}

    def shared_string(value: Any) -> Any:
        return strings.setdefault(value, value) if isinstance(value, str) else value

    def shared_call(call: dict[str, Any]) -> dict[str, Any]:
        shared = {key: call[key] for key in call}
        shared |= {key: shared_string(call[key]) for key in ("api", "category", "thread_id") if key in call}
        names = [argument | {"name": shared_string(argument["name"])} for argument in call["arguments"]]
        return shared | {"arguments": names}

    behavior = results["behavior"]
    processes = [process | {"calls": list(map(shared_call, process["calls"]))} for process in behavior["processes"]]
    summary = {operation: list(map(shared_string, names)) for operation, names in behavior["summary"].items()}
    enhanced = [
        event | {key: shared_string(event[key]) for key in ("event", "object")} for event in behavior["enhanced"]
    ]
    return results | {"behavior": behavior | {"processes": processes, "summary": summary, "enhanced": enhanced}}


def measure(home: Path, report: Path, shared: bool) -> dict[str, dict[str, float]]:
    """The milliseconds of each step on ``report`` with the model of ``home``, measured in a fresh process."""
    import orjson

    from cuckoo_ml_plugin.behaviour.extract import extract
    from cuckoo_ml_plugin.model.model import Model
    from cuckoo_ml_plugin.report.report import read_report, report_from_results

    model = Model.load(home / "models" / "current")
    for other in sorted(report.parent.glob("*.json.gz")):
        if other != report:
            model.score(extract(read_report(other)))
    results = orjson.loads(gzip.decompress(report.read_bytes()))
    if shared:
        results = share_strings(results)

    def dump() -> object:
        return orjson.dumps(results, option=orjson.OPT_INDENT_2)

    def score() -> object:
        return model.score(extract(report_from_results(results)))

    behaviour = extract(report_from_results(results))
    return {
        "orjson.dumps, indented": repeated(dump),
        "extract": repeated(lambda: extract(report_from_results(results))),
        "score": repeated(lambda: model.score(behaviour)),
        "extract and score": repeated(score),
        "extract and score, each after a dumps": repeated(score, dump),
    }


def measure_in_fresh_process(*arguments: str) -> dict[str, dict[str, float]]:
    """The output of this program in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed.scoring", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output.splitlines()[-1]))


def scoring_table(title: str, measured: dict[str, dict[str, float]]) -> Table:
    """The milliseconds of each step, and their share of the reference."""
    table = Table(title=title, caption=f"bar: {BAR_SHARE:.0%} of orjson.dumps")
    for column in ("what", "best ms", "median ms", "best / dumps", "median / dumps"):
        table.add_column(column, justify="left" if column == "what" else "right")
    reference = measured["orjson.dumps, indented"]
    for step, times in measured.items():
        shares = (f"{times[name] / reference[name]:.1%}" for name in ("best", "median"))
        table.add_row(step, f"{times['best']:.2f}", f"{times['median']:.2f}", *shares)
    return table


_IMPORT = """
import json, sys, time
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
lines = open("/proc/self/status", encoding="ascii").read().splitlines()
peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3
print(json.dumps([seconds, peak]))
"""


def import_cost() -> tuple[float, float]:
    """The seconds and megabytes of importing the scoring side, beyond a bare Python; medians of fresh processes."""

    def run(statement: str) -> tuple[float, float]:
        runs = []
        for _ in range(7):
            command = [sys.executable, "-c", _IMPORT.format(statement=statement)]
            runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        return statistics.median(seconds for seconds, _ in runs), statistics.median(peak for _, peak in runs)

    modules = ("behaviour.extract", "model.model", "report.labels", "report.report")
    scoring = "import " + ", ".join(f"cuckoo_ml_plugin.{name}" for name in modules)
    bare, ours = run("pass"), run(scoring)
    return ours[0] - bare[0], ours[1] - bare[1]


def main() -> None:
    """Fit the homes that are missing, measure each size in a fresh process and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 50_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--report", default="36d218f3", help="part of the report's name (default: a report with 15,638 calls)"
    )
    parser.add_argument("--cache", type=Path, help="folder in which the fitted homes are kept for the next run")
    parser.add_argument("--measure", nargs=3, metavar=("HOME", "REPORT", "STRINGS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        home, path, strings = options.measure
        print(json.dumps(measure(Path(home), Path(path), shared=strings == "shared")))
        return
    report = next((options.data / "cape").glob(f"*{options.report}*.json.gz"))
    console = Console()
    with tempfile.TemporaryDirectory() as temporary:
        behaviours = real_behaviours(options.data, CAPE_SHARE)
        for size in options.sizes:
            home = fitted_home((options.cache or Path(temporary)) / str(size), behaviours, size)
            for strings, title in (("shared", "as CAPE holds them"), ("own", "as orjson.loads returns them")):
                measured = measure_in_fresh_process("--measure", str(home), str(report), strings)
                console.print(scoring_table(f"{size:,} analyses stored, results {title}", measured))
    seconds, megabytes = import_cost()
    console.print(
        f"Importing the scoring side: {seconds:.2f} s and {megabytes:.0f} MB more than bare Python"
        f" (bars: {BAR_SECONDS} s, {BAR_MEGABYTES} MB)"
    )


if __name__ == "__main__":
    main()
