"""Writes a finding into a report file. The file is written completely or not at all, and the rest of it is kept."""

from __future__ import annotations

import gzip
import json
import math
import re
import secrets
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.plumbing.files import replace_file
from cuckoo_ml_plugin.plumbing.ownership import acting_as, mending, owner_on_the_way
from cuckoo_ml_plugin.report.files.decode import is_report
from cuckoo_ml_plugin.report.files.packing import is_packed
from cuckoo_ml_plugin.report.host_signatures import update_signature

_INDENT = re.compile(rb"\s*\{\s*?\n( {1,16}|\t{1,4})\"")
_SECTION_ROOM = 2**20  # characters that the section may have
_MOST_GROWTH = 2  # times; beyond this, the first line's indentation is not that of the whole file


def write_section(
    path: Path,
    section: dict[str, Any],
    seed: dict[str, Any],
    is_meant: Callable[[Mapping[str, Any]], bool] | None = None,
) -> bool:
    """Set ``cuckooml`` and the seed's ``info.clustering.hdbscan`` in a report file (.json or .json.gz).

    The file is replaced in one rename. It keeps its mode, its indentation and its way of writing non-ASCII characters;
    the rest of it is what a JSON round trip gives. ``is_meant`` says by the report whether it is the one to write into;
    False if it is not, and the file is unchanged. Root does this with the rights of the one whose folder it is. In
    ``path``, links must be as they are: one that is resolved no longer tells who made it.

    Raises:
        ReportError: the file cannot be read as JSON or cannot be written. It is unchanged.
    """
    with acting_as(*owner_on_the_way(Path("/"), path.absolute())):
        return _write_section(path, section, seed, is_meant)


def _write_section(
    path: Path,
    section: dict[str, Any],
    seed: dict[str, Any],
    is_meant: Callable[[Mapping[str, Any]], bool] | None,
) -> bool:
    try:
        packed = path.read_bytes()
        zipped = packed[:2] == b"\x1f\x8b"
        if not zipped and is_packed(packed[:8]):
            raise ReportError(f"{path}: no section was written, as only .json and .json.gz can be written; unpack it.")
        raw = gzip.decompress(packed) if zipped else packed
        numbers = _Numbers()
        report = json.loads(raw.decode("utf-8", "surrogateescape"), parse_float=numbers.read)
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise ReportError(f"{path}: no section was written, because the file cannot be read ({error}).") from error
    if not isinstance(report, dict):
        raise ReportError(
            f"{path}: no section was written, because the file is not a report (its JSON is not an object)."
        )
    if not is_report(report):
        raise ReportError(f"{path}: no section was written, because the report stands in an envelope; take it out.")
    if is_meant is not None and not is_meant(report):
        return False
    put_section(report, section, seed)
    try:
        written = numbers.put_back(_dump(report, raw))
    except RecursionError as error:
        raise ReportError(f"{path}: no section was written, because the file is nested too deeply.") from error
    _replace(path, gzip.compress(written, mtime=0) if zipped else written)
    return True


def put_section(results: MutableMapping[str, Any], section: Mapping[str, Any], seed: Mapping[str, Any] | None) -> None:
    """Set both in a report or in a host's results. ``seed`` is left out if it is None or if ``info`` is no mapping."""
    results["cuckooml"] = section
    update_signature(results, section)
    if seed is None:
        return
    info = results.setdefault("info", {})
    if isinstance(info, MutableMapping):
        clustering = info.setdefault("clustering", {})
        if isinstance(clustering, MutableMapping):
            clustering["hdbscan"] = seed


class _Numbers:
    """Keeps numbers that JSON can hold and Python cannot, such as 1e999, so that they are written unchanged."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        self._texts: list[str] = []

    def read(self, text: str) -> float | str:
        """For the ``parse_float`` of ``json.loads``: the number, or a text that stands for it."""
        value = float(text)
        if math.isfinite(value):
            return value
        self._texts.append(text)
        return f"{self._mark}-{len(self._texts) - 1}-"

    def put_back(self, written: bytes) -> bytes:
        """The JSON with the numbers in place of the texts that stand for them."""
        if not self._texts:
            return written
        places = re.compile(rb'"%b-(\d+)-"' % self._mark.encode())
        return places.sub(lambda place: self._texts[int(place[1])].encode(), written)


def _dump(report: dict[str, Any], raw: bytes) -> bytes:
    try:
        return _text(report, raw, raw.isascii()).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can hold
        return _text(report, raw, True).encode()


def _text(report: dict[str, Any], raw: bytes, ascii_only: bool) -> str:
    indent = _INDENT.match(raw[:1000])
    limit = _MOST_GROWTH * len(raw) + _SECTION_ROOM
    text = _indented(report, indent[1].decode(), ascii_only, limit) if indent else None
    if text is None:
        text = json.dumps(report, separators=None if b'": ' in raw[:2000] else (",", ":"), ensure_ascii=ascii_only)
    return text


def _indented(report: dict[str, Any], indent: str, ascii_only: bool, limit: int) -> str | None:
    """The report as JSON; None above ``limit`` characters, which the indentation of a deeply nested report reaches."""
    parts: list[str] = []
    for part in json.JSONEncoder(indent=indent, ensure_ascii=ascii_only).iterencode(report):
        parts.append(part)
        limit -= len(part)
        if limit < 0:
            return None
    return "".join(parts)


def _replace(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content)
    except OSError as error:
        mend = mending(path) if isinstance(error, PermissionError) else ""
        raise ReportError(f"{path}: cannot be written ({error.strerror}); the file is unchanged{mend}.") from error
