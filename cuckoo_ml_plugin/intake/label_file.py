"""The analyst's label file: lines of ``analysis<tab>label``, read and applied to the store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.intake.find_reports import SUFFIXES, report_stem
from cuckoo_ml_plugin.store.store import Store

_FIRST_TITLES = {"analysis", "analysis_id", "id", "task", "task_id", "sha256", "hash", "name", "file", "sample"}
_SECOND_TITLES = {"label", "labels", "family", "class"}


@dataclass(slots=True)
class LabelFile:
    """The contents of a label file.

    ``families`` maps an analysis id or a SHA-256 to its family; an empty family removes the label. ``bad_lines`` has
    the number of each line that was not understood, and the reason.
    """

    families: dict[str, str] = field(default_factory=dict)
    bad_lines: list[tuple[int, str]] = field(default_factory=list)


def read_labels(path: str | os.PathLike[str]) -> LabelFile:
    """Read a label file. Comments (``#``), blank lines and a line of column titles are skipped.

    Raises:
        ReportError: the file cannot be read.
    """
    labels = LabelFile()
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace", newline=None) as lines:
            for number, line in enumerate(lines, 1):
                _read_line(labels, number, line.rstrip("\n"))
    except OSError as error:
        raise ReportError(
            f"The label file {os.fspath(path)} cannot be read ({error.strerror}): give a file with lines"
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
        labels.bad_lines.append((number, f"{name} has a different label on an earlier line, which is used"))


def apply_labels(store: Store, labels: LabelFile, ids_by_name: Mapping[str, str] | None = None) -> list[str]:
    """Set the labels of stored analyses; returns the names of the label file that match none.

    An analysis may also be named by its report file: ``x.json`` for the analysis ``x``. What is imported together with
    the labels is meant first: ``ids_by_name`` has the ids of these analyses by the names of their files.
    """
    names = {name: _id(name, ids_by_name or {}) for name in labels.families}
    families = {names[name]: family for name, family in labels.families.items()}
    unknown = set(store.set_labels(families))
    stems = {stem: name for name in unknown if (stem := analysis_named(name)) != name}
    unknown_stems = set(store.set_labels({stem: families[name] for stem, name in stems.items()}))
    unknown -= {name for stem, name in stems.items() if stem not in unknown_stems}
    return [name for name in labels.families if names[name] in unknown]


def analysis_named(name: str) -> str:
    """The id that a name in a label file may stand for: ``x`` for the report file ``x.json``, else the name itself."""
    return report_stem(name) if name.lower().endswith(SUFFIXES) else name


def _id(name: str, ids_by_name: Mapping[str, str]) -> str:
    """The id of the imported analysis that a label file names, else the name."""
    return ids_by_name.get(name, ids_by_name.get(analysis_named(name), name))
