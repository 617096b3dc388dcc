"""The RISS corpus (Sgandurra et al., arXiv 1609.03020) as Cuckoo reports: 1,524 samples, of which 582 are ransomware.

The published matrix holds for each sample which of 30,967 features it showed. Each feature is put back to where Cuckoo
reports it, so that the corpus is read like any other report: a feature ``REG:OPENED:HKEY_...`` becomes an entry of
``behavior.summary.regkey_opened``, for example. No report names its family.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAMILIES = (
    "goodware", "critroni", "cryptlocker", "cryptowall", "kollah", "kovter", "locker", "matsnu", "pgpcoder", "reveton",
    "teslacrypt", "trojan-ransom",
)  # fmt: skip
_OPERATIONS = {
    "REG": {"OPENED": "regkey_opened", "READ": "regkey_read", "WRITTEN": "regkey_written", "DELETED": "regkey_deleted"},
    "FILES": {"OPENED": "file_opened", "READ": "file_read", "WRITTEN": "file_written", "DELETED": "file_deleted"},
    "DIR": {"CREATED": "directory_created", "ENUMERATED": "directory_enumerated"},
}


@dataclass(frozen=True, slots=True)
class RissSample:
    """A sample: its id and family in the published tables, and its report as Cuckoo would have written it."""

    analysis: str
    family: str
    report: dict[str, Any]


def read_riss(folder: Path) -> Iterator[RissSample]:
    """The samples in the order of the published table.

    Args:
        folder: contains RansomwareData.zip and VariableNames.txt as published.
    """
    names = _feature_names(folder / "VariableNames.txt")
    with zipfile.ZipFile(folder / "RansomwareData.zip") as archive, archive.open("RansomwareData.csv") as raw:
        for row in csv.reader(io.TextIOWrapper(raw, encoding="ascii")):
            features = [name for name, value in zip(names, row[3:], strict=True) if value == "1"]
            yield RissSample(row[0], FAMILIES[int(row[2])], _report(row[0], features))


def _feature_names(path: Path) -> list[str]:
    lines = path.read_text(encoding="latin-1").splitlines()
    return [line.split(";", 1)[1] for line in lines[3:] if ";" in line]


def _report(sample: str, features: list[str]) -> dict[str, Any]:
    summary: dict[str, list[str]] = {}
    calls: dict[str, int] = {}
    dropped: list[dict[str, str]] = []
    strings: list[str] = []
    for feature in features:
        group, _, rest = feature.partition(":")
        if group == "API":
            calls[rest] = 1
        elif group == "STR":
            strings.append(rest.split(";", 1)[-1])
        elif group == "DROP":
            dropped.append({"name": f"file.{rest}"})
        else:
            operation, _, value = rest.partition(":")
            extension = group == "FILES_EXT"
            key = _OPERATIONS["FILES" if extension else group][operation]
            summary.setdefault(key, []).append(f"*.{value}" if extension else value)
    return {
        "info": {"id": int(sample), "version": "2.0.7", "started": "2016-02-28T00:00:00"},
        "target": {"category": "file", "file": {"sha256": hashlib.sha256(sample.encode()).hexdigest()}},
        "behavior": {"summary": summary, "apistats": {"1": calls}, "processes": []},
        "dropped": dropped,
        "strings": strings,
    }
