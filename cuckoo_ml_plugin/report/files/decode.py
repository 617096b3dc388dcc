"""Decoding of report files: found in their file, decoded by schema, tolerant of damaged sections.

A file holds one report or several: an array, JSON lines, or objects one after the other, as ``mongoexport`` writes
them. A report may stand in the envelope of a host's API.

msgspec decodes the whole file in one pass. If that fails, each section is decoded by itself: by its type in the schema,
else as any JSON. The standard library decodes JSON that msgspec refuses (NaN, lone surrogates, broken UTF-8). Larger
reports are decoded within a budget of memory (:mod:`cuckoo_ml_plugin.report.files.bounded`), after a repair if needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.report.files.bounded import (
    DAMAGES,
    Sections,
    budget_of,
    decode_again,
    decode_bounded,
    end_of_value,
    is_small,
    load_tolerantly,
    raw_fields,
    repaired,
)
from cuckoo_ml_plugin.report.files.packing import Content, contents
from cuckoo_ml_plugin.report.files.schema import ReportSections, TracedBehavior, TracedSections
from cuckoo_ml_plugin.report.trace import is_trace

MAX_UNPACKED: Final = 2 * 2**30  # bytes of a report, after unpacking
MAX_TOLERANT: Final = 256 * 2**20  # bytes of JSON that may be repaired
MAX_REPORTS: Final = 1_000_000  # in one file
_ENVELOPES: Final = ("data", "report", "result", "results", "reports")  # keys under which an API hands out a report
_START: Final = 1024  # bytes of a file that tell what it is
_MOST_BAD: Final = 100  # parts of a file that are no reports before the first that is
_CHUNK: Final = 2**20
_BETWEEN: Final = frozenset(b" \t\r\n,]")  # what may stand after an object

_DECODER: Final = msgspec.json.Decoder(ReportSections)
_TRACE_DECODER: Final = msgspec.json.Decoder(TracedSections)
_ARRAY: Final = re.compile(rb"\[\s*\{")  # an array of anything else is no report
_JSON_LINES: Final = re.compile(r"\.(?:jsonl|ndjson)(?:\.\w+)?$", re.IGNORECASE)
_HTML: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body|script|meta|title)\b", re.IGNORECASE)
_SECTION_DECODERS: Final = {name: msgspec.json.Decoder(hint) for name, hint in get_type_hints(ReportSections).items()}


def load_reports(
    path: Path, on_large: Callable[[], None] | None = None
) -> Iterator[tuple[str, Mapping[str, Any] | ReportError]]:
    """Each report of the file at ``path``: the sections that the schema knows, or why this one cannot be read.

    With each comes its name in the file: that of a zip file's member, else an empty text. ``on_large`` is called before
    much memory is taken (:func:`cuckoo_ml_plugin.report.files.packing.contents`).

    Raises:
        ReportError: the file cannot be read or unpacked, is empty, is too large, or holds no report.
    """
    for name, data in contents(path, MAX_UNPACKED, on_large):
        documents = _documents(data, path, in_lines=_JSON_LINES.search(name or path.name) is not None)
        del data  # so that it takes no memory any more when its last report is used
        for document in documents:
            yield name, document


def decode_sections(data: Content | memoryview, path: Path) -> Mapping[str, Any]:
    """The sections of one report, from JSON in memory. Errors name the report by ``path``.

    Raises:
        ReportError: the data is not JSON, or is JSON but not an object.
    """
    sections = _decode_whole(data)
    return _with_trace(_decode_by_section(data, path) if sections is None else sections, data)


def _decode_whole(data: Content | memoryview) -> Mapping[str, Any] | None:
    """The sections of an undamaged report, in one pass where it is small; None for anything else."""
    if not is_small(len(data)):
        return decode_bounded(data, budget_of(len(data)))
    try:
        return _DECODER.decode(data)
    except DAMAGES:
        return None


def _with_trace(sections: Mapping[str, Any], data: Content | memoryview) -> Mapping[str, Any]:
    """The sections; those of a Linux analysis with the arguments of its calls."""
    behavior = sections.get("behavior")
    if not is_trace(behavior):
        return sections
    if isinstance(sections, Sections):
        try:
            return decode_again(data, sections, "behavior", TracedBehavior)
        except DAMAGES:
            return sections
    return {**sections, "behavior": _traced(data, behavior)}


def _traced(data: Content | memoryview, behavior: Any) -> Any:
    """The behaviour of a Linux analysis with the arguments of its calls, which are skipped in every other report."""
    try:
        return _TRACE_DECODER.decode(data)["behavior"]
    except DAMAGES:
        pass
    try:
        return msgspec.json.decode(raw_fields(("behavior",)).decode(data)["behavior"])
    except DAMAGES:
        return behavior


# -- the reports in a file ---------------------------------------------------------------------------------------------


def _documents(
    data: Content | memoryview, path: Path, *, in_envelope: bool = False, in_lines: bool = False
) -> Iterator[Mapping[str, Any] | ReportError]:
    """The reports in the content of a file. Raises ReportError if it is no report and no list of them.

    ``in_lines``: the file is called JSON lines. If its first report is damaged, this or a later line tells what it is.
    """
    head = bytes(data[:_START])
    start = head.lstrip()
    if start.startswith(b"<"):
        what = "HTML, such as a login page" if _HTML.match(start) else "XML or HTML"
        raise ReportError(f"{path} is {what}, and not a report in JSON: download the report again.")
    is_array = _ARRAY.match(start) is not None
    whole = _decode_whole(data) if start.startswith(b"{") else None
    if whole is not None and not is_report(whole) and not in_envelope:
        enveloped = _enveloped(data)
        if enveloped is not None:
            yield from _documents(enveloped, path, in_envelope=True)
            return
    if whole is not None:
        check_is_report(whole, path)
        whole = _with_trace(whole, data)
        del data
        yield whole
        return
    view = memoryview(data)
    begin = head.find(b"{")
    has_object = start.startswith(b"{") and _end_of_object(view, begin) is not None
    if is_array or has_object:
        parts = _objects(view, begin)
        first = next(parts)
        second = next(parts, None)
        if is_array or second is not None:
            yield from _reports_in(chain([first], [second] if second is not None else [], parts), path)
            return
    elif in_lines or _has_line_of_report(view):
        yield from _reports_in(_objects(view, len(head) - len(start)), path)
        return
    yield _report_in(data, path)


def _has_line_of_report(view: memoryview) -> bool:
    """Whether one of the first hundred lines that may be an object, after the first line, is a whole report."""
    start = 0
    for _ in range(_MOST_BAD):
        found = _find(view, b"\n{", start)
        if found is None:
            return False
        start = found + 1
        sections = _decode_whole(view[start : _end_of_line(view, start)])
        if sections is not None and is_report(sections):
            return True
    return False


def _reports_in(parts: Iterable[memoryview], path: Path) -> Iterator[Mapping[str, Any] | ReportError]:
    """The reports that the parts of a file are. Raises ReportError if the first hundred parts are none."""
    good = bad = 0
    for part in parts:
        document: Mapping[str, Any] | ReportError
        try:
            document = _report_in(part, path)
            good += 1
        except ReportError as error:
            document, bad = error, bad + 1
        if not good and bad >= _MOST_BAD:
            raise ReportError(_not_a_report(path))
        if good + bad > MAX_REPORTS:
            raise ReportError(f"{path} holds more than {MAX_REPORTS:,} reports: split it.")
        yield document


def _report_in(data: Content | memoryview, path: Path) -> Mapping[str, Any]:
    sections = decode_sections(data, path)
    check_is_report(sections, path)
    return sections


def _enveloped(data: Content | memoryview) -> memoryview | None:
    """The report or reports in the envelope that a host's API puts around them; None without any."""
    try:
        values = raw_fields(_ENVELOPES).decode(data)
    except DAMAGES:
        return None
    for key in _ENVELOPES:
        value = memoryview(values.get(key, b""))
        if bytes(value[:1]) in (b"{", b"["):
            return value
    return None


def _objects(view: memoryview, start: int) -> Iterator[memoryview]:
    """The objects that follow each other: in an array, on lines of their own, or one directly after the other."""
    while start < len(view):
        end = _end_of_object(view, start)
        if end is None:  # damaged, so its line is all that is known of it
            end = _end_of_line(view, start)
        yield view[start:end]
        start = end
        while start < len(view) and view[start] in _BETWEEN:
            start += 1


def _end_of_object(view: memoryview, start: int) -> int | None:
    """Where the object that begins at ``start`` ends; None if that is not to be found out."""
    if bytes(view[start : start + 1]) != b"{":
        return None
    end = end_of_value(view[start:])
    return None if end is None else start + end


def _end_of_line(view: memoryview, start: int) -> int:
    found = _find(view, b"\n", start)
    return len(view) if found is None else found + 1


def _find(view: memoryview, text: bytes, start: int) -> int | None:
    """Where a text begins, at ``start`` or later; None if it does not occur."""
    for begin in range(start, len(view), _CHUNK):
        found = bytes(view[begin : begin + _CHUNK + len(text) - 1]).find(text)
        if found >= 0:
            return begin + found
    return None


# -- the sections of a report ------------------------------------------------------------------------------------------


def _decode_by_section(data: Content | memoryview, path: Path) -> Mapping[str, Any]:
    """The sections of a damaged report, each as far as possible."""
    if not is_small(len(data)):
        return _decode_repaired(data, path)
    try:
        raw_sections = raw_fields(tuple(_SECTION_DECODERS)).decode(data)
    except DAMAGES:
        whole = _decode_tolerantly(data, path)
        if not isinstance(whole, dict):
            raise ReportError(_not_a_report(path)) from None
        return whole
    return {name: _decode_section(name, raw) for name, raw in raw_sections.items()}


def _decode_section(name: str, raw: msgspec.Raw) -> Any:
    """One section: by its type, else as any JSON, else None, as if it were missing."""
    for decoder in (_SECTION_DECODERS[name].decode, msgspec.json.decode):
        try:
            return decoder(raw)
        except DAMAGES:
            continue
    try:
        return load_tolerantly(bytes(raw))
    except (ValueError, RecursionError):
        return None


def _decode_tolerantly(data: Content | memoryview, path: Path) -> Any:
    """JSON with NaN, lone surrogates or broken UTF-8, decoded by the standard library."""
    try:
        return load_tolerantly(bytes(data))
    except RecursionError as error:
        raise _too_deep(path) from error
    except ValueError as error:
        raise _invalid(path, error) from error


def _decode_repaired(data: Content | memoryview, path: Path) -> Mapping[str, Any]:
    """A large report that msgspec refuses, within the budget that a repaired copy of it leaves."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except RecursionError as error:
        raise _too_deep(path) from error
    except DAMAGES as error:
        if len(data) > MAX_TOLERANT:
            raise ReportError(
                f"{path} is not valid JSON and, with {len(data) // 2**20:,} MB, too large to be repaired: "
                "create it again."
            ) from error
        copy = repaired(data) if bytes(data[:_START]).lstrip().startswith(b"{") else None
        if copy is None:
            raise _invalid(path, error) from error
        sections = decode_bounded(copy, max(budget_of(len(data)) - len(copy), len(copy) // 2))
        if sections is not None:
            return sections
        raise _invalid(path, error) from error
    raise ReportError(_not_a_report(path))


def _too_deep(path: Path) -> ReportError:
    return ReportError(f"{path} is nested too deeply to be a report: leave it out.")


def _invalid(path: Path, error: Exception) -> ReportError:
    return ReportError(f"{path} is not valid JSON ({error}): copy the file again, it may be cut short.")


def _not_a_report(path: Path) -> str:
    return (
        f"{path} is JSON but not a report of Cuckoo or CAPE (it has no info, target or behavior): give a report.json "
        "of either host."
    )


def is_report(sections: Mapping[str, Any]) -> bool:
    """Whether the report has ``info``, ``target`` or ``behavior``, or ``debug``, which is all that a failure leaves."""
    if any(isinstance(sections.get(name), Mapping) for name in ("info", "target", "behavior")):
        return True
    debug = sections.get("debug")
    return isinstance(debug, Mapping) and isinstance(debug.get("errors"), list)


def check_is_report(sections: Mapping[str, Any], path: Path) -> None:
    """Raise :class:`ReportError` unless the sections are those of a report."""
    if not is_report(sections):
        raise ReportError(_not_a_report(path))
