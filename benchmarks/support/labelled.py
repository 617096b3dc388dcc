"""Labelled corpora that are kept as one archive of reports and one table of labels."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class LabelledReport:
    """A sample: its id, its label, which is only for measurements, and its report."""

    analysis: str
    label: str
    report: dict[str, Any]


def table_of(path: Path) -> Iterator[list[str]]:
    """The rows of a table whose columns are separated by tabs."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file, delimiter="\t")


def reports_of(archive: Path, labels: Mapping[str, str]) -> Iterator[LabelledReport]:
    """The report of each labelled analysis, in the order of the labels; the archive holds ``ANALYSIS.json`` of each."""
    with zipfile.ZipFile(archive) as reports:
        for analysis, label in labels.items():
            yield LabelledReport(analysis, label, orjson.loads(reports.read(f"{analysis}.json")))
