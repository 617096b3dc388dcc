"""What became of analyses in the end: whether each is in the store, once those that wait have been stored."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.results import sha256
from benchmarks.faults.tally import Tally
from cuckoo_ml_plugin.engine.arrivals.spool import Spool
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher

WAITS: Final = "waits in the home"
"""What a section says of an analysis that is kept for later."""
_PATIENCE: Final = 120.0  # seconds without any progress, after which what waits counts as lost


def judge(section: Mapping[str, Any], tally: Tally) -> None:
    """Count an answer that is none, and one without a score: where time was short, an analysis that waits is right."""
    status, message = section.get("status"), str(section.get("message"))
    if status == "failed" and WAITS in message and "unexpected" not in message:
        tally.unscored += 1
    elif status not in ("scored", "no_behaviour") or "unexpected" in message:
        tally.fail(f"{status}: {message}")


def drain(home: Path) -> int:
    """Store what waits, as the next analyses of a host would; how many still wait where that does not go on."""
    enricher, until = Enricher(home), time.monotonic() + _PATIENCE
    while enricher.waits and time.monotonic() < until:
        if enricher.store_waiting():
            until = time.monotonic() + _PATIENCE
        else:
            time.sleep(0.2)
    return Spool(Home(home)).count()


def count_lost(home: Path, numbers: list[int], tally: Tally) -> None:
    """Count those of the analyses that were answered which the store does not have exactly once in the end."""
    still = drain(home)
    if still:
        tally.remark(f"{still:,} analyses still wait in the home")
    store = Engine(Home(home)).store
    for start in range(0, len(numbers), 500):
        hashes = [sha256(number) for number in numbers[start : start + 500]]
        found = [run.sha256 for run in store.runs_of_files(hashes, 10 * len(hashes))]
        tally.lost += sum(found.count(file) != 1 for file in hashes)
