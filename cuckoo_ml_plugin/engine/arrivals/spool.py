"""The spool: a folder in the home for analyses that could not be stored, until a process can.

Its files have names of our own, with nothing of a report in them, and only their owner may read them. Each is written
whole or not at all. Whoever stores one removes its file afterwards, so that a kill in between leaves it, and storing it
again changes nothing. The folder also remembers that the store did not answer, for all processes of the host.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.files import replace_file
from cuckoo_ml_plugin.plumbing.ownership import acting_as

MOST_FILES: Final = 10_000
MOST_BYTES: Final = 512 * 2**20
ANALYSIS: Final = "analysis"
"""The kind of a file that holds a record, see ``waiting.py``."""
REQUEST: Final = "request"
"""The kind of a file that holds a request of the client in Cuckoo 2.0, which writes it itself."""
UNREADABLE: Final = "unreadable"
"""What a file becomes that nobody can read: it stays, so that nothing is lost silently."""
_NAME: Final = re.compile(rf"\d{{20}}-[0-9a-f]{{16}}\.({ANALYSIS}|{REQUEST}|{UNREADABLE})", re.ASCII)
_HANGS: Final = "store-does-not-answer"
_LOCK: Final = ".lock"


def is_spool_name(name: str) -> bool:
    """Whether a file of the spool may have this name."""
    return _NAME.fullmatch(name) is not None


class SpoolError(CuckooMLError):
    """The analysis cannot be kept in the spool; the message says why."""


class Spool:
    """The spool of a home. Nothing is created before something is kept."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.folder = home.spool

    def keep(self, kind: str, content: bytes) -> None:
        """Add a file. Raises SpoolError where the spool is full or cannot be written."""
        sizes = [path.stat().st_size for path in self._files()]
        if len(sizes) >= MOST_FILES or sum(sizes) + len(content) > MOST_BYTES:
            raise SpoolError(f"{self.folder} is full ({len(sizes):,} files)")
        name = f"{time.time_ns():020d}-{secrets.token_hex(8)}.{kind}"
        try:
            if not self._home.path.is_dir():
                raise SpoolError(f"{self._home.path} is not there")
            self._make()
            replace_file(self.folder / name, content, owner_of_folder=True, mode=0o600)
        except OSError as error:
            raise SpoolError(f"{self.folder} cannot be written ({error.strerror})") from error

    def waiting(self) -> list[Path]:
        """The files that wait to be stored, the oldest first."""
        return sorted(path for path in self._files() if not self.is_unreadable(path))

    def count(self) -> int:
        """How many analyses wait."""
        return len(self.waiting())

    def unreadable(self) -> list[Path]:
        """The files that nobody could read."""
        return sorted(filter(self.is_unreadable, self._files()))

    @staticmethod
    def is_unreadable(file: Path) -> bool:
        """Whether a file of the spool is one that nobody could read."""
        return file.suffix == f".{UNREADABLE}"

    def take_over(self, other: Spool) -> None:
        """Let what waits in another spool wait here; it stays there, and storing it twice changes nothing.

        Raises OSError.
        """
        for file in other.waiting():
            try:
                content = file.read_bytes()
            except FileNotFoundError:  # it is stored by now
                continue
            self._make()
            replace_file(self.folder / file.name, content, owner_of_folder=True, mode=0o600)

    def set_aside(self, file: Path) -> None:
        """Keep a file that cannot be read from being read again."""
        with suppress(OSError):
            file.rename(file.with_suffix(f".{UNREADABLE}"))

    def _files(self) -> list[Path]:
        try:
            return [Path(entry.path) for entry in os.scandir(self.folder) if is_spool_name(entry.name)]
        except OSError:
            return []

    def _make(self) -> None:
        status = self._home.path.stat()
        with acting_as(status.st_uid, status.st_gid):
            self.folder.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def alone(self, patience: float = 0.0) -> Iterator[bool]:
        """Whether this process is the one that empties the spool; the others leave it to that one.

        ``patience``: seconds that another process may take to end it. Where there is no spool, nothing is locked.
        """
        try:
            status = self.folder.stat()
        except FileNotFoundError:
            yield False
            return
        with acting_as(status.st_uid, status.st_gid):  # so that the lock is not root's
            lock = (self.folder / _LOCK).open("a")
        with lock:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    if time.monotonic() < until:
                        time.sleep(0.05)
                        continue
                    yield False
                    return
                yield True
                return

    @property
    def store_hangs(self) -> bool:
        """Whether the store did not answer when a process of the host asked it last."""
        return (self.folder / _HANGS).exists()

    def note_hang(self) -> None:
        """Remember that the store does not answer. Never raises."""
        with suppress(OSError):
            if self._home.path.is_dir():
                self._make()
                (self.folder / _HANGS).touch(mode=0o600)

    def note_answer(self) -> None:
        """Remember that the store answers again. Never raises."""
        with suppress(OSError):
            (self.folder / _HANGS).unlink(missing_ok=True)
