"""One worker that answers a Cuckoo for a long time: it must not grow, and must not lose an analysis."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.faults.results import ManyResults
from benchmarks.faults.stored import count_lost, judge
from benchmarks.faults.tally import Budget, Tally, resident, show_progress


def one_worker(home: Path, corpus: Path, budget: Budget, late: float) -> Tally:
    """Send one request after another through the pipe, as Cuckoo's modules do."""
    command = [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(home), "worker"]
    tally, clock, results, answered, size_then = Tally(), budget.begun(), ManyResults(corpus), [], 0.0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        while clock.take(1):
            number = 10**7 + tally.tried
            tally.tried += 1
            body = json.dumps(results[number]).encode()
            header = {"id": number, "op": "enrich", "bytes": len(body), "analysis": str(10**8 + number)}
            start = time.perf_counter()
            worker.stdin.write(json.dumps(header).encode() + b"\n" + body)
            worker.stdin.flush()
            line = worker.stdout.readline()
            tally.answered(time.perf_counter() - start, late)
            if not line:
                tally.fail(f"the worker ended with {worker.wait()}")
                break
            answered.append(number)
            judge((json.loads(line).get("result") or {}).get("section") or {"message": line[:200]}, tally)
            if tally.tried == max(200, budget.count // 10):
                size_then = resident(worker.pid)
            if tally.tried % 100 == 0:
                show_progress("worker", tally, clock)
        tally.growth = resident(worker.pid) - size_then if size_then and worker.poll() is None else 0.0
        worker.stdin.close()
    print(file=sys.stderr)
    count_lost(home, answered, tally)
    return tally
