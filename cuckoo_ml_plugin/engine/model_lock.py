"""The lock of a home's models: a refit, a rollback, forgetting and a restore never run at once."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from cuckoo_ml_plugin.errors import BusyError
from cuckoo_ml_plugin.home import Home


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Hold the lock; the kernel releases it when the process dies. Raises BusyError while another process holds it."""
    home.models.mkdir(parents=True, exist_ok=True)
    with (home.models / ".refit.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyError(f"{home.path}: another refit is running; wait for it to end.") from error
        yield
