"""An analysis of the demo as CAPE processes and reports it, by CAPE's own modules and ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.cape_loader import DRIVER
from support.demo_home import DemoHome
from support.paths import REPOSITORY
from support.time_limits import HANG

MODULES = ("modules.processing.cuckooml", "modules.reporting.cuckooml", "modules.reporting.jsondump")


def analyse(root: Path, report: Path, task: int = 7, modules: tuple[str, ...] = MODULES) -> tuple[dict[str, Any], Any]:
    """Run the modules on a report's results; the report.json that comes out, and what the driver printed."""
    [seen] = analyse_each(root, {task: report}, modules)
    written = root / "storage" / "analyses" / str(task) / "reports" / "report.json"
    return json.loads(written.read_bytes()), seen


def analyse_each(root: Path, reports: Mapping[int, Path], modules: tuple[str, ...] = MODULES) -> list[Any]:
    """Run the modules on the reports of tasks, one after the other in one process; what the driver printed of each."""
    python = os.environ.get("CAPE_PYTHON", sys.executable)
    given = ["\n".join(map(str, values)) for values in (reports.values(), reports)]
    command = [python, "-c", DRIVER, str(root), *given, *modules]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=HANG)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-len(reports) :]]


def cape_sample(demo: DemoHome, role: str = "new") -> Path:
    return next(sample.path for sample in demo.corpus.new if sample.role == role and "2." in cape_version(sample.path))


def cape_version(path: Path) -> str:
    version = json.loads(path.read_bytes())["info"]["version"]
    return str(version) if "CAPE" in str(version) else ""
