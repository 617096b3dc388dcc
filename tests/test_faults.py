"""The harness of faults, run for a moment: nothing is lost or wrong, and an interrupted run says what it has done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo_home import DemoHome
from support.hangs import locked_sqlite
from support.paths import REPOSITORY
from support.time_limits import HANG

from benchmarks.faults.results import ManyResults
from benchmarks.faults.stored import count_lost
from benchmarks.faults.tally import Tally
from cuckoo_ml_plugin.hosts.enrich import Enricher

FAULTS = {"fuzz", "kills", "writers, SQLite", "worker", "restores", "hangs"}
FEW = ("--jobs", "1", "--writers", "2", "--postgresql", "no")  # its stories with PostgreSQL are in test_time_limit.py


@pytest.fixture
def home(own_demo: DemoHome) -> Path:
    """A home as the command demo makes it, with its reports inside."""
    (own_demo.home / "demo").symlink_to(own_demo.corpus.folder)
    return own_demo.home


def harness(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.faults", "--home", str(home), *FEW, *arguments]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def rows(table: str) -> dict[str, list[str]]:
    """The cells of each fault: tried, lost, wrong, late, and more."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    return {row[0]: row[1:] for row in cells}


def test_each_fault_tried_for_a_moment_loses_nothing(home: Path) -> None:
    with harness(home, "--seconds", "1", "--limit", "5", "--late", str(HANG)) as run:
        out, err = run.communicate(timeout=HANG)
    told = rows(out.decode())
    assert run.returncode == 0, out.decode() + err.decode()
    assert {fault for fault in FAULTS if any(row.startswith(fault) and int(told[row][0]) for row in told)} == FAULTS
    assert {row: cells[1:4] for row, cells in told.items()} == {row: ["0", "0", "0"] for row in told}


def test_an_interrupted_fault_is_in_the_table_with_what_it_has_done(home: Path) -> None:
    with harness(home, "writers", "restores", "--seconds", str(HANG), "--late", str(HANG)) as run:
        assert run.stderr is not None
        told = b""
        while not re.search(rb"writers: [1-9]\d* tried, 0 lost, 0 wrong, 0 late, [\d.]+/s", told):
            part = os.read(run.stderr.fileno(), 4096)
            assert part, told
            told += part
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the children, too
        out, err = run.communicate(timeout=HANG)
    table = rows(out.decode())
    assert list(table) == ["writers, SQLite (interrupted)"], "what follows is not begun"
    tried, lost, wrong, _ = table["writers, SQLite (interrupted)"][:4]
    assert int(tried) >= int(re.findall(rb"writers: (\d+) tried", told)[-1])
    assert (lost, wrong) == ("0", "0"), err
    assert run.returncode == 0


def test_what_waits_is_stored_before_it_counts_as_lost_and_what_never_came_is_lost(home: Path) -> None:
    results = ManyResults(home / "demo")
    with locked_sqlite(home):
        section = Enricher(home, patience=0.1).enrich(results[1], "100000001", None)
    assert "It waits in the home" in section["message"]
    tally = Tally()
    count_lost(home, [1], tally)
    assert tally.lost == 0
    count_lost(home, [1, 2], tally)
    assert tally.lost == 1
