"""Ctrl-C and worker processes: the terminal interrupts all of them, but only the main process should answer."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def workers_ignore_interrupts() -> Iterator[None]:
    """Processes that are started inside this block ignore Ctrl-C; the main process ends them when it is interrupted.

    Without it each worker would print a traceback, as Python does when it is interrupted while it starts.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
