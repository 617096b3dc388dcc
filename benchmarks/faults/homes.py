"""The homes in which faults are made: copies of one with the demo's corpus, with stores in SQLite or PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from support.postgresql import INSTALLED, new_database, running_server, server_programs

NO_POSTGRESQL: Final = "no"
"""What is given in place of the URL of a database where nothing is to be done in PostgreSQL."""
_STORAGES: Final = ("cuckoo2/storage/analyses", "cape/storage/analyses", "shared-reports")


def run(home: Path, *arguments: object) -> None:
    """Run a command. Raises CalledProcessError."""
    command = [sys.executable, "-m", "cuckoo_ml_plugin", "--home", str(home), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)


class Homes:
    """Copies of a home, so that no fault depends on another.

    PostgreSQL is the database that was named, or a server of our own, where it is installed. It begins when the first
    fault needs it, and ends with ``stack``.
    """

    def __init__(self, folder: Path, demo: Path, limit: float, url: str, stack: ExitStack) -> None:
        """``limit``: ``[host] time_limit`` of all copies; ``url``: of a database, "" or :data:`NO_POSTGRESQL`."""
        self._folder, self._demo, self._limit, self._url, self._stack = folder, demo, limit, url, stack
        self._server = ""
        self._is_filled = False

    def copy(self, name: str, url: str = "") -> Path:
        """A new copy; ``url``: of its store, which :meth:`database` has filled."""
        target = self._folder / name
        shutil.copytree(self._demo, target, symlinks=True)
        self.set_store(target, url)
        if url:
            (target / "store.db").unlink()
        return target

    def set_store(self, home: Path, url: str) -> None:
        """Let the store of a home be at a URL; "" for SQLite in the home."""
        text = f"[store]\nurl = {url}\n[host]\nnode = here\ntime_limit = {self._limit:g}\n"
        (home / "cuckooml.conf").write_text(text, encoding="utf-8")

    def database(self, name: str, *, own_server: bool = False) -> tuple[str, str]:
        """The URL of a database with the demo's corpus, or "" and why there is none.

        ``own_server``: a database that was named does not do.
        """
        if self._url == NO_POSTGRESQL:
            return "", "--postgresql says so"
        if find_spec("psycopg") is None:
            return "", "the package psycopg is not installed"
        if self._url and not own_server:
            if not self._is_filled:
                self._fill(self._url)
                self._is_filled = True
            return self._url, ""
        programs = server_programs()
        if programs is None:
            return "", f"no PostgreSQL server is installed ({INSTALLED}/*/bin/initdb)"
        if not self._server:
            self._server = self._stack.enter_context(contextmanager(running_server)(programs))
            self._fill(new_database(self._server, "filled"))
        return new_database(self._server, name, "filled"), ""

    def _fill(self, url: str) -> None:
        """Store the demo's corpus, whose model every copy of the home has."""
        home = self.copy("filling", url)
        run(home, "import", *(self._demo / "demo" / storage for storage in _STORAGES))
