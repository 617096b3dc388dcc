"""The command line, ``cuckoo-ml``.

In: arguments, a home, and the files that the arguments name. Out: tables or JSON on standard output, errors and
progress on standard error, an exit code. ``commands`` holds the commands; the modules here hold what they share.

This room stands above all others and may import each of them. A command imports what is slow to load (fitting, plots,
hosts) when it runs, so that ``--help`` and short questions stay quick.
"""

from __future__ import annotations

import os
import signal
import threading


def main() -> None:
    """Run the command line.

    Its imports take half a second; Ctrl-C during that time ends the process without a traceback, too.
    """
    handler = signal.getsignal(signal.SIGINT)
    replaceable = threading.current_thread() is threading.main_thread() and handler is signal.default_int_handler
    if replaceable:
        signal.signal(signal.SIGINT, _exit_at_once)
    from cuckoo_ml_plugin.cli.program import run

    if replaceable:
        signal.signal(signal.SIGINT, handler)
    run()


def _exit_at_once(*_: object) -> None:
    os.write(2, b"\nInterrupted.\n")
    os._exit(1)


__all__ = ["main"]
