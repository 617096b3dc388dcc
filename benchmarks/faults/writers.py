"""Sixteen processes that store analyses at once, as the processes of busy sandboxes do."""

from __future__ import annotations

import sys
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.results import ManyResults, sha256
from benchmarks.faults.tally import Budget, Tally, resident
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher

WRITERS: Final = 16


def writers(home: Path, corpus: Path, budget: Budget, limit: float) -> Tally:
    """Each stores ``budget.count`` analyses, or as many as the time allows; then each must be in the store once."""
    context = get_context("spawn")
    answers: Queue[Any] = context.Queue()
    processes = [
        context.Process(target=_write, args=(home, corpus, number, budget, limit, answers)) for number in range(WRITERS)
    ]
    for process in processes:
        process.start()
    tally, stored = Tally(), []
    for done in range(WRITERS):
        part, own = answers.get()
        tally.add(part)
        stored += own
        print(f"\rwriters: {done + 1} of {WRITERS} done, {tally.tried:,} analyses", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for process in processes:
        process.join()
        if process.exitcode:
            tally.fail(f"a writer ended with {process.exitcode}")
    tally.lost = missing(home, stored)
    return tally


def missing(home: Path, numbers: list[int]) -> int:
    """How many of these analyses the store does not have exactly once."""
    store = Engine(Home(home)).store
    lost = 0
    for start in range(0, len(numbers), 500):
        hashes = [sha256(number) for number in numbers[start : start + 500]]
        found = [run.sha256 for run in store.runs_of_files(hashes, 10 * len(hashes))]
        lost += sum(found.count(file) != 1 for file in hashes)
    return lost


def _write(home: Path, corpus: Path, writer: int, budget: Budget, limit: float, answers: Queue[Any]) -> None:
    results, enricher = ManyResults(corpus), Enricher(home)
    tally, clock, stored, size_then = Tally(), budget.begun(), [], 0.0
    while clock.take(1):
        number = writer + WRITERS * tally.tried
        tally.tried += 1
        start = time.perf_counter()
        try:
            section = enricher.enrich(results[number], str(10**8 + number), f"/writers/{number}/report.json")
        except Exception as error:
            tally.fail(f"{type(error).__name__}: {error}")
            continue
        tally.answered(time.perf_counter() - start, limit)
        if section["status"] == "failed" or "unexpected" in section["message"]:
            tally.fail(section["message"])
        else:
            stored.append(number)
        if tally.tried == max(50, budget.count // 10):
            size_then = resident()
    tally.growth = resident() - size_then if size_then else 0.0
    answers.put((tally, stored))
