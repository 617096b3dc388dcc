"""Memory that the processes of a user share and that nobody can change or shorten, whoever he is.

A process that maps a file dies when somebody shortens that file (SIGBUS). A sealed memory file has no name in any file
system, the kernel refuses every change of it, and it lasts as long as one process maps it. Other processes of the user
find it through ``/proc``; what they read there has to be checked like any file. Where the system has no such memory, or
does not let a process look at others, each has memory of its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_SEALS: Final = sum(  # of Linux
    getattr(fcntl, f"F_SEAL_{name}", 0) for name in ("WRITE", "SHRINK", "GROW", "SEAL")
)
_NOEXEC_SEAL: Final = 8  # of Linux 6.3, which may insist on it

Memory = mmap.mmap | bytearray


class MemoryWriter:
    """New memory of a size, which is filled and then sealed. Close it in any case."""

    def __init__(self, name: str, size: int) -> None:
        self._size = size
        self._descriptor = _create(name) if size else None
        self._own = bytearray(size) if self._descriptor is None else bytearray()

    def write(self, chunk: memoryview, place: int) -> None:
        """Put a chunk at a place. Raises OSError."""
        if self._descriptor is None:
            self._own[place : place + len(chunk)] = chunk
            return
        while len(chunk):
            written = os.pwrite(self._descriptor, chunk, place)
            chunk, place = chunk[written:], place + written

    def sealed(self) -> Memory:
        """The memory, which nobody can change from now on. Raises OSError."""
        if self._descriptor is None:
            return self._own
        os.ftruncate(self._descriptor, self._size)
        fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return _mapped(self._descriptor, self._size)

    def close(self) -> None:
        """Give back what is not mapped."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def find(name: str, size: int) -> mmap.mmap | None:
    """Sealed memory of this name and size that another process of this user maps, if there is any."""
    if not size:
        return None
    for path in _memory_files(name):
        with suppress(OSError, ValueError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                status = os.fstat(descriptor)
                is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_size == size
                if is_ours and fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS:
                    return _mapped(descriptor, size)
            finally:
                os.close(descriptor)
    return None


def _create(name: str) -> int | None:
    if not hasattr(os, "memfd_create"):
        return None
    for flags in (_NOEXEC_SEAL, 0):
        with suppress(OSError):
            return os.memfd_create(name, flags | os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    return None


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    """The mapping keeps a descriptor of its own, by which other processes find it."""
    return mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)


def _memory_files(name: str) -> Iterator[str]:
    """The paths of the open memory files of this name in the processes of this user, as far as they can be seen."""
    link = f"/memfd:{name} (deleted)"
    try:
        processes = [entry for entry in os.listdir("/proc") if entry.isdecimal()]
    except OSError:
        return
    for process in processes:
        folder = f"/proc/{process}/fd"
        with suppress(OSError):  # it ends meanwhile, or is another user's
            if os.stat(folder).st_uid != os.geteuid():
                continue
            for number in os.listdir(folder):
                path = f"{folder}/{number}"
                with suppress(OSError):
                    if os.readlink(path) == link:
                        yield path
