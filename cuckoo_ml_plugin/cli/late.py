"""What every command does that stores: it begins with what waits in the spool of the home."""

from __future__ import annotations

from cuckoo_ml_plugin.cli.console import safe_text, stderr
from cuckoo_ml_plugin.engine.arrivals.waiting import store_waiting
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.plumbing.text import counted


def store_late_analyses(engine: Engine) -> None:
    """Store the analyses that a host could not store, and say how many; never raises."""
    done = store_waiting(engine)
    if done.stored:
        sentence = f"{counted(done.stored, 'analysis', 'analyses')} of the host that had waited for the store: stored."
        stderr.print(safe_text(sentence, 300), soft_wrap=True)
    if done.waiting:
        sentence = f"{counted(done.waiting, 'analysis', 'analyses')} of the host still wait in {engine.home.spool}."
        stderr.print(safe_text(sentence, 600), soft_wrap=True)
