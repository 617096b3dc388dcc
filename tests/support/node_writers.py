"""A node at work: eight processes, forked by one program as CAPE's own are, each with the enricher that it keeps.

Each line of its input has the reports for each process, which all begin at once; the answer has their sections.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.hosts.enrich import Enricher

WRITERS = 8
_STORAGE = "/opt/CAPEv2/storage/analyses"  # the same on every node
_LIMIT = 300.0  # seconds, which only bound hangs

_own: dict[str, Any] = {}  # of each process


def _begin(home: Path, barrier: Any) -> None:
    _own["enricher"], _own["barrier"] = Enricher(home, patience=_LIMIT), barrier


def _process(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sections of these reports; the barrier gives each process one share of the work."""
    _own["barrier"].wait(_LIMIT)
    tasks = [str(report["info"]["id"]) for report in reports]
    return [
        _own["enricher"].enrich(report, task, f"{_STORAGE}/{task}/reports/report.json")
        for task, report in zip(tasks, reports, strict=True)
    ]


def main() -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(WRITERS, _begin, (Path(sys.argv[1]), context.Barrier(WRITERS))) as pool:
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(pool.map(_process, json.loads(line), chunksize=1)), flush=True)


if __name__ == "__main__":
    main()
