"""Finds the report files among paths and in folders, and the ids of their analyses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cuckoo_ml_plugin.plumbing.analysis_ids import clean_id, order_key

SUFFIXES = (".json", ".json.gz")
# What an analysis folder of either host has besides reports.
_HOST_FILES = ("task.json", "analysis.log", "analysis.conf")


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file to import.

    ``path`` is absolute, with links resolved. ``analysis`` is the id that the file suggests for its analysis.
    ``problem`` is the reason why the file cannot be read, or None.
    """

    path: str
    analysis: str
    problem: str | None = None


def report_stem(name: str) -> str:
    """A file name without ``.json``, ``.json.gz`` or whatever other extension it has."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return os.path.splitext(name)[0]


def find_reports(paths: Iterable[str | os.PathLike[str]]) -> list[ReportFile]:
    """The report files among the paths and in folders at any depth, each once, in the order of their paths.

    In a host's analysis folder ``N``, the report is ``reports/report.json``, its analysis is N, and no other file is a
    report. The analysis of any other file is its name without extension. A path to a file is used whatever its name; in
    folders only ``.json`` and ``.json.gz`` are used. Links may form loops. A path that cannot be used is in the list
    with its ``problem``.
    """
    files: dict[str, ReportFile] = {}
    visited: set[str] = set()
    for path in sorted({os.path.abspath(os.fspath(path)) for path in paths}):
        real = os.path.realpath(path)
        reports = _reports_below(real, visited) if os.path.isdir(real) else [(report_at(path), os.path.islink(path))]
        for report, is_link in reports:
            if report.path not in files or not is_link:  # the file's own name takes precedence over a link's
                files[report.path] = report
    return sorted(files.values(), key=lambda report: order_key(report.path))


def report_at(location: str | os.PathLike[str]) -> ReportFile:
    """The report file at a path. The path may be a link."""
    path = os.path.abspath(os.fspath(location))
    real = os.path.realpath(path)
    analysis = clean_id(_host_id(real) or _host_id(path) or report_stem(os.path.basename(path)))
    problem = _problem(real)
    if problem is not None and os.path.islink(path):
        return ReportFile(path, analysis, f"leads to {real}: {problem}")
    return ReportFile(real, analysis, problem)


def _host_id(path: str) -> str:
    """N if the path ends in ``N/reports/report.json``, else an empty text."""
    folder, name = os.path.split(path)
    if report_stem(name) != "report" or os.path.basename(folder) != "reports":
        return ""
    return os.path.basename(os.path.dirname(folder))


def _problem(real: str) -> str | None:
    """Why a path cannot be read as a file, or None. Reading a pipe or a device could wait for ever."""
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return (error.strerror or "cannot be accessed").lower()
    return None if stat.S_ISREG(mode) else "not a regular file"


def _reports_below(top: str, visited: set[str]) -> Iterator[tuple[ReportFile, bool]]:
    """The reports below a folder (its real path), and whether each is a link. Does not enter ``visited`` folders."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        if folder in visited:
            continue
        visited.add(folder)
        reports = _in_analysis_folder(folder)
        if reports is not None:
            yield from ((report_at(path), False) for path in reports)
            continue
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"the folder cannot be listed: {(error.strerror or 'no reason given').lower()}"
            yield ReportFile(folder, os.path.basename(folder), reason), False
            continue
        for entry in listed:
            is_link = entry.is_symlink()
            real = os.path.realpath(entry.path) if is_link else entry.path
            if os.path.isdir(real) if is_link else entry.is_dir():
                waiting.append(real)
            elif entry.name.lower().endswith(SUFFIXES):
                yield report_at(entry.path), is_link


def _in_analysis_folder(folder: str) -> list[str] | None:
    """The report in a host's analysis folder, or in its ``reports``: one path or none. None for any other folder."""
    reports = folder if os.path.basename(folder) == "reports" else os.path.join(folder, "reports")
    for suffix in SUFFIXES:
        candidate = os.path.join(reports, f"report{suffix}")
        if os.path.isfile(candidate):
            return [candidate]
    has_number = os.path.basename(folder).isdigit()
    if has_number and any(os.path.isfile(os.path.join(folder, name)) for name in _HOST_FILES):
        return []
    return None
