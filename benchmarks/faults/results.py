"""Results of analyses that differ, made of the demo's reports."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


class ManyResults:
    """The demo's reports without end, each time as another task, of another file that wrote a file of its own."""

    def __init__(self, corpus: Path, most: int = 40) -> None:
        paths = sorted((corpus / "cuckoo2").rglob("report.json"))[:most]
        self._reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    def __getitem__(self, number: int) -> dict[str, Any]:
        report = self._reports[number % len(self._reports)]
        behavior = report.get("behavior") or {}
        summary = behavior.get("summary") or {}
        written = [*(summary.get("file_written") or []), f"C:\\Users\\user\\Documents\\note-{number}.txt"]
        target = report.get("target") or {}
        return {
            **report,
            "info": {**report["info"], "id": 10**8 + number},
            "behavior": {**behavior, "summary": {**summary, "file_written": written}},
            "target": {**target, "file": {**(target.get("file") or {}), "sha256": sha256(number)}},
        }


def sha256(number: int) -> str:
    """The hash of the file of a number."""
    return hashlib.sha256(str(number).encode()).hexdigest()
