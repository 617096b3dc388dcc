"""What hangs, made on purpose for as long as a block lasts: stores, ports, file systems and servers that do not answer.

The stories in `tests/hosts/test_time_limit.py` and the harness `benchmarks/faults` hold against them that no analysis
waits longer than the limit.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked_sqlite(home: Path) -> Iterator[None]:
    """Another process writes to the store of a home, and does not end."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60);"
        " c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(home / "store.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield
        finally:
            process.kill()


@contextmanager
def locked_table(url: str) -> Iterator[None]:
    """Another program keeps a table of a store in PostgreSQL for itself."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("LOCK TABLE cuckooml_analysis IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


@contextmanager
def frozen_server(url: str) -> Iterator[None]:
    """A server of our own and all its processes are stopped; the kernel goes on taking what is sent to them."""
    folder = Path(url.partition("?host=")[2])
    server = int((folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    children = subprocess.run(["pgrep", "-P", str(server)], capture_output=True, text=True, check=True).stdout
    stopped = []
    try:
        for process in [server, *map(int, children.split())]:
            try:
                os.kill(process, signal.SIGSTOP)
            except ProcessLookupError:  # a connection has ended meanwhile
                continue
            stopped.append(process)
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


@contextmanager
def silent_port() -> Iterator[str]:
    """The URL of a store at a port that takes connections and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        yield f"postgresql+psycopg://u:p@127.0.0.1:{silent.getsockname()[1]}/db"


@contextmanager
def unanswering_file(path: Path) -> Iterator[None]:
    """Whoever opens a file waits, as on a file system that does not answer: a pipe has its place, and nobody writes."""
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    os.mkfifo(path)
    try:
        yield
    finally:
        waking = os.open(path, os.O_RDWR)  # those who wait go on, as when the file system answers again
        kept.replace(path)
        os.close(waking)
