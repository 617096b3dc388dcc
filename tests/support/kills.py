"""A child process that kills itself before its first, second, ... change of a file, until it is done before that.

So every moment between two changes is met, which a kill after some random time would mostly miss.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any
from unittest import mock

from cuckoo_ml_plugin.store.database import Database

_CHANGES = ("replace", "rename", "mkdir", "rmdir", "unlink", "link", "symlink", "fsync", "truncate")


def killed_before(number: int, work: Callable[[], int], *more: tuple[Any, str]) -> bool:
    """Do the work in a child that is killed before its change of this number; False if it was done before that.

    ``work`` returns an exit code. ``more``: further functions that change files, each as its module and name.
    """
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = _do_until(number, work, more)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the work failed by itself"
    return False


def _do_until(number: int, work: Callable[[], int], more: tuple[tuple[Any, str], ...]) -> int:
    changes = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*values: Any, **options: Any) -> Any:
            nonlocal changes
            if options.get("writes", True):  # reading transactions change nothing
                changes += 1
                if changes == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return change(*values, **options)

        return counting

    for module, name in (*((os, name) for name in _CHANGES), (Database, "_transaction"), *more):
        mock.patch.object(module, name, counted(getattr(module, name))).start()
    return work()
