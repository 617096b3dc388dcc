"""Every command, killed at a random moment: nothing that was stored is lost, and the home still answers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.faults.tally import Budget, Tally, show_progress
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.store.store import Store

COMMANDS: Final[tuple[tuple[str, ...], ...]] = (
    ("import", "{new}"), ("import", "{new}", "--jobs", "2"), ("refit",), ("refit", "--if-needed"), ("refresh",),
    ("models", "prune"), ("models", "rollback"), ("backup", "{backup}"), ("restore", "--force", "{backup}"),
    ("score", "--write", "{report}"), ("forget", "{forgotten}"), ("atlas", "{out}/atlas.html"), ("anomalies",),
    ("export", "{out}/export"), ("plots", "{out}/plots"), ("clusters",), ("similar", "{stored}"), ("assess",),
    ("seen", "mutex:cinder"),
)  # fmt: skip
_LONGEST: Final = 20.0  # seconds after which even a command that is still at work is killed


def kills(folder: Path, home: Path, corpus: Path, budget: Budget, late: float) -> Tally:
    """Kill commands, one after another, on a copy of a home that is never repaired by hand.

    ``corpus``: where the home's reports are. Before its first kill each command is run to its end, so that its kills
    are spread over all of its time; and once more after the last kill, when it must end well.
    """
    work = _prepared(folder, home, corpus, late)
    rng, tally = Random(0), Tally()
    lasts: dict[tuple[str, ...], float] = {}
    clock = budget.begun()
    while clock.take(1):
        command = COMMANDS[tally.tried % len(COMMANDS)]
        if command not in lasts:
            start = time.monotonic()
            _run_to_the_end(work, command, "", tally)
            lasts[command] = min(time.monotonic() - start, _LONGEST)
        tally.tried += 1
        before = work.stored()
        _killed(work.command(command), rng.random() * lasts[command])
        work.check(before, command, tally)
        show_progress("kills", tally, clock)
    print(file=sys.stderr)
    for command in lasts:
        if budget.is_stopped:
            tally.remark("interrupted before each command was run once more")
            break
        _run_to_the_end(work, command, "afterwards ", tally)
    return tally


def _run_to_the_end(work: _Work, command: tuple[str, ...], when: str, tally: Tally) -> None:
    done = subprocess.run(work.command(command), capture_output=True, check=False)
    if done.returncode:
        said = done.stderr[-200:].decode(errors="replace")
        tally.fail(f"{when}{' '.join(command)} ends with {done.returncode}: {said}")


class _Work:
    """A home, and what stands for the names in :data:`COMMANDS`."""

    def __init__(self, home: Path, folder: Path, report: Path, late: float) -> None:
        self.home, self._report, self._late = home, report, late
        with Store.open(home / "store.db") as store:
            names = [stored.analysis for stored in store.analyses_in_order()]
        self._forgettable = names[-40:]
        self._kept = set(names[:-40])
        self._turn = 0
        self._names = {
            "new": folder / "new",
            "backup": folder / "backup.tar.gz",
            "report": report,
            "out": folder / "out",
        }

    def command(self, command: tuple[str, ...]) -> list[str]:
        self._turn += 1
        forgotten = self._forgettable[self._turn % len(self._forgettable)]
        stored = sorted(self._kept)[self._turn % len(self._kept)]
        if "restore" in command and not self._names["backup"].exists():
            command = ("backup", "{backup}")
        if command[:1] == ("forget",) and forgotten not in self.stored():
            command = ("anomalies",)  # it was forgotten by an earlier kill
        texts = [part.format(**self._names, forgotten=forgotten, stored=stored) for part in command]
        return [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(self.home), *texts]

    def stored(self) -> set[str]:
        with Store.open(self.home / "store.db") as store:
            return {stored.analysis for stored in store.analyses_in_order()}

    def check(self, before: set[str], command: tuple[str, ...], tally: Tally) -> None:
        """What is stored is still there, a report is still scored, and nothing that is written is half a file."""
        try:
            missing = (before & self._kept) - self.stored()
            tally.lost += len(missing)
            if missing:
                tally.notes.append(f"{' '.join(command)}: {sorted(missing)[:3]} are gone")
            start = time.perf_counter()
            finding = Engine(Home(self.home)).score_file(self._report, "killed")
            tally.answered(time.perf_counter() - start, self._late)
            if finding.status != "scored":
                tally.fail(f"{' '.join(command)}: {finding.status}: {finding.message}")
        except Exception as error:
            tally.fail(f"{' '.join(command)}: {type(error).__name__}: {error}")


def _prepared(folder: Path, home: Path, corpus: Path, late: float) -> _Work:
    copy = folder / "home"
    shutil.copytree(home, copy, symlinks=True)
    (folder / "out").mkdir()
    new = sorted((corpus / "new").glob("*.json"))
    shutil.copytree(corpus / "new", folder / "new")
    report = folder / "scored.json"
    shutil.copyfile(new[0], report)
    return _Work(copy, folder, report, late)


def _killed(command: list[str], seconds: float) -> None:
    """Start a command and kill it with all its processes after a time."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:  # fmt: skip
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
