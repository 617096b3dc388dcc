"""The time of a pass over CAPE's lazy call logs, which our processing module therefore avoids.

    CAPE_PYTHON=/opt/CAPEv2-env/bin/python python -m benchmarks.hosts.cape_lazy_calls --root /opt/CAPEv2

The calls of a real report are written as the log that CAPE's monitor sends, and read by CAPE's own ParseProcessLog. The
reference is a pass over the same calls as plain lists, as the reporting stage has them.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.support.paths import DATA

_PROGRAM = """
import json, os, sys, time
root, report, log = sys.argv[1:4]
sys.path.insert(0, root); os.chdir(root)
import bson
from lib.cuckoo.core import database
database.init_database(dsn="sqlite://")
from modules.processing.behavior import ParseProcessLog

calls = [call for process in json.load(open(report, "rb"))["behavior"]["processes"] for call in process["calls"]]
infos = {}
process = {"TimeLow": 0, "TimeHigh": 30000000, "ProcessIdentifier": 4, "ParentProcessIdentifier": 1}
process["ModulePath"] = "C:/a"
with open(log, "wb") as file:
    def write(name, category, arguments, thread=1):
        key = name, tuple(arguments)
        if key not in infos:
            infos[key] = len(infos)
            info = {"I": infos[key], "type": "info", "name": name, "category": category}
            file.write(bson.encode(info | {"args": ["is_success", "retval", *arguments]}))
        values = [1, 0, *arguments.values()]
        file.write(bson.encode({"I": infos[key], "T": thread, "t": 1, "R": 0, "P": 0, "r": 0, "args": values}))
    write("__process__", "__init__", process)
    for call in calls:
        arguments = {argument["name"]: str(argument["value"]) for argument in call["arguments"]}
        write(call["api"], call["category"], arguments, int(call["thread_id"]))

class Options(dict):
    __getattr__ = dict.get

parsed = ParseProcessLog(log, Options())
def best(work):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3

parsed_calls = sum(1 for _ in parsed)
lazy, plain = best(lambda: [call["api"] for call in parsed]), best(lambda: [call["api"] for call in calls])
print(f"{len(calls):,} calls; a pass over the lazy log ({parsed_calls:,} after repeats are joined): {lazy:.0f} ms;"
      f" over the plain list: {plain:.1f} ms; {lazy / plain:.0f} times")
"""


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--report", default="36d218f3", help="part of the report's name")
    options = parser.parse_args()
    packed = next((options.data / "cape").glob(f"*{options.report}*.json.gz"))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        report.write_bytes(gzip.decompress(packed.read_bytes()))
        python = os.environ.get("CAPE_PYTHON", sys.executable)
        command = [python, "-c", _PROGRAM, str(options.root), str(report), str(Path(folder) / "4.bson")]
        process = subprocess.run(command, check=False, capture_output=True, text=True)
        if process.returncode:
            raise SystemExit(process.stderr[-2000:])
        print(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
