"""How long a fault is tried, and what came of it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Budget:
    """Until ``count`` tries or ``seconds`` are over or the file ``stop`` is there, whichever comes first."""

    count: int
    seconds: float
    stop: Path

    def begun(self) -> Clock:
        """The budget from this moment on."""
        now = time.monotonic()
        return Clock(self.count, now, now + self.seconds, self.stop)

    @property
    def is_stopped(self) -> bool:
        """Whether the run was interrupted."""
        return self.stop.exists()


@dataclass(slots=True)
class Clock:
    """What is left of a budget."""

    left: int
    began: float
    ends: float
    stop: Path

    def take(self, most: int) -> int:
        """How many of the next ``most`` tries may be made; 0 when the budget is used up."""
        if time.monotonic() >= self.ends or self.stop.exists():
            return 0
        taken = min(most, self.left)
        self.left -= taken
        return taken


@dataclass(slots=True)
class Tally:
    """What came of a fault, or of a part of its tries.

    Attributes:
        tried: how often the fault was made.
        lost: analyses that were reported as stored and are gone, or were accepted and never stored.
        wrong: answers that are no answer: crashes, unexpected exceptions, sections that break their contract.
        late: answers after the limit.
        unscored: answers in time that have no score for lack of time, to analyses that wait to be stored.
        longest: seconds of the slowest answer.
        growth: megabytes by which the process that grew most grew, from the first tenth of its tries to the end.
        notes: what the numbers do not say, each once.
        scope: which part of the fault was tried, where it was not all.
    """

    tried: int = 0
    lost: int = 0
    wrong: int = 0
    late: int = 0
    unscored: int = 0
    longest: float = 0.0
    growth: float = 0.0
    notes: list[str] = field(default_factory=list)
    scope: str = ""

    def add(self, other: Tally) -> None:
        """Add the tries of another part."""
        self.tried += other.tried
        self.lost += other.lost
        self.wrong += other.wrong
        self.late += other.late
        self.unscored += other.unscored
        self.longest = max(self.longest, other.longest)
        self.growth = max(self.growth, other.growth)
        self.notes += [note for note in other.notes if note not in self.notes][: max(0, 5 - len(self.notes))]

    def answered(self, seconds: float, limit: float) -> None:
        """Note how long an answer took."""
        self.longest = max(self.longest, seconds)
        self.late += seconds > limit

    def fail(self, note: str) -> None:
        """Note an answer that is none; of the notes the first five are kept."""
        self.wrong += 1
        self.remark(note)

    def remark(self, note: str) -> None:
        """Note what is to be known of the numbers."""
        if note not in self.notes and len(self.notes) < 5:
            self.notes.append(note[:300])


def show_progress(name: str, tally: Tally, clock: Clock) -> None:
    """Say on one line what came of a fault until now."""
    rate = tally.tried / max(time.monotonic() - clock.began, 0.001)
    numbers = f"{tally.tried:,} tried, {tally.lost:,} lost, {tally.wrong:,} wrong, {tally.late:,} late, {rate:,.2f}/s"
    print(f"\r{name}: {numbers}  ", end="", file=sys.stderr, flush=True)


def resident(pid: int | str = "self") -> float:
    """The resident memory of a process in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
