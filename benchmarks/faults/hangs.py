"""Whatever an analysis needs hangs: it is answered within the limit, scored where that can be, and stored afterwards.

The six ways of :data:`WAYS` take turns. Each try makes one of them hang, lets two analyses end meanwhile (of a process
that has worked before, and of a new one), ends the hang, and lets one more analysis end. Of Cuckoo's process, whose
worker is frozen, there is one analysis meanwhile.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from support.cuckoo2 import find_python2, our_command
from support.cuckoo2_client import CuckooProcess
from support.hangs import frozen_server, locked_sqlite, locked_table, silent_port, unanswering_file

from benchmarks.faults.homes import Homes
from benchmarks.faults.results import ManyResults
from benchmarks.faults.stored import WAITS, count_lost
from benchmarks.faults.tally import Budget, Tally, show_progress
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.plumbing.time_limit import OverdueError, within

WAYS: Final = (
    "locked SQLite", "frozen worker", "silent port", "locked table", "frozen PostgreSQL", "silent file system",
)  # fmt: skip
_ENDLESS: Final = 10.0  # times the limit: who has not answered by then hangs for good
_FIRST: Final = 2 * 10**7  # the number of the first analysis; each way has a million
_ATTEMPTS: Final = 5  # at having a worker that answers, before it is frozen

Enrich = Callable[[Mapping[str, Any], str], dict[str, Any]]


class LeftOutError(Exception):
    """A way to hang cannot be made here; the message says why."""


@dataclass(slots=True)
class _Way:
    """A way to hang.

    Attributes:
        meanwhile: who reports an analysis each while it hangs.
        afterwards: who reports one when it has ended.
        is_scored: whether an analysis can be scored meanwhile.
        numbers: the analyses that were answered.
    """

    home: Path
    hang: Callable[[], AbstractContextManager[object]]
    meanwhile: Callable[[], list[Enrich]]
    afterwards: Enrich
    is_scored: bool
    numbers: list[int]


def hangs(folder: Path, homes: Homes, corpus: Path, budget: Budget, limit: float, late: float) -> Tally:
    """Let the ways take turns. ``limit``: ``[host] time_limit`` of the homes."""
    tally, results, ways = Tally(), ManyResults(corpus), {}
    with ExitStack() as stack:
        for name in WAYS:
            try:
                ways[name] = _way(name, folder, homes, limit, stack)
            except LeftOutError as error:
                tally.remark(f"left out: {name}, because {error}")
        clock, turns, tried = budget.begun(), cycle(ways), dict.fromkeys(ways, 0)
        while ways and clock.take(1):
            name = next(turns)
            _try(name, ways[name], results, _FIRST + 10**6 * WAYS.index(name) + 10 * tried[name], late, limit, tally)
            tried[name] += 1
            show_progress("hangs", tally, clock)
        print(file=sys.stderr)
    missed = [name for name, times in tried.items() if not times]
    if missed:
        tally.remark(f"the time was not enough for: {', '.join(missed)}")
    made = sum(map(bool, tried.values()))
    tally.scope = f"{made} of {len(WAYS)} ways" if made < len(WAYS) else ""
    for name, way in ways.items():
        lost = tally.lost
        count_lost(way.home, way.numbers, tally)
        if tally.lost > lost:
            tally.remark(f"{name}: {tally.lost - lost} lost")
    return tally


def _try(name: str, way: _Way, results: ManyResults, number: int, late: float, limit: float, tally: Tally) -> None:
    tally.tried += 1

    def report(enrich: Enrich, number: int) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            section = within(_ENDLESS * limit, partial(enrich, results[number], str(10**8 + number)))
        except OverdueError:
            section = {"status": "none", "message": f"no answer within {_ENDLESS * limit:.0f} s"}
        except Exception as error:
            section = {"status": "none", "message": f"{type(error).__name__}: {error}"}
        tally.answered(time.perf_counter() - start, late)
        way.numbers.append(number)
        return section

    reporters = way.meanwhile()
    with way.hang():
        for place, enrich in enumerate(reporters):
            section = report(enrich, number + place)
            wanted = "scored" if way.is_scored else "failed"
            if section["status"] != wanted or WAITS not in section["message"]:
                tally.fail(f"{name}: {section['status']}: {section['message']}")
    section = report(way.afterwards, number + 9)
    if section["status"] != "scored" and WAITS not in section["message"]:
        tally.fail(f"{name}, afterwards: {section['status']}: {section['message']}")


def _way(name: str, folder: Path, homes: Homes, limit: float, stack: ExitStack) -> _Way:
    """A way, with a home of its own. Raises LeftOutError."""
    if name == "frozen worker":
        return _frozen_worker(folder, homes, limit, stack)
    if name == "silent port" and find_spec("psycopg") is None:
        raise LeftOutError("the package psycopg is not installed")
    url = ""
    if name in ("locked table", "frozen PostgreSQL"):
        url, why = homes.database(f"hangs-{name.split()[0]}", own_server=name == "frozen PostgreSQL")
        if not url:
            raise LeftOutError(why)
    home = homes.copy(f"hangs-{name.replace(' ', '-')}", url)
    model = (home / "models" / "current").resolve() / "model.json"
    made: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "locked SQLite": lambda: locked_sqlite(home),
        "silent port": lambda: _moved_to_silent_port(homes, home),
        "locked table": lambda: locked_table(url),
        "frozen PostgreSQL": lambda: frozen_server(url),
        "silent file system": lambda: unanswering_file(model),
    }
    enricher = Enricher(home)

    def reporting(enricher: Enricher) -> Enrich:
        return lambda results, task: enricher.enrich(results, task, f"/hangs/{task}/reports/report.json")

    def meanwhile() -> list[Enrich]:
        if name == "silent file system":  # what has loaded the model needs no file of it any more
            return [reporting(Enricher(home)), reporting(Enricher(home))]
        return [reporting(enricher), reporting(Enricher(home))]

    return _Way(home, made[name], meanwhile, reporting(enricher), name != "silent file system", [])


@contextmanager
def _moved_to_silent_port(homes: Homes, home: Path) -> Iterator[None]:
    """The settings name a server that never answers, as after a fault of the network."""
    with silent_port() as url:
        homes.set_store(home, url)
        try:
            yield
        finally:
            homes.set_store(home, "")


def _frozen_worker(folder: Path, homes: Homes, limit: float, stack: ExitStack) -> _Way:
    python = find_python2()
    if python is None:
        raise LeftOutError("there is no Python 2.7")
    home = homes.copy("hangs-frozen-worker")
    commands = folder / "commands"
    commands.mkdir()
    cuckoo = stack.enter_context(CuckooProcess(python, home, our_command(commands), limit))
    way = _Way(home, lambda: _frozen(cuckoo), lambda: [cuckoo.enrich], cuckoo.enrich, False, [])
    return way


@contextmanager
def _frozen(cuckoo: CuckooProcess) -> Iterator[None]:
    """Cuckoo's worker is stopped, once it answers; Cuckoo ends it, and begins another for the next analysis."""
    for _ in range(_ATTEMPTS):
        if cuckoo.enrich({"info": {"id": 1}}, "1")["status"] != "failed" and cuckoo.worker is not None:
            break
    if cuckoo.worker is not None:
        os.kill(cuckoo.worker, signal.SIGSTOP)
    yield
