"""What scoring adds to an analysis in the host's process, beside the host's own writing of the report.

    python -m benchmarks.speed.scoring [--sizes 1000 50000] [--data ../shared/data]
        [--report PART_OF_NAME] [--cache FOLDER]

A full CAPE report in memory, as a reporting module gets it, is extracted and scored; the reference is ``orjson.dumps``,
indented, of the same dictionary, which is how CAPE writes it. CAPE's parser of call logs uses one text for all calls of
a function, so the dictionary is measured that way; and as ``orjson.loads`` gives it, with a text of its own for each
call, which takes longer to read. Models are fitted on as many stored analyses as --sizes
says, made by perturbing real behaviour; a quarter of them are full CAPE analyses. Each size is measured in a fresh
process, which has read the other reports before: a host's process has seen other analyses.
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


def with_texts_shared(results: dict[str, Any]) -> dict[str, Any]:
    """The same results with what CAPE's log parser takes from its table of functions: one text for all calls of one.

    ``ParseProcessLog._parse`` of CAPE makes a table for each call, with the function's name, its category and the names
    of its arguments as the log's description of the function has them; its summary and events name one text as well.
    """
    known: dict[str, str] = {}

    def one(value: Any) -> Any:
        return known.setdefault(value, value) if isinstance(value, str) else value

    def call(found: dict[str, Any]) -> dict[str, Any]:
        shared = {key: one(value) if key in ("api", "category", "thread_id") else value for key, value in found.items()}
        return shared | {"arguments": [argument | {"name": one(argument["name"])} for argument in found["arguments"]]}

    behavior = results["behavior"]
    processes = [process | {"calls": list(map(call, process["calls"]))} for process in behavior["processes"]]
    summary = {operation: list(map(one, names)) for operation, names in behavior["summary"].items()}
    enhanced = [event | {key: one(event[key]) for key in ("event", "object")} for event in behavior["enhanced"]]
    return results | {"behavior": behavior | {"processes": processes, "summary": summary, "enhanced": enhanced}}


def measure(home: Path, report: Path, shared: bool) -> dict[str, dict[str, float]]:
    """Milliseconds of each step on ``report``, with the model of ``home``; for a fresh process."""
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
        results = with_texts_shared(results)

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


def fresh(*arguments: str) -> dict[str, dict[str, float]]:
    """What this program prints in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed.scoring", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output.splitlines()[-1]))


def scoring_table(title: str, measured: dict[str, dict[str, float]]) -> Table:
    """Milliseconds of each step, and their share of the reference."""
    table = Table(title=title, caption=f"bar: {BAR_SHARE:.0%} of orjson.dumps")
    for column in ("what", "best ms", "median ms", "best / dumps", "median / dumps"):
        table.add_column(column, justify="left" if column == "what" else "right")
    reference = measured["orjson.dumps, indented"]
    for name, times in measured.items():
        shares = (f"{times[one] / reference[one]:.1%}" for one in ("best", "median"))
        table.add_row(name, f"{times['best']:.2f}", f"{times['median']:.2f}", *shares)
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
    """Seconds and megabytes that importing the scoring side takes beyond a bare Python; medians of fresh processes."""

    def run(statement: str) -> tuple[float, float]:
        runs = []
        for _ in range(7):
            command = [sys.executable, "-c", _IMPORT.format(statement=statement)]
            runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        return statistics.median(one[0] for one in runs), statistics.median(one[1] for one in runs)

    scoring = "from cuckoo_ml_plugin import behaviour, labels, model, report"
    bare, ours = run("pass"), run(scoring)
    return ours[0] - bare[0], ours[1] - bare[1]


def main() -> None:
    """Fit what is missing, measure each size in a process of its own, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 50_000])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--report", default="36d218f3", help="part of the report's name (default: one of 15,638 calls)")
    parser.add_argument("--cache", type=Path, help="folder to keep the fitted models in")
    parser.add_argument("--one", nargs=3, metavar=("HOME", "REPORT", "TEXTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        home, path, texts = options.one
        print(json.dumps(measure(Path(home), Path(path), shared=texts == "shared")))
        return
    report = next((options.data / "cape").glob(f"*{options.report}*.json.gz"))
    console = Console()
    with tempfile.TemporaryDirectory() as temporary:
        behaviours = real_behaviours(options.data, CAPE_SHARE)
        for size in options.sizes:
            home = fitted_home((options.cache or Path(temporary)) / str(size), behaviours, size)
            for texts, title in (("shared", "as CAPE has them"), ("own", "as orjson.loads gives them")):
                measured = fresh("--one", str(home), str(report), texts)
                console.print(scoring_table(f"{size:,} analyses stored, results {title}", measured))
    seconds, megabytes = import_cost()
    console.print(
        f"Importing the scoring side: {seconds:.2f} s and {megabytes:.0f} MB more than bare Python"
        f" (bars: {BAR_SECONDS} s, {BAR_MEGABYTES} MB)"
    )


if __name__ == "__main__":
    main()
