"""A real PostgreSQL server for the tests, from the distribution's packages: started once, thrown away at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.needs import skip_or_fail

INSTALLED = Path("/usr/lib/postgresql")


def server_programs() -> Path | None:
    """The folder of the newest installed server's programs, None when there is no server."""
    found = [programs for programs in INSTALLED.glob("*/bin") if (programs / "initdb").exists()]
    return max(found, key=lambda programs: float(programs.parent.name), default=None)


def _as_server_user(command: list[str]) -> list[str]:
    """The server refuses to run as root: then it runs as the user that its package made."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        _as_server_user([str(part) for part in command]),
        check=False,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")


def running_server(programs: Path) -> Iterator[str]:
    """Start a server on a socket in a folder of its own (no port to clash); yields a URL with ``{database}`` open."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path may have 107 bytes at most
    data = folder / "data"
    try:
        if os.geteuid() == 0:
            server_user = pwd.getpwnam("postgres")
            os.chown(folder, server_user.pw_uid, server_user.pw_gid)
        # A dictionary's order of text, not the bytes': what the store must not depend on.
        order = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        _run(programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync", *order)
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=50"
        _run(programs / "pg_ctl", "-D", data, "-w", "-t", "180", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://tester@/{{database}}?host={folder}"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str, name: str, template: str = "", strategy: str = "WAL_LOG") -> str:
    """The URL of a database on a server that :func:`running_server` started, new and empty or a copy of another.

    Who is connected to the other one loses the connection. ``strategy``: how PostgreSQL copies.
    """
    import psycopg

    with psycopg.connect(
        host=server.partition("?host=")[2], user="tester", dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [template])
        source = f'TEMPLATE "{template}" STRATEGY {strategy}' if template else ""
        connection.execute(f'CREATE DATABASE "{name}" {source}'.encode())
    return server.format(database=name)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a running server, to be formatted with ``database``; skips, with a reason, where none is installed."""
    if find_spec("psycopg") is None:
        skip_or_fail("the package psycopg is not installed")
    programs = server_programs()
    if programs is None:
        skip_or_fail(f"no PostgreSQL server: {INSTALLED}/*/bin/initdb is missing (apt-get install postgresql)")
    yield from running_server(programs)


@pytest.fixture
def postgresql_url(postgresql_server: str, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the test's own."""
    return new_database(postgresql_server, f"test_{abs(hash(request.node.nodeid)):x}")
