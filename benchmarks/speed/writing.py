"""The time that an analysis takes while many write and refits run, and what it asks of the disk.

    python -m benchmarks.speed.writing [--against CHECKOUT] [--writers 16] [--analyses 40] [--pace 2]
        [--databases sqlite postgresql]

Processes of a host store and score analyses beside a command that refits again and again, in one home with the demo's
corpus. Each begins an analysis every --pace seconds, or as soon as the one before has ended; with 0, without a pause.
The time to write is all that an analysis spends in transactions that write: opening, waiting for others, and the disk.
Each process keeps its enricher, as a host's does. The code of --against, a checkout of this repository as it was, is
measured in the same way in the same run, in turns: the speed of a machine varies. PostgreSQL is a server of the
benchmark's own, from the distribution's packages.

A second table counts system calls for an analysis of a single process with SQLite, by strace, where that is installed.
Those of the first ten analyses, which open everything, are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import REPOSITORY

ROUNDS = 3
WARM_UP = 10
CALLS = ("fsync", "fdatasync", "openat", "unlink")

sys.path.append(str(REPOSITORY / "tests"))  # for the tests' server

# One process of a host: it stores and scores analyses, each a run of its own, and prints the seconds of each.
WRITER = """
import json, logging, sys, time
from pathlib import Path
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.store.database import Database
home, reports, pace = Path(sys.argv[1]), json.load(open(sys.argv[2])), float(sys.argv[6])
writer, count, warm_up = map(int, sys.argv[3:6])
logging.disable()
spent, depth, write = [0.0], [0], Database.write
def timed(database, work):
    start = time.perf_counter()
    depth[0] += 1
    try:
        return write(database, work)
    finally:
        depth[0] -= 1
        spent[0] += 0 if depth[0] else time.perf_counter() - start
Database.write = timed
enricher, times, writes, problems = Enricher(home), [], [], 0
begin = time.monotonic() + pace * writer / 16
for number in range(warm_up + count):
    results, task = reports[(writer + number) % len(reports)], str(100000 * (writer + 1) + number)
    started = f"2026-0{number % 9 + 1}-01 0{writer % 10}:00:{number % 60:02d}"
    info = {**results["info"], "id": int(task), "started": started}
    if number == warm_up:
        open(f"{home}/begins-{writer}", "w").close()
    time.sleep(max(begin - time.monotonic(), 0))
    begin = max(begin + pace, time.monotonic())
    start, spent[0] = time.perf_counter(), 0.0
    section = enricher.enrich({**results, "info": info}, task, f"/nowhere/{task}/reports/report.json")
    if number >= warm_up:
        times.append(time.perf_counter() - start)
        writes.append(spent[0])
        problems += "not stored" in section["message"] or "not saved" in section["message"]
print(json.dumps({"times": times, "writes": writes, "problems": problems}))
"""
REFITS = """
import subprocess, sys, time
while True:
    subprocess.run([sys.executable, "-m", "cuckoo_ml_plugin", "--home", sys.argv[1], "refit"], capture_output=True)
    open(sys.argv[1] + "/refits", "a").write("x")
"""


def environment(code: Path) -> dict[str, str]:
    """That of a process which runs the code of a checkout."""
    return {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start(code: Path, program: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs the code of a checkout, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=code, env=environment(code), stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


def command(code: Path, home: Path, *arguments: object) -> None:
    """Run ``cuckoo-ml`` of a checkout."""
    subprocess.run(
        [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(home), *map(str, arguments)], cwd=code,
        env=environment(code), check=True, capture_output=True,
    )  # fmt: skip


def make_home(code: Path, folder: Path, samples: Path, url: str) -> Path:
    """A home of the demo's corpus, stored and fitted by the code of a checkout."""
    home = folder / "home"
    home.mkdir()
    (home / "cuckooml.conf").write_text(f"[store]\nurl = {url}\n", encoding="utf-8")
    command(code, home, "import", samples)
    command(code, home, "refit")
    return home


@contextmanager
def databases(kinds: Sequence[str], folder: Path) -> Iterator[dict[str, str]]:
    """For each kind of database the URL, to be formatted with ``database``; "" for SQLite in the home."""
    urls = {}
    with ExitStack() as stack:
        for kind in kinds:
            urls[kind] = ""
            if kind == "postgresql":
                from support.postgresql import running_server, server_programs

                programs = server_programs()
                assert programs is not None, "PostgreSQL is not installed"
                urls[kind] = stack.enter_context(contextmanager(running_server)(programs))
        yield urls


def new_database(server: str, name: str) -> str:
    """The URL of an empty database; "" for SQLite."""
    from support.postgresql import new_database

    return new_database(server, name) if server else ""


@dataclass
class Written:
    """The seconds that each analysis took, and those that it took to write.

    ``problems``: analyses that were not stored, or without their finding. ``refits``: those that ended meanwhile.
    """

    times: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    problems: int = 0
    refits: int = 0


def write(code: Path, home: Path, reports: Path, writers: int, analyses: int, pace: float, total: Written) -> None:
    """Let the writers work, and add what came of it to ``total``."""
    refits = start(code, REFITS, home)
    processes = [start(code, WRITER, home, reports, writer, analyses, WARM_UP, pace) for writer in range(writers)]
    for process in processes:
        out, _ = process.communicate()
        answer = json.loads(out)
        total.times += answer["times"]
        total.writes += answer["writes"]
        total.problems += answer["problems"]
    os.killpg(refits.pid, signal.SIGKILL)
    refits.wait()
    done = home / "refits"
    total.refits += len(done.read_text(encoding="utf-8")) if done.exists() else 0


def system_calls(code: Path, home: Path, reports: Path, analyses: int) -> Counter[str]:
    """How often an analysis makes each system call; of ``openat`` and ``unlink`` only those of the store's files."""
    trace = home.parent / "trace"
    subprocess.run(
        ["strace", "-f", "-qq", "-e", f"trace={','.join(CALLS)}", "-o", str(trace), sys.executable, "-c", WRITER,
         str(home), str(reports), "0", str(analyses), str(WARM_UP), "0"],
        cwd=code, env=environment(code), check=True, capture_output=True,
    )  # fmt: skip
    _, _, rest = trace.read_text(encoding="utf-8", errors="replace").partition("begins-0")
    made: Counter[str] = Counter()
    for line in rest.splitlines():
        name = next((name for name in CALLS if f" {name}(" in line), None)
        if name is not None and (name.endswith("sync") or "store.db" in line):
            made[name] += 1
    return made


def percentile(times: list[float], share: int) -> float:
    """A percentile in milliseconds."""
    return 1e3 * statistics.quantiles(times, n=100, method="inclusive")[share - 1]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--analyses", type=int, default=40, help="of each writer in each round")
    parser.add_argument("--pace", type=float, default=2.0, help="seconds from one analysis of a writer to the next")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    codes = {"before": arguments.against.resolve()} if arguments.against else {}
    codes["now"] = REPOSITORY
    columns = [f"{what}, {value} ms" for what in ("write", "all") for value in ("median", "p99", "longest")]
    table = Table("database", "code", "analyses", *columns, "problems", "refits")
    calls = Table("code", *CALLS, title="System calls for an analysis, SQLite, one process")
    with tempfile.TemporaryDirectory(prefix="writing-") as name:
        folder = Path(name)
        from cuckoo_ml_samples import generate

        corpus = generate(folder / "corpus")
        samples = folder / "samples"
        samples.mkdir()
        for number, analysis in enumerate(corpus.fitted):
            suffix = ".".join(analysis.path.name.split(".")[1:])
            os.link(analysis.path, samples / f"{analysis.name}-{number}.{suffix}")
        reports = folder / "reports.json"
        reports.write_text(json.dumps([json.loads(new.path.read_text("utf-8")) for new in corpus.new]), "utf-8")
        with databases(arguments.databases, folder) as urls:
            for database, server in urls.items():
                totals = {code: Written() for code in codes}
                for turn in range(arguments.rounds):
                    for code, checkout in codes.items():
                        place = folder / f"{database}-{code}-{turn}"
                        place.mkdir()
                        home = make_home(checkout, place, samples, new_database(server, f"{code}{turn}"))
                        work = (arguments.writers, arguments.analyses, arguments.pace)
                        write(checkout, home, reports, *work, totals[code])
                        shutil.rmtree(place)
                for code, total in totals.items():
                    cells = [
                        f"{value:,.0f}"
                        for times in (total.writes, total.times)
                        for value in (percentile(times, 50), percentile(times, 99), 1e3 * max(times))
                    ]
                    table.add_row(
                        database, code, f"{len(total.times):,}", *cells, str(total.problems), str(total.refits)
                    )
        if shutil.which("strace"):
            for code, checkout in codes.items():
                place = folder / f"calls-{code}"
                place.mkdir()
                made = system_calls(checkout, make_home(checkout, place, samples, ""), reports, arguments.analyses)
                calls.add_row(code, *(f"{made[name] / arguments.analyses:.2f}" for name in CALLS))
    console = Console(width=160)
    console.print(table)
    if calls.rows:
        console.print(calls)


if __name__ == "__main__":
    main()
