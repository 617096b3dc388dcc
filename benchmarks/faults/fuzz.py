"""Hostile reports through both doors: as a file that is scored, and as results in a host's process.

Most are files that are read, extracted and scored by the model. Of a hundred one is scored as `cuckoo-ml score` does,
with the store, and one goes through a host's process, which stores it: these cost ten times as much.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.hostile_reports import HostileReports
from benchmarks.faults.stored import WAITS, drain
from benchmarks.faults.tally import Budget, Tally, resident, show_progress
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.finding.section import Finding, read_section
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.report.labels import best_label, labels_of
from cuckoo_ml_plugin.report.report import read_report
from cuckoo_ml_plugin.store.store import Store

_SLICE: Final = 200  # reports that a process takes at once
_HOST, _WHOLE = 0, 50  # which of a hundred reports go through a host's process, and with the store
STATUSES: Final = ("scored", "no_behaviour", "no_model", "failed")


@dataclass(slots=True)
class _Process:
    """What a process keeps between its slices."""

    reports: HostileReports
    engine: Engine
    enricher: Enricher
    file: Path
    budget: Budget
    late: float
    slices: int = 0
    size_then: float = 0.0


_process: list[_Process] = []


def fuzz(home: Path, corpus: Path, budget: Budget, late: float, jobs: int) -> Tally:
    """Score reports ``0, 1, ...`` in ``jobs`` processes; a process that dies is a wrong answer, and ends the run."""
    tally, clock = Tally(), budget.begun()
    stored_before = _stored(home)
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(home, corpus, budget, late)) as pool:
        running: set[Future[tuple[Tally, int]]] = set()
        accepted, first = 0, count(step=_SLICE)
        while True:
            while len(running) < 2 * jobs and (taken := clock.take(_SLICE)):
                running.add(pool.submit(_slice, next(first), taken, clock.ends))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    part, stored = future.result()
                except BrokenProcessPool:
                    tally.fail("a process died")
                    return tally
                tally.add(part)
                accepted += stored
            show_progress("fuzz", tally, clock)
    print(file=sys.stderr)
    drain(home)
    tally.lost += max(0, accepted - (_stored(home) - stored_before))
    return tally


def _begin(home: Path, corpus: Path, budget: Budget, late: float) -> None:
    logging.disable()  # what is wrong stands in the sections
    file = home.parent / f"fuzz-{os.getpid()}.json"
    _process[:] = [_Process(HostileReports(corpus), Engine(Home(home)), Enricher(home), file, budget, late)]


def _slice(first: int, number: int, ends: float) -> tuple[Tally, int]:
    """The tally of some reports until a moment, and how many of them were stored."""
    process, tally, stored = _process[0], Tally(), 0
    for report in range(first, first + number):
        if report > first and (process.budget.is_stopped or time.monotonic() >= ends):
            break
        tally.tried += 1
        start = time.perf_counter()
        try:
            if report % 100 == _HOST:
                stored += _host_door(process, report, tally)
            else:
                _file_door(process, report, tally)
        except Exception as error:  # what escapes would have ended the host's analysis, or the command
            tally.fail(f"report {report}: {type(error).__name__}: {error}")
        tally.answered(time.perf_counter() - start, process.late)
    process.slices += 1
    if process.slices == 10:  # by then caches and pools are filled
        process.size_then = resident()
    tally.growth = resident() - process.size_then if process.size_then else 0.0
    return tally, stored


def _file_door(process: _Process, report: int, tally: Tally) -> None:
    process.file.write_bytes(process.reports.file(report))
    try:
        if report % 100 == _WHOLE:
            finding = process.engine.score_file(process.file, f"fuzz-{report}")
        else:
            read = read_report(process.file)
            best = best_label(labels_of(read))
            finding = process.engine.score_without_store(extract(read), "", best.family if best else None)
    except ReportError:  # a clear error is a right answer
        return
    _check(report, finding.section(), tally)


def _host_door(process: _Process, report: int, tally: Tally) -> bool:
    """Whether the analysis was stored, or waits to be."""
    results = process.reports.results(report)
    process.enricher.counts(results)
    section = process.enricher.enrich(results, str(10**9 + report), f"/fuzz/{report}/report.json")
    _check(report, section, tally)
    return section["status"] in ("scored", "no_behaviour") and (not section["message"] or WAITS in section["message"])


def _check(report: int, section: dict[str, Any], tally: Tally) -> None:
    text = json.dumps(section, allow_nan=False)
    finding: Finding = read_section(json.loads(text))
    if finding.status not in STATUSES:
        tally.fail(f"report {report}: status {finding.status!r}")
    elif "unexpected" in finding.message:
        tally.fail(f"report {report}: {finding.message}")


def _stored(home: Path) -> int:
    with Store.open(Home(home).store_file) as store:
        return store.count()
