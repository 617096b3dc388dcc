"""Runs the faults and prints a table.

    python -m benchmarks.faults [fuzz kills writers worker restores] [--seconds 30 | --full] [--jobs 2]
                                [--postgresql URL] [--limit 10]

Each fault is tried for `--seconds`, or as often as docs/reliability.md says with `--full`. Ctrl-C ends the fault that
is at work and prints the table of what was done until then. `--postgresql` names an empty database for the writers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.faults.fuzz import fuzz
from benchmarks.faults.kills import kills
from benchmarks.faults.one_worker import one_worker
from benchmarks.faults.restores import restores, run
from benchmarks.faults.tally import Budget, Tally
from benchmarks.faults.writers import writers

FULL: Final = {"fuzz": 1_000_000, "kills": 1_000, "writers": 10_000, "worker": 100_000, "restores": 50}
"""How often each fault is tried with ``--full``; of the writers, the analyses of each of the sixteen."""
_WITHOUT_END: Final = 1e9


def main() -> int:
    """Make a home, run the faults one after another, and print the table. 1 if anything was lost, wrong or late."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("faults", nargs="*", choices=[*FULL, []], help="default: all")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each fault (default: 30)")
    parser.add_argument("--full", action="store_true", help="as often as docs/reliability.md says")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes of the fuzz")
    parser.add_argument("--postgresql", metavar="URL", help="an empty database for the writers")
    parser.add_argument("--limit", type=float, default=10.0, help="[host] time_limit in seconds (default: 10)")
    options = parser.parse_args()
    done: list[tuple[str, float, Tally]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = demo_home(folder / "demo")
        budgets = {
            name: Budget(count, _WITHOUT_END) if options.full else Budget(count, options.seconds)
            for name, count in FULL.items()
        }
        for name, work in planned(folder, home, budgets, options).items():
            if not options.faults or name.split(",")[0] in options.faults:
                start = time.monotonic()
                try:
                    tally = work()
                except KeyboardInterrupt:
                    print(f"\n{name}: interrupted", file=sys.stderr)
                    break
                done.append((name, time.monotonic() - start, tally))
    show(done)
    return int(any(tally.lost or tally.wrong or tally.late for _, _, tally in done))


def planned(
    folder: Path, home: Path, budgets: dict[str, Budget], options: argparse.Namespace
) -> dict[str, Callable[[], Tally]]:
    """The faults by name, each with a copy of the home, so that none depends on another."""

    def copy(name: str, url: str = "") -> Path:
        target = folder / name
        shutil.copytree(home, target, symlinks=True)
        if url:
            settings = target / "cuckooml.conf"
            settings.write_text(settings.read_text(encoding="utf-8") + f"\n[store]\nurl = {url}\n", encoding="utf-8")
            (target / "store.db").unlink()
            for command in (("import", target / "demo"), ("refit",)):
                run(target, *command)
        return target

    corpus, limit = home / "demo", options.limit
    faults: dict[str, Callable[[], Tally]] = {
        "fuzz": lambda: fuzz(copy("fuzz/home"), corpus, budgets["fuzz"], options.jobs),
        "kills": lambda: kills(made(folder / "kills"), home, corpus, budgets["kills"]),
        "writers, SQLite": lambda: writers(copy("writers"), corpus, budgets["writers"], limit),
        "worker": lambda: one_worker(copy("worker"), corpus, budgets["worker"], limit),
        "restores": lambda: restores(made(folder / "restores"), copy("restored"), corpus, budgets["restores"], limit),
    }
    if options.postgresql:
        faults["writers, PostgreSQL"] = lambda: writers(
            copy("writers-pg", options.postgresql), corpus, budgets["writers"], limit
        )
    return faults


def made(folder: Path) -> Path:
    """A new folder."""
    folder.mkdir()
    return folder


def demo_home(path: Path) -> Path:
    """A home with the demo's corpus, reports and model."""
    run(path, "demo")
    return path


def show(done: list[tuple[str, float, Tally]]) -> None:
    """Print the table, and below it what went wrong."""
    table = Table(title="Faults")
    table.add_column("fault")
    for column in ("tried", "lost", "wrong", "late", "longest, s", "growth, MB", "seconds"):
        table.add_column(column, justify="right")
    for name, seconds, tally in done:
        numbers = (f"{tally.tried:,}", f"{tally.lost:,}", f"{tally.wrong:,}", f"{tally.late:,}")
        table.add_row(name, *numbers, f"{tally.longest:.2f}", f"{tally.growth:.0f}", f"{seconds:,.0f}")
    console = Console(width=100)
    console.print(table)
    for name, _, tally in done:
        for note in tally.notes:
            console.print(f"{name}: {note}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
