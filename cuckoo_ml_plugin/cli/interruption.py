"""Ctrl-C while modules are imported: the process ends at once, without a traceback of somebody's import."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Ctrl-C ends the process, unless somebody handles it already or this is not the main thread."""
    handler = signal.getsignal(signal.SIGINT)
    replaceable = threading.current_thread() is threading.main_thread() and handler is signal.default_int_handler
    if replaceable:
        signal.signal(signal.SIGINT, _exit_at_once)
    try:
        yield
    finally:
        if replaceable:
            signal.signal(signal.SIGINT, handler)


def _exit_at_once(*_: object) -> None:
    os.write(2, b"\nInterrupted.\n")
    os._exit(1)
