"""Finds the report files among paths and in folders, and the ids of their analyses."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cuckoo_ml_plugin.plumbing.analysis_ids import clean_id, order_key
from cuckoo_ml_plugin.report.report import ReportInFile

_JSON = (".json", ".jsonl", ".ndjson")
_PACKED = ("", ".gz", ".zip", ".zst", ".xz", ".bz2")
SUFFIXES = tuple(json + packed for json in _JSON for packed in _PACKED)
_HOST_NAMES = ("report", "lite")  # of the report in a host's folder; the short one only where there is no other
UNKNOWN_SUFFIX = "the name does not end in .json, .jsonl or .ndjson, packed (.gz, .zip, .zst, .xz, .bz2) or not"
NO_REPORT = "an analysis folder of a host without a report"
SHORT_REPORT = "the short report beside a whole one"
# What an analysis folder of either host has besides reports.
_HOST_FILES = ("task.json", "analysis.log", "analysis.conf")


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file to import.

    ``path`` is absolute, with links resolved. ``analysis`` is the id that the file suggests for its analysis.
    ``problem`` is the reason why the file cannot be read, or None. ``found`` is the path on which it was found, links
    as they are: who could make one of them chose the file.
    """

    path: str
    analysis: str
    problem: str | None = None
    found: str = ""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file or folder that was found in a folder and is not read; ``reason`` is one of this module's constants."""

    path: str
    reason: str


def report_stem(name: str) -> str:
    """A file name without ``.json``, ``.json.gz`` or whatever other extension it has."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return os.path.splitext(name)[0]


def name_in_file(analysis: str, in_file: ReportInFile) -> str:
    """The id of one of several reports in a file: its host's, its name in a zip file, or the file's with its place."""
    if in_file.report is not None and in_file.report.task_id:
        return clean_id(in_file.report.task_id)
    return clean_id(report_stem(os.path.basename(in_file.name)) if in_file.name else f"{analysis}#{in_file.place}")


def find_reports(
    paths: Iterable[str | os.PathLike[str]], passed_over: list[PassedOver] | None = None
) -> list[ReportFile]:
    """The report files among the paths and in folders at any depth, each once, in the order of their paths.

    In a host's analysis folder ``N``, the report is ``reports/report.json``, its analysis is N, and no other file is a
    report. The analysis of any other file is its name without extension. A path to a file is used whatever its name; in
    folders only names with one of ``SUFFIXES`` are used. Links may form loops. A path that cannot be used is in the
    list with its ``problem``. What else is in the folders is added to ``passed_over``; of a host's analysis
    folder this is the folder itself if it has no report, and none of its other files.
    """
    other: list[PassedOver] = [] if passed_over is None else passed_over
    files: dict[str, ReportFile] = {}
    visited: set[str] = set()
    for path in sorted({os.path.abspath(os.fspath(path)) for path in paths}):
        real = os.path.realpath(path)
        reports = (
            _reports_below(real, path, visited, other)
            if os.path.isdir(real)
            else [(report_at(path), os.path.islink(path))]
        )
        for report, is_link in reports:
            if report.path not in files or not is_link:  # the file's own name takes precedence over a link's
                files[report.path] = report
    return sorted(files.values(), key=lambda report: order_key(report.path))


def report_at(location: str | os.PathLike[str], found: str | None = None) -> ReportFile:
    """The report file at a path. The path may be a link. ``found``: the path before links in it were resolved."""
    path = os.path.abspath(os.fspath(location))
    real = os.path.realpath(path)
    analysis = clean_id(_host_id(real) or _host_id(path) or report_stem(os.path.basename(path)))
    problem = _problem(real)
    if problem is not None and os.path.islink(path):
        return ReportFile(path, analysis, f"leads to {real}: {problem}", found or path)
    return ReportFile(real, analysis, problem, found or path)


def _host_id(path: str) -> str:
    """N if the path ends in ``N/reports/report.json``, else an empty text."""
    folder, name = os.path.split(path)
    if report_stem(name) not in _HOST_NAMES or os.path.basename(folder) != "reports":
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


def _reports_below(
    top: str, found_top: str, visited: set[str], passed_over: list[PassedOver]
) -> Iterator[tuple[ReportFile, bool]]:
    """The reports below a folder, and whether each is a link. Does not enter ``visited`` folders.

    ``top`` is its real path, ``found_top`` the one on which it was found.
    """
    waiting = [(top, found_top)]
    while waiting:
        folder, found = waiting.pop()
        if folder in visited:
            continue
        visited.add(folder)
        reports = _in_analysis_folder(folder)
        if reports is not None:
            places = ((path, os.path.join(found, os.path.relpath(path, folder))) for path in reports)
            yield from ((report_at(path, place), False) for path, place in places)
            if not reports:
                passed_over.append(PassedOver(folder, NO_REPORT))
            continue
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"the folder cannot be listed: {(error.strerror or 'no reason given').lower()}"
            yield ReportFile(folder, os.path.basename(folder), reason), False
            continue
        names = {entry.name.lower() for entry in listed}
        has_report = any(f"report{suffix}" in names for suffix in SUFFIXES)
        for entry in listed:
            is_link = entry.is_symlink()
            real = os.path.realpath(entry.path) if is_link else entry.path
            place = os.path.join(found, entry.name)
            if os.path.isdir(real) if is_link else entry.is_dir():
                waiting.append((real, place))
            elif not entry.name.lower().endswith(SUFFIXES):
                passed_over.append(PassedOver(entry.path, UNKNOWN_SUFFIX))
            elif has_report and report_stem(entry.name) == "lite":
                passed_over.append(PassedOver(entry.path, SHORT_REPORT))
            else:
                yield report_at(entry.path, place), is_link


def _in_analysis_folder(folder: str) -> list[str] | None:
    """The report in a host's analysis folder, or in its ``reports``: one path or none. None for any other folder."""
    reports = folder if os.path.basename(folder) == "reports" else os.path.join(folder, "reports")
    for name in _HOST_NAMES:
        for suffix in SUFFIXES:
            candidate = os.path.join(reports, f"{name}{suffix}")
            if os.path.isfile(candidate):
                return [candidate]
    has_number = os.path.basename(folder).isdigit()
    if has_number and any(os.path.isfile(os.path.join(folder, name)) for name in _HOST_FILES):
        return []
    return None
