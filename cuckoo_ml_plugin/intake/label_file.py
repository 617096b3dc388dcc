"""The analyst's labels: a file of lines ``analysis <tab> label``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.intake.find_reports import SUFFIXES, report_stem
from cuckoo_ml_plugin.store.store import Store

_FIRST_TITLES = {"analysis", "analysis_id", "id", "task", "task_id", "sha256", "hash", "name", "file", "sample"}
_SECOND_TITLES = {"label", "labels", "family", "class"}


@dataclass(slots=True)
class LabelFile:
    """What a label file says. ``families``: id or SHA-256 -> family, "" to clear; ``bad_lines``: number, reason."""

    families: dict[str, str] = field(default_factory=dict)
    bad_lines: list[tuple[int, str]] = field(default_factory=list)


def read_labels(path: str | os.PathLike[str]) -> LabelFile:
    """Read a label file; comments (#), blank lines and a line of titles are passed over. Raises ReportError."""
    labels = LabelFile()
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace", newline=None) as lines:
            for number, line in enumerate(lines, 1):
                _read_line(labels, number, line.rstrip("\n"))
    except OSError as error:
        raise ReportError(
            f"The label file {os.fspath(path)} cannot be read ({error.strerror}): name a file of lines"
            " 'analysis<tab>label'."
        ) from error
    return labels


def _read_line(labels: LabelFile, number: int, line: str) -> None:
    if not line.strip() or line.lstrip().startswith("#"):
        return
    name, tab, rest = line.partition("\t")
    name, family = name.strip(), rest.split("\t")[0].strip().lower()
    if not labels.families and name.lower() in _FIRST_TITLES and family in _SECOND_TITLES:
        return
    if not tab or not name:
        labels.bad_lines.append(
            (number, "no tab between analysis and label" if not tab else "no analysis before the tab")
        )
    elif labels.families.setdefault(name, family) != family:
        labels.bad_lines.append((number, f"{name} has another label above, which counts"))


def apply_labels(store: Store, labels: LabelFile) -> list[str]:
    """Give the analyses their labels; returns the names that the store does not know. A file's name does as well."""
    unknown = store.set_labels(labels.families)
    by_stem = {report_stem(name): name for name in unknown if name.lower().endswith(SUFFIXES)}
    still = set(store.set_labels({stem: labels.families[name] for stem, name in by_stem.items()}))
    known = {name for stem, name in by_stem.items() if stem not in still}
    return [name for name in unknown if name not in known]
