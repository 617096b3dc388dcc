"""The lock of a home's models: whatever changes them runs alone, and who is refused hears who is at work.

A refit, a rollback, pruning, forgetting, a restore, a move and a purge take it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, Final

from cuckoo_ml_plugin.errors import BusyError, CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import mend_current, remove_leftovers
from cuckoo_ml_plugin.plumbing.ownership import mending
from cuckoo_ml_plugin.plumbing.text import display_text

_FILE: Final = ".refit.lock"
_MOST: Final = 300  # characters of a command
_LONGEST: Final = 4096  # bytes of the note on the holder


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Hold the lock; the kernel releases it when the process dies.

    Raises:
        BusyError: another process holds it; the message names its command, number and start.
        CuckooMLError: the home's file system or the owner of the lock's file forbids it.
    """
    with ExitStack() as stack:
        try:
            home.models.mkdir(parents=True, exist_ok=True)
            lock = _locked(home, stack)
            lock.truncate(0)
            lock.write(json.dumps(_holder()).encode())
            lock.flush()
            mend_current(home.models)
            remove_leftovers(home.models)
        except OSError as error:
            file = home.models / _FILE
            mend = mending(file) or "; check who owns the file, and that its file system can lock files"
            raise CuckooMLError(f"{file}: the models cannot be locked ({error.strerror or error}){mend}.") from error
        stack.callback(lock.truncate, 0)
        yield


def refuse_if_busy(home: Home) -> None:
    """Raises BusyError, as :func:`alone` does, while another process holds the lock; changes nothing."""
    with suppress(OSError), (home.models / _FILE).open("rb") as lock:
        _lock(home, lock)


def _lock(home: Home, lock: BinaryIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BusyError(
            f"{home.path}: another command is at work on its models{_told(lock)}; wait for it to end."
        ) from error


def _locked(home: Home, stack: ExitStack) -> BinaryIO:
    """The lock's file, locked, and still the one of this home: a restore may have exchanged the home meanwhile."""
    path = home.models / _FILE
    while True:
        lock = path.open("a+b")
        stack.callback(lock.close)
        _lock(home, lock)
        if _is_same(path, lock):
            return lock


def _is_same(path: Path, lock: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _holder() -> dict[str, Any]:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"command": command[:_MOST], "pid": os.getpid(), "since": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"}


def _told(lock: BinaryIO) -> str:
    """Who holds the lock, in brackets; nothing where it has not written that."""
    try:
        lock.seek(0)
        holder = json.loads(lock.read(_LONGEST))
        command, since = (display_text(str(holder[key]), _MOST) for key in ("command", "since"))
        return f" ({command}, process {int(holder['pid'])}, since {since} UTC)"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
