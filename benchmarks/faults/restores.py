"""A backup put back again and again over a home whose model a process has in use."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

from benchmarks.faults.homes import run
from benchmarks.faults.results import ManyResults
from benchmarks.faults.tally import Budget, Tally, show_progress
from cuckoo_ml_plugin.hosts.enrich import Enricher


def restores(folder: Path, home: Path, corpus: Path, budget: Budget, late: float) -> Tally:
    """A process scores while the same content is restored, and while all files of its model are cut off in place."""
    backup, stop = folder / "restores.tar.gz", folder / "restores.stop"
    run(home, "backup", backup)
    context = get_context("spawn")
    answers = context.Queue()
    scoring = context.Process(target=_score, args=(home, corpus, stop, late, answers))
    scoring.start()
    tally, clock = Tally(), budget.begun()
    while clock.take(1) and scoring.is_alive():
        tally.tried += 1
        if tally.tried % 2:
            for path in (home / "models" / "current").resolve().glob("*.npy"):
                with path.open("r+b") as file:
                    file.truncate(0)
        try:
            run(home, "restore", "--force", backup)
        except subprocess.CalledProcessError as error:
            tally.fail(error.stderr[-300:])
        show_progress("restores", tally, clock)
    print(file=sys.stderr)
    stop.touch()
    died = False
    while scoring.is_alive() and answers.empty():
        time.sleep(0.1)
    if answers.empty():
        died = True
    else:
        tally.add(answers.get())
    scoring.join()
    if died or scoring.exitcode:
        tally.fail(f"the process that scored ended with {scoring.exitcode}")
    return tally


def _score(home: Path, corpus: Path, stop: Path, late: float, answers: object) -> None:
    logging.disable()  # what is wrong stands in the sections
    results, enricher, tally, number = ManyResults(corpus), Enricher(home), Tally(), 0
    while not stop.exists():
        number += 1
        start = time.perf_counter()
        section = enricher.enrich(results[number % 40], str(10**8 + number % 40), None)
        tally.answered(time.perf_counter() - start, late)
        if "unexpected" in section["message"]:
            tally.fail(section["message"])
    answers.put(tally)  # type: ignore[attr-defined]
