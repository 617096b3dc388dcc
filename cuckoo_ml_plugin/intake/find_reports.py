"""Which files under the given paths are reports, and what their analyses are called."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cuckoo_ml_plugin.plumbing.analysis_ids import clean_id, order_key

SUFFIXES = (".json", ".json.gz")
_HOST_FILES = ("task.json", "analysis.log", "analysis.conf")  # what a host leaves in an analysis folder besides reports


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A file to read. ``path``: absolute, links resolved; ``analysis``: the id it asks for; ``problem``: why not."""

    path: str
    analysis: str
    problem: str | None = None


def report_stem(name: str) -> str:
    """A file name without ``.json`` or ``.json.gz`` (or without its extension, whatever that is)."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return os.path.splitext(name)[0]


def find_reports(paths: Iterable[str | os.PathLike[str]]) -> list[ReportFile]:
    """The report files among the paths and in folders at any depth, each once, in the order of their paths.

    A host's analysis folder ``N/reports/report.json`` is analysis N and nothing else in it is a report; any other
    file's analysis is its name without extension. A given path is taken whatever its name; in folders only ``.json``
    and ``.json.gz`` are looked at. Links may loop. What cannot be looked at is in the list with its ``problem``.
    """
    found: dict[str, ReportFile] = {}
    seen: set[str] = set()
    for path in sorted({os.path.abspath(os.fspath(path)) for path in paths}):
        real = os.path.realpath(path)
        reports = _in_folder(real, seen) if os.path.isdir(real) else [(report_at(path), os.path.islink(path))]
        for report, is_link in reports:
            if report.path not in found or not is_link:  # the name of the file itself goes before a link's
                found[report.path] = report
    return sorted(found.values(), key=lambda report: order_key(report.path))


def report_at(where: str | os.PathLike[str]) -> ReportFile:
    """The report file at a path, which may be a link to it."""
    path = os.path.abspath(os.fspath(where))
    real = os.path.realpath(path)
    analysis = clean_id(_host_id(real) or _host_id(path) or report_stem(os.path.basename(path)))
    problem = _problem(real)
    if problem is not None and os.path.islink(path):
        return ReportFile(path, analysis, f"leads to {real}: {problem}")
    return ReportFile(real, analysis, problem)


def _host_id(path: str) -> str:
    """N of ``N/reports/report.json``, "" for another path."""
    folder, name = os.path.split(path)
    if report_stem(name) != "report" or os.path.basename(folder) != "reports":
        return ""
    return os.path.basename(os.path.dirname(folder))


def _problem(real: str) -> str | None:
    """Why a path cannot be read as a file; a pipe or a device would be waited on for ever."""
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return (error.strerror or "cannot be looked at").lower()
    return None if stat.S_ISREG(mode) else "not a regular file"


def _in_folder(top: str, seen: set[str]) -> Iterator[tuple[ReportFile, bool]]:
    """Reports below a folder (its real path), and whether a link led there; folders seen before are not entered."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        report = _of_analysis_folder(folder)
        if report is not None:
            yield from ((report_at(path), False) for path in report)
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


def _of_analysis_folder(folder: str) -> list[str] | None:
    """The report in a host's analysis folder (or its ``reports``), [] if it has none; None: another kind of folder."""
    reports = folder if os.path.basename(folder) == "reports" else os.path.join(folder, "reports")
    for suffix in SUFFIXES:
        candidate = os.path.join(reports, f"report{suffix}")
        if os.path.isfile(candidate):
            return [candidate]
    has_number = os.path.basename(folder).isdigit()
    if has_number and any(os.path.isfile(os.path.join(folder, name)) for name in _HOST_FILES):
        return []
    return None
