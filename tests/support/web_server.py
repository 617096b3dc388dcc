"""Web interfaces as processes: started, waited for, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from support.time_limits import HANG, wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a web interface answers; fail with its log if it answers with an error, ends or never answers."""

    def answers() -> bool:
        try:
            urlopen(address, timeout=HANG).close()
            return True
        except HTTPError as error:
            pytest.fail(f"{error}: {_tail(log)}")
        except OSError:
            assert process.poll() is None, _tail(log)
            return False

    if not wait_until(answers):
        pytest.fail(f"{address} does not answer: {_tail(log)}")


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a process listens on a port."""

    def listens() -> bool:
        assert process.poll() is None, _tail(log)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    if not wait_until(listens):
        pytest.fail(f"nothing listens on port {port}: {_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
