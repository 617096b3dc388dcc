"""Reports of a family that the demo lacks."""

from __future__ import annotations

import copy
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from support.reports import CUCKOO_REPORT

SHARED = [f"C:\\Novelty\\ledger-{word}.xyz" for word in ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove")]


def report_of(number: int, sample: str = "", name: str = "ledger.exe") -> dict[str, Any]:
    """The report of a run of a family that the demo lacks; each has a little that the others have not."""
    report = copy.deepcopy(CUCKOO_REPORT)
    report["info"] |= {"id": number, "started": 1_700_000_000 + number * 43_200}  # two a day
    report["target"]["file"] |= {"name": name, "sha256": sha256((sample or str(number)).encode()).hexdigest()}
    report["behavior"]["summary"] = {
        "file_created": [*SHARED, f"C:\\Novelty\\own-{number}.xyz"],
        "mutex": [f"ledger-lock-{word}" for word in ("north", "south", "east", "west")],
        "regkey_written": [f"HKEY_CURRENT_USER\\Software\\Ledger\\{word}" for word in ("Seed", "Book", "Page")],
    }
    report["network"] = {"domains": [{"domain": f"{word}.ledger.example", "ip": "9.9.9.9"} for word in ("a", "b", "c")]}
    report["signatures"], report["dropped"], report["static"] = [{"name": "writes_a_ledger"}], [], {}
    report["strings"] = []
    return report


def write(folder: Path, number: int, sample: str = "", name: str = "ledger.exe") -> Path:
    path = folder / "analyses" / str(number) / "reports" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(report_of(number, sample, name)), encoding="utf-8")
    return path
