"""The command line, ``cuckoo-ml``.

In: arguments, a home, and the files that the arguments name. Out: tables or JSON on standard output, errors and
progress on standard error, an exit code. ``commands`` holds the commands; the modules here hold what they share.

This room stands above all others and may import each of them. Of the commands, the one that is called is imported, and
it imports what is slow to load (fitting, plots, hosts) when it runs, so that short commands stay quick.
"""

from __future__ import annotations

from cuckoo_ml_plugin.cli.interruption import ending_at_once


def main() -> None:
    """Run the command line."""
    with ending_at_once():
        from cuckoo_ml_plugin.cli.program import run
    run()


__all__ = ["main"]
