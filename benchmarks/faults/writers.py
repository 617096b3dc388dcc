"""Processes that store analyses at once, as the processes of busy sandboxes do."""

from __future__ import annotations

import logging
import sys
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any, Final

from benchmarks.faults.results import ManyResults
from benchmarks.faults.stored import count_lost, judge
from benchmarks.faults.tally import Budget, Tally, resident, show_progress
from cuckoo_ml_plugin.hosts.enrich import Enricher

WRITERS: Final = 16
_PART: Final = 1.0  # seconds after which a writer says what it has done since


def writers(home: Path, corpus: Path, budget: Budget, late: float, number: int = WRITERS) -> Tally:
    """Each stores ``budget.count`` analyses, or as many as the time allows; then each must be in the store once.

    The time of each begins when it has loaded what it needs. ``late``: the seconds after which an answer is late.
    """
    context = get_context("spawn")
    answers: Queue[Any] = context.Queue()
    processes = [
        context.Process(target=_write, args=(home, corpus, writer, number, budget, late, answers))
        for writer in range(number)
    ]
    for process in processes:
        process.start()
    tally, answered, clock, done = Tally(), [], budget.begun(), 0
    while done < number:
        try:
            part, own, has_ended = answers.get(timeout=10)
        except Empty:
            if not any(process.is_alive() for process in processes):
                break  # what they had to say is lost; their exit codes follow
            continue
        tally.add(part)
        answered += own
        done += has_ended
        show_progress("writers", tally, clock)
    print(file=sys.stderr)
    for process in processes:
        process.join()
        if process.exitcode:
            tally.fail(f"a writer ended with {process.exitcode}")
    count_lost(home, answered, tally)
    return tally


def _write(
    home: Path, corpus: Path, writer: int, number_of_writers: int, budget: Budget, late: float, answers: Queue[Any]
) -> None:
    logging.disable()  # what is wrong stands in the sections
    results, enricher = ManyResults(corpus), Enricher(home)
    tally, clock, tried, size_then = Tally(), budget.begun(), 0, 0.0
    answered: list[int] = []
    part_began = time.monotonic()
    while clock.take(1):
        number = writer + number_of_writers * tried
        tried += 1
        _write_one(enricher, results, number, late, tally, answered)
        if tried == max(50, budget.count // 10):
            size_then = resident()
        if time.monotonic() - part_began > _PART:
            answers.put((tally, answered, False))
            tally, answered, part_began = Tally(), [], time.monotonic()
    tally.growth = resident() - size_then if size_then else 0.0
    answers.put((tally, answered, True))


def _write_one(
    enricher: Enricher, results: ManyResults, number: int, late: float, tally: Tally, answered: list[int]
) -> None:
    tally.tried += 1
    start = time.perf_counter()
    try:
        section = enricher.enrich(results[number], str(10**8 + number), f"/writers/{number}/report.json")
    except Exception as error:
        tally.fail(f"{type(error).__name__}: {error}")
        return
    tally.answered(time.perf_counter() - start, late)
    answered.append(number)
    judge(section, tally)
