"""The client that is installed into Cuckoo 2.0.7, without Cuckoo: imported by Python 3, or at work in Python 2.7."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final

import cuckoo_ml_plugin.hosts.cuckoo2

CLIENT: Final = Path(cuckoo_ml_plugin.hosts.cuckoo2.__file__).with_name("client.py")

_PROGRAM: Final = """
import imp, json, sys
sys.dont_write_bytecode = True
client = imp.load_source("client", sys.argv[1])
home, worker, timeout = sys.argv[2], sys.argv[3], float(sys.argv[4])
client._settings = lambda: (worker, home, timeout, home + "/log")
for line in iter(sys.stdin.readline, ""):
    task, results = json.loads(line)
    client.enrich(results, task, "/nowhere/%s/reports/report.json" % task)
    running = client._current
    print(json.dumps([results["cuckooml"], running.process.pid if running else None]))
    sys.stdout.flush()
"""


def client() -> ModuleType:
    """The client, which Python 3 can import as well."""
    spec = importlib.util.spec_from_file_location("cuckoo2_client", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CuckooProcess:
    """A process of Cuckoo's that reports one analysis after another.

    Attributes:
        worker: the pid of its worker, None where it has none.
    """

    def __init__(self, python: str, home: Path, command: Path, timeout: float) -> None:
        """``python``: a Python 2.7; ``command``: the ``cuckoo-ml`` that it starts as its worker."""
        self.worker: int | None = None
        arguments = [python, "-c", _PROGRAM, str(CLIENT), str(home), str(command), str(timeout)]
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def enrich(self, results: Mapping[str, Any], task: str) -> dict[str, Any]:
        """The section that an analysis gets."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([task, results]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "Cuckoo's process ended"
        section, self.worker = json.loads(line)
        assert isinstance(section, dict)
        return section

    def __enter__(self) -> CuckooProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()
        if self.worker is not None:  # one that is frozen cannot notice that its host is gone
            with suppress(ProcessLookupError):
                os.killpg(self.worker, signal.SIGKILL)
