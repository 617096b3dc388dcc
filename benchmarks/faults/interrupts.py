"""Ctrl-C and SIGTERM end a run early, and what was done until then is still counted to its end.

A file says that the run ends: every process of the run looks for it before each try (:class:`Clock`). The signals reach
only a thread that waits for them, so that none breaks off a command, a child or a count in the middle.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def note_interrupts(stop: Path, clean_up: Callable[[], object]) -> None:
    """From here on the first signal makes the file ``stop``, and the second one ends all at once after cleaning up.

    Threads and processes that are started later do not get these signals.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def wait() -> None:
        signal.sigwait(_SIGNALS)
        stop.touch()
        print("\ninterrupted: the table follows; once more ends at once", file=sys.stderr, flush=True)
        signal.sigwait(_SIGNALS)
        for child in active_children():
            child.kill()
        clean_up()
        os._exit(130)

    threading.Thread(target=wait, name="signals", daemon=True).start()
