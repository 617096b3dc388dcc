"""Work that ends in time: done in a thread of its own, which is left behind where the work hangs.

Nothing else ends every hang: a frozen server, a lock that nobody releases and a file system that does not answer all
block inside of the system. The thread takes no part in the end of the process. What it waits for can look up how long
it may still wait (:func:`time_left`), so that most hangs end by themselves before they are given up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from math import inf
from typing import Any, Final, TypeVar

T = TypeVar("T")

MOST_LEFT_BEHIND: Final = 32
"""How many threads that were left behind may still hang before further work is refused at once."""

_until: ContextVar[float] = ContextVar("until", default=inf)  # of time.monotonic()
_left_behind: set[threading.Thread] = set()


class OverdueError(Exception):
    """The work did not end in time, or too much earlier work still hangs. It is never shown."""


def time_left() -> float:
    """The seconds that the work of this thread has left, at least 0; infinity outside of :func:`within`."""
    return max(_until.get() - time.monotonic(), 0.0)


def ends_at() -> float:
    """When the time of this thread's work is over, of ``time.monotonic()``; infinity outside of :func:`within`."""
    return _until.get()


def within(seconds: float, work: Callable[[], T], give_up: Callable[[], None] | None = None) -> T:
    """The result of the work, or the error that it raised; within other such work, in the time that this has left.

    Args:
        give_up: called where the work does not end, to end its waiting.

    Raises:
        OverdueError: the work did not end in time.
    """
    until = min(time.monotonic() + seconds, _until.get())
    _left_behind.difference_update([thread for thread in list(_left_behind) if not thread.is_alive()])
    if until <= time.monotonic() or len(_left_behind) >= MOST_LEFT_BEHIND:
        raise OverdueError
    outcome: dict[str, Any] = {}
    ended = threading.Event()

    def run() -> None:
        _until.set(until)  # a new thread has a context of its own
        try:
            outcome["result"] = work()
        except BaseException as error:
            outcome["error"] = error
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="cuckoo-ml", daemon=True)
    thread.start()
    has_ended = False
    try:
        has_ended = ended.wait(max(until - time.monotonic(), 0.0))
    finally:  # also where a signal interrupts the waiting
        if not has_ended:
            _left_behind.add(thread)
            if give_up is not None:
                give_up()
    if not has_ended:
        raise OverdueError
    if "error" in outcome:
        raise outcome["error"]
    result: T = outcome["result"]
    return result
