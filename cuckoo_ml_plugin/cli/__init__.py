"""The command line, ``cuckoo-ml``: a module a group of commands, all over one ``Engine``."""

from __future__ import annotations

import os
import signal
import threading


def main() -> None:
    """Run the command line.

    It imports for half a second before it can answer; Ctrl-C ends that without a traceback, too.
    """
    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    ours = ours and before is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _end)
    from cuckoo_ml_plugin.cli.program import run

    if ours:
        signal.signal(signal.SIGINT, before)
    run()


def _end(*_: object) -> None:
    os.write(2, b"\nInterrupted.\n")
    os._exit(1)


__all__ = ["main"]
