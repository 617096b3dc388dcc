"""The worker as a host on Python 2.7 meets it: a line of JSON and a body in, a line of JSON out."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.demo_home import DemoHome
from support.paths import REPOSITORY
from support.time_limits import HANG

from cuckoo_ml_plugin.hosts.worker import OPERATIONS, Resources, serve

PROGRAM = "import sys; sys.argv[0] = 'cuckoo-ml'; from cuckoo_ml_plugin.cli import main; main()"


def request(number: int, op: str, body: bytes = b"{}", **more: Any) -> bytes:
    return json.dumps({"id": number, "op": op, "bytes": len(body), **more}).encode() + b"\n" + body


def answers(home: Path, *requests: bytes, operations: Any = OPERATIONS) -> list[dict[str, Any]]:
    out = io.BytesIO()
    serve(Resources(home), io.BytesIO(b"".join(requests)), out, operations)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_requests_are_answered_in_order_and_an_error_affects_no_other_request(tmp_path: Path) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("a bug")

    requests = [request(1, "ping"), request(2, "breaks"), request(3, "unknown"), request(4, "ping")]
    replies = answers(tmp_path, *requests, operations={**OPERATIONS, "breaks": breaks})
    assert [reply["id"] for reply in replies] == [1, 2, 3, 4]
    assert "result" in replies[0]
    assert "a bug" in replies[1]["error"]
    assert "unknown" in replies[2]["error"]
    assert "result" in replies[3]


@pytest.mark.parametrize(
    "body",
    [
        rb'{"info": {"id": NaN, "version": "2.0.7"}, "strings": ["\ud800", "a"]}',
        rb'{"info": {"id": 1}, "behavior": {"processes": [{"calls": Infinity}], "summary": {"mutex": ["\udc00x"]}}}',
        b"[]",
        b"no JSON",
        b"\xff\xfe",
    ],
)
def test_python_2s_json_and_broken_json_get_an_answer(tmp_path: Path, body: bytes) -> None:
    requests = [request(1, "counts", body), request(2, "enrich", body, analysis="1", calls=[[["A"], [0, 0]]])]
    replies = answers(tmp_path, *requests, request(3, "ping"))
    assert [reply["id"] for reply in replies] == [1, 2, 3]
    assert "result" in replies[2]


@pytest.mark.parametrize("line", [b"no JSON\n", b"[1]\n", b'{"bytes": -5}\n', b'{"bytes": "x"}\n'])
def test_the_worker_ends_when_the_boundaries_of_requests_are_lost(tmp_path: Path, line: bytes) -> None:
    assert len(answers(tmp_path, request(1, "ping"), line, request(2, "ping"))) == 1


def test_calls_in_the_header_count_like_calls_in_the_report(own_demo: DemoHome) -> None:
    path = next(file for folder in own_demo.corpus.import_paths for file in Path(folder).rglob("report.json"))
    report = json.loads(path.read_text(encoding="utf-8"))
    whole = json.dumps(report).encode()
    logs = []
    for process in report["behavior"]["processes"]:
        names = [call["api"] for call in process.pop("calls")]
        known = sorted(set(names))
        logs.append([known, [known.index(name) for name in names]])
    [from_report, from_header] = answers(
        own_demo.home,
        request(1, "enrich", whole, analysis="9001"),
        request(2, "enrich", json.dumps(report).encode(), analysis="9001", calls=logs),
    )
    assert from_report["result"] == from_header["result"]
    assert from_report["result"]["section"]["counts"]["distinct_call_pairs"] > 0


def start(home: Path, *arguments: str, before: str = "") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", f"{before}\n{PROGRAM}", "--home", str(home), "worker", *arguments]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def test_output_of_a_library_is_no_answer_and_the_worker_ends_with_its_input(tmp_path: Path) -> None:
    prints = (
        "import cuckoo_ml_plugin.hosts.worker as w, os\n"
        "def noisy(*a):\n    print('stray', flush=True); os.write(1, b'stray'); return 1\n"
        "w.OPERATIONS['noisy'] = noisy"
    )
    out, _ = start(tmp_path, before=prints).communicate(request(1, "noisy") + request(2, "ping"), timeout=HANG)
    assert [json.loads(line)["id"] for line in out.splitlines()] == [1, 2]


def test_a_worker_does_not_outlive_its_parent(tmp_path: Path) -> None:
    worker = start(tmp_path, "--parent", str(os.getpid() + 1))  # some process that is not its parent
    assert worker.stdin is not None
    assert worker.wait(timeout=HANG) == 0  # though its input is still open
    worker.stdin.close()
