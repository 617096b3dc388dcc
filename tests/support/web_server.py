"""Web interfaces as processes: started, waited for, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urlopen(address, timeout=20).close()
            return
        except HTTPError as error:
            pytest.fail(f"{error}: {log.read_text(errors='replace')[-3000:]}")
        except URLError:
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)
    pytest.fail(log.read_text(errors="replace")[-3000:])
