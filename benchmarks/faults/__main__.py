"""Runs the faults and prints a table.

    python -m benchmarks.faults [fuzz kills writers worker restores hangs] [--seconds 30 | --full] [--jobs 2]
        [--writers 16] [--postgresql URL | no] [--home DIR] [--limit 10] [--late SECONDS]

Each fault is tried for `--seconds`, or as often as docs/reliability.md says with `--full`. Ctrl-C or SIGTERM ends the
fault that is at work after the try at hand, and the table shows what was done until then, that of this fault included.

Writers and hangs also work in PostgreSQL: in a server of the harness's own where one is installed, or in the empty
database that `--postgresql` names; `no` leaves it out. A server that is frozen is always the harness's own.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.support.paths import REPOSITORY

sys.path.append(str(REPOSITORY / "tests"))  # for the tests' server, and for what makes things hang

from benchmarks.faults.fuzz import fuzz
from benchmarks.faults.hangs import WAYS, hangs
from benchmarks.faults.homes import Homes, run
from benchmarks.faults.interrupts import note_interrupts
from benchmarks.faults.kills import kills
from benchmarks.faults.one_worker import one_worker
from benchmarks.faults.restores import restores
from benchmarks.faults.tally import Budget, Tally
from benchmarks.faults.writers import WRITERS, writers

FULL: Final = {
    "fuzz": 1_000_000, "kills": 1_000, "writers": 10_000, "worker": 100_000, "restores": 50, "hangs": 20 * len(WAYS),
}  # fmt: skip
"""How often each fault is tried with ``--full``; of the writers, the analyses of each."""
_WITHOUT_END: Final = 1e9


def main() -> int:
    """Make a home, run the faults one after another, and print the table. 1 if anything was lost, wrong or late."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("faults", nargs="*", choices=[*FULL, []], help="default: all")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each fault (default: 30)")
    parser.add_argument("--full", action="store_true", help="as often as docs/reliability.md says")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes of the fuzz")
    parser.add_argument("--writers", type=int, default=WRITERS, help=f"processes that write (default: {WRITERS})")
    parser.add_argument("--postgresql", metavar="URL", default="", help="an empty database, or no")
    parser.add_argument("--home", type=Path, help="a home of the command demo, which is copied (default: a new one)")
    parser.add_argument("--limit", type=float, default=10.0, help="[host] time_limit in seconds (default: 10)")
    parser.add_argument("--late", type=float, help="the seconds after which an answer is late (default: the limit)")
    options = parser.parse_args()
    options.late = options.limit if options.late is None else options.late
    logging.disable()  # what is wrong stands in the sections
    done: list[tuple[str, float, Tally]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        stop = folder / "stop"
        note_interrupts(stop, stack.close)
        demo = options.home or demo_home(folder / "demo")
        homes = Homes(folder, demo, options.limit, options.postgresql, stack)
        seconds = _WITHOUT_END if options.full else options.seconds
        budgets = {name: Budget(count, seconds, stop) for name, count in FULL.items()}
        for name, work in planned(folder, homes, demo / "demo", budgets, options).items():
            if stop.exists():
                break
            if options.faults and name.split(",")[0] not in options.faults:
                continue
            start = time.monotonic()
            try:
                tally = work()
            except Exception as error:  # what the other faults did is not to be lost
                tally = Tally()
                tally.fail(f"the harness: {type(error).__name__}: {error}")
            done.append((f"{name} (interrupted)" if stop.exists() else name, time.monotonic() - start, tally))
    show(done)
    return int(any(tally.lost or tally.wrong or tally.late for _, _, tally in done))


def planned(
    folder: Path, homes: Homes, corpus: Path, budgets: dict[str, Budget], options: argparse.Namespace
) -> dict[str, Callable[[], Tally]]:
    """The faults by name, each with a home of its own."""
    late = options.late

    def in_postgresql() -> Tally:
        url, why = homes.database("writers")
        if not url:
            tally = Tally(scope="left out")
            tally.remark(f"left out, because {why}")
            return tally
        return writers(homes.copy("writers-pg", url), corpus, budgets["writers"], late, options.writers)

    return {
        "fuzz": lambda: fuzz(homes.copy("fuzz/home"), corpus, budgets["fuzz"], late, options.jobs),
        "kills": lambda: kills(made(folder / "kills"), homes.copy("killed"), corpus, budgets["kills"], late),
        "writers, SQLite": lambda: writers(homes.copy("writers"), corpus, budgets["writers"], late, options.writers),
        "writers, PostgreSQL": in_postgresql,
        "worker": lambda: one_worker(homes.copy("worker"), corpus, budgets["worker"], late),
        "restores": lambda: restores(
            made(folder / "restores"), homes.copy("restored"), corpus, budgets["restores"], late
        ),
        "hangs": lambda: hangs(made(folder / "hangs"), homes, corpus, budgets["hangs"], options.limit, late),
    }


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
        shown = f"{name} ({tally.scope})" if tally.scope else name
        table.add_row(shown, *numbers, f"{tally.longest:.2f}", f"{tally.growth:.0f}", f"{seconds:,.0f}")
    console = Console(width=100)
    console.print(table)
    for name, _, tally in done:
        if tally.unscored:
            text = f"{name}: {tally.unscored:,} answered in time without a score, for lack of time; kept, then stored"
            console.print(text, markup=False)
        for note in tally.notes:
            console.print(f"{name}: {note}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
