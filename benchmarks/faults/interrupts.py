"""Ctrl-C and SIGTERM end a run early, and what was done until then is still counted to its end.

A file says that the run ends: every process of the run looks for it before each try (:class:`Clock`). A thread of
its own takes the signals, so that none breaks off a command, a child or a count in the middle.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import active_children, resource_tracker
from pathlib import Path
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def note_interrupts(stop: Path, clean_up: Callable[[], object]) -> None:
    """From here on the first signal makes the file ``stop``, and the second one ends all at once after cleaning up.

    Processes that are started later do not get these signals.
    """
    resource_tracker.ensure_running()  # it unblocks the signals when it is started, which the first process would do
    received, sent = os.pipe()
    os.set_blocking(sent, False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(sent)  # whichever thread the kernel chooses, the number arrives there
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # inherited by threads and by processes

    def wait() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.read(received, 1)
        stop.touch()
        print("\ninterrupted: the table follows; once more ends at once", file=sys.stderr, flush=True)
        os.read(received, 1)
        for child in active_children():
            child.kill()
        clean_up()
        os._exit(130)

    threading.Thread(target=wait, name="signals", daemon=True).start()
