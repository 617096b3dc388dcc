"""Worker processes and Ctrl-C: the terminal sends it to all of them, and one answer is enough."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deaf_workers() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C; this one ends them when it is interrupted itself.

    Otherwise each would print a traceback, as Python does when it is interrupted while it starts.
    """
    if threading.current_thread() is not threading.main_thread():  # only it may say what becomes of a signal
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
