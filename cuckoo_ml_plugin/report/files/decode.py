"""Decoding of report files: found in their file, decoded by schema, tolerant of damaged sections.

A file holds one report or several: an array, JSON lines, or objects one after the other, as ``mongoexport`` writes
them. A report may stand in the envelope of a host's API.

msgspec decodes the whole file in one pass. If that fails, each section is decoded by itself: by its type in the schema,
else as any JSON. The standard library decodes JSON that msgspec refuses (NaN, lone surrogates, broken UTF-8), provided
that it is small enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.report.files.packing import Content, contents
from cuckoo_ml_plugin.report.files.schema import ReportSections, TracedSections
from cuckoo_ml_plugin.report.trace import is_trace

MAX_UNPACKED: Final = 2 * 2**30  # bytes of a report, after unpacking
MAX_TOLERANT: Final = 256 * 2**20  # bytes that the standard library may decode; it takes ten times the memory
MAX_REPORTS: Final = 1_000_000  # in one file
_ENVELOPES: Final = ("data", "report", "result", "results", "reports")  # keys under which an API hands out a report
_START: Final = 1024  # bytes of a file that tell what it is
_MOST_BAD: Final = 100  # parts of a file that are no reports before the first that is
_CHUNK: Final = 2**20
_BETWEEN: Final = frozenset(b" \t\r\n,]")  # what may stand after an object
_MAX_DIGITS: Final = 300  # of an integer; no sandbox writes longer ones

_DECODER: Final = msgspec.json.Decoder(ReportSections)
_RAW_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRACE_DECODER: Final = msgspec.json.Decoder(TracedSections)
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")
_ARRAY: Final = re.compile(rb"\[\s*\{")  # an array of anything else is no report
_JSON_LINES: Final = re.compile(r"\.(?:jsonl|ndjson)(?:\.\w+)?$", re.IGNORECASE)
_HTML: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body|script|meta|title)\b", re.IGNORECASE)
_SECTION_DECODERS: Final = {name: msgspec.json.Decoder(hint) for name, hint in get_type_hints(ReportSections).items()}


def load_reports(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | ReportError]]:
    """Each report of the file at ``path``: the sections that the schema knows, or why this one cannot be read.

    With each comes its name in the file: that of a zip file's member, else an empty text.

    Raises:
        ReportError: the file cannot be read or unpacked, is empty, is too large, or holds no report.
    """
    for name, data in contents(path, MAX_UNPACKED):
        for document in _documents(data, path, in_lines=_JSON_LINES.search(name or path.name) is not None):
            yield name, document


def decode_sections(data: Content | memoryview, path: Path) -> Mapping[str, Any]:
    """The sections of one report, from JSON in memory. Errors name the report by ``path``.

    Raises:
        ReportError: the data is not JSON, or is JSON but not an object.
    """
    sections = _decode_whole(data)
    return _with_trace(_decode_by_section(data, path) if sections is None else sections, data)


def _decode_whole(data: Content | memoryview) -> Mapping[str, Any] | None:
    """The sections of an undamaged report, in one pass; None for anything else."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def _with_trace(sections: Mapping[str, Any], data: Content | memoryview) -> Mapping[str, Any]:
    """The sections; those of a Linux analysis with the arguments of its calls."""
    behavior = sections.get("behavior")
    return {**sections, "behavior": _traced(data, behavior)} if is_trace(behavior) else sections


def _traced(data: Content | memoryview, behavior: Any) -> Any:
    """The behaviour of a Linux analysis with the arguments of its calls, which are skipped in every other report."""
    try:
        return _TRACE_DECODER.decode(data)["behavior"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    if len(data) > MAX_TOLERANT:
        return behavior
    try:
        return msgspec.json.decode(_RAW_DECODER.decode(data)["behavior"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
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
        yield _with_trace(whole, data)
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
        values = _RAW_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
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
    try:
        _RAW_DECODER.decode(view[start:])
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        trailing = _TRAILING.search(str(error))
        return start + int(trailing[1]) - 1 if trailing and int(trailing[1]) > 1 else None
    except (UnicodeDecodeError, RecursionError, ValueError):
        return None
    return len(view)


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
    """Decode the sections one by one, each as far as possible."""
    try:
        raw_sections = _RAW_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        whole = _decode_tolerantly(data, path)
        if not isinstance(whole, dict):
            raise ReportError(_not_a_report(path)) from None
        return whole
    return {name: _decode_section(name, raw_sections[name], path) for name in _SECTION_DECODERS if name in raw_sections}


def _decode_section(name: str, raw: msgspec.Raw, path: Path) -> Any:
    """One section: by its type, else as any JSON, else None, as if it were missing."""
    try:
        return _SECTION_DECODERS[name].decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    if len(memoryview(raw)) > MAX_TOLERANT:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    try:
        return _decode_tolerantly(bytes(raw), path)
    except ReportError:
        return None


def _decode_tolerantly(data: Content | memoryview, path: Path) -> Any:
    """JSON with NaN, lone surrogates or broken UTF-8, decoded by the standard library."""
    if len(data) > MAX_TOLERANT:
        raise ReportError(
            f"{path} is not valid JSON and, with {len(data) // 2**20:,} MB, too large to be repaired: create it again."
        )
    try:
        return json.loads(bytes(data).decode("utf-8-sig", "replace"), parse_constant=lambda _: None, parse_int=_integer)
    except RecursionError as error:
        raise ReportError(f"{path} is nested too deeply to be a report: leave it out.") from error
    except ValueError as error:
        raise ReportError(f"{path} is not valid JSON ({error}): copy the file again, it may be cut short.") from error


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


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
