"""Decoding of report files: unpacked within a limit, decoded by schema, tolerant of damaged sections.

msgspec decodes the whole file in one pass. If that fails, each section is decoded by itself: by its type in the schema,
else as any JSON. The standard library decodes JSON that msgspec refuses (NaN, lone surrogates, broken UTF-8), provided
that it is small enough.
"""

from __future__ import annotations

import io
import json
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.report.schema import ReportSections

MAX_UNPACKED: Final = 2 * 2**30  # bytes of a report, after unpacking
MAX_TOLERANT: Final = 256 * 2**20  # bytes that the standard library may decode; it takes ten times the memory
_CHUNK: Final = 2**20
_MAX_MEMBERS: Final = 100  # streams in one gzip file; more of them only waste time
_GZIP_MAGIC: Final = b"\x1f\x8b"
_MAX_DIGITS: Final = 300  # of an integer; no sandbox writes longer ones

_DECODER: Final = msgspec.json.Decoder(ReportSections)
_RAW_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SECTION_DECODERS: Final = {name: msgspec.json.Decoder(hint) for name, hint in get_type_hints(ReportSections).items()}


def load_sections(path: Path) -> Mapping[str, Any]:
    """The sections of the report at ``path`` that the schema knows. The file is JSON or gzipped JSON.

    Raises:
        ReportError: the file cannot be read, is too large, is not JSON, or is JSON but not an object.
    """
    return decode_sections(_read(path), path)


def decode_sections(data: bytes | bytearray, path: Path) -> Mapping[str, Any]:
    """As :func:`load_sections`, from JSON in memory. Errors name the report by ``path``.

    Raises:
        ReportError: the data is not JSON, or is JSON but not an object.
    """
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return _decode_by_section(data, path)


def _read(path: Path) -> bytes | bytearray:
    """The bytes of the file, unpacked if they are gzip, whatever the file's name."""
    try:
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ReportError(f"{path} is not a regular file: give the path of a report file.")
            if status.st_size > MAX_UNPACKED:
                raise _too_large(path, status.st_size)
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            data = _unpack(file, path) if packed else file.read()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(f"{path} cannot be read ({reason}): check the path and its permissions.") from error
    if len(data) > MAX_UNPACKED:
        raise _too_large(path, len(data))
    if not data or data.isspace():
        raise ReportError(f"{path} is empty: analyse the sample again or leave the file out.")
    return data


def _unpack(file: io.FileIO, path: Path) -> bytearray:
    """Unpack a gzip file in chunks, so that a gzip bomb stops at the limit instead of exhausting the memory."""
    data = bytearray()
    at_end, members = False, 0
    stream = zlib.decompressobj(wbits=31)
    try:
        while chunk := file.read(_CHUNK):
            while chunk:
                data += stream.decompress(chunk, _CHUNK)
                if len(data) > MAX_UNPACKED:
                    raise _too_large(path, len(data))
                chunk = stream.unconsumed_tail
                if stream.eof:
                    members += 1
                    if members > _MAX_MEMBERS:
                        raise ReportError(f"{path} has more gzip streams than any report: leave it out.")
                    chunk, stream = stream.unused_data.lstrip(b"\0"), zlib.decompressobj(wbits=31)
                    at_end = not chunk
                else:
                    at_end = False
    except zlib.error as error:
        raise ReportError(f"{path} is damaged ({error}): copy the file again.") from error
    if not data or not at_end:
        raise ReportError(f"{path} ends in the middle of its gzip stream: copy the file again.")
    return data


def _too_large(path: Path, size: int) -> ReportError:
    return ReportError(
        f"{path} unpacks to more than {MAX_UNPACKED // 2**20:,} MB, the limit for a report "
        f"({size // 2**20:,} MB seen): leave it out, or let the sandbox log fewer calls."
    )


def _decode_by_section(data: bytes | bytearray, path: Path) -> Mapping[str, Any]:
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


def _decode_tolerantly(data: bytes | bytearray, path: Path) -> Any:
    """JSON with NaN, lone surrogates or broken UTF-8, decoded by the standard library."""
    if len(data) > MAX_TOLERANT:
        raise ReportError(
            f"{path} is not valid JSON and, with {len(data) // 2**20:,} MB, too large to be repaired: create it again."
        )
    try:
        return json.loads(data.decode("utf-8-sig", "replace"), parse_constant=lambda _: None, parse_int=_integer)
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


def check_is_report(sections: Mapping[str, Any], path: Path) -> None:
    """Raise :class:`ReportError` unless the report has at least one of ``info``, ``target`` and ``behavior``."""
    if not any(isinstance(sections.get(name), Mapping) for name in ("info", "target", "behavior")):
        raise ReportError(_not_a_report(path))
