"""The content of a report file: unpacked within a limit, whatever the file's name, and as UTF-8.

What packs a file is known by its first bytes: gzip, zip, zstandard, xz and bzip2 are read. Everything is unpacked in
chunks, so that a file that unpacks to more than the limit stops there instead of exhausting the memory.
"""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.plumbing.extras import missing_package

Content = bytes | bytearray

LARGE: Final = 64 * 2**20  # bytes of a content of which an import reads one at a time
_CHUNK: Final = 2**20
_ZSTD_CHUNK: Final = 2**10  # its output has no limit of its own: from four bytes come up to 128 KB
_MAX_STREAMS: Final = 100  # in one packed file; more of them only waste time
_MAX_MEMBERS: Final = 100_000  # of a zip file
_MAX_WINDOW: Final = 128 * 2**20  # bytes that xz and zstandard may keep while they unpack
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_XZ: Final = b"\xfd7zXZ\x00"
_BZIP2: Final = b"BZh"
_ENCODINGS: Final = (  # the longer marks first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, ""),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Decompressor(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Limit:
    """The bytes that a file may unpack to; ``on_large`` is called when it is known to exceed :data:`LARGE`."""

    def __init__(self, path: Path, most: int, on_large: Callable[[], None] | None) -> None:
        self.path, self.most, self.on_large = path, most, on_large

    def check(self, size: int) -> None:
        """Raise ReportError if a content is, or has grown, too large."""
        if size > self.most:
            raise _too_large(self.path, size, self.most)
        if size > LARGE and self.on_large is not None:
            self.on_large()


def contents(path: Path, limit: int, on_large: Callable[[], None] | None = None) -> Iterator[tuple[str, Content]]:
    """The content of the file at ``path``; of a zip file, each report in it with its name. Names are else empty.

    Args:
        limit: bytes that all of it may have after unpacking.
        on_large: is called, once or several times, before a content takes more than :data:`LARGE` bytes of memory.

    Raises:
        ReportError: the file cannot be read or unpacked, is empty, or is too large.
    """
    try:
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ReportError(f"{path} is not a regular file: give the path of a report file.")
            bound = _Limit(path, limit, on_large)
            bound.check(status.st_size)
            start = file.read(8)
            file.seek(0)
            if start.startswith(_ZIP):
                yield from _zip_members(file, path, bound)
            else:
                yield "", _checked(_unpacked(file, start, path, bound), path, limit)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(f"{path} cannot be read ({reason}): check the path and its permissions.") from error


def is_packed(start: bytes) -> bool:
    """Whether a file that begins with these bytes is packed in a way that is read."""
    return start.startswith((_GZIP, _ZIP, _ZSTD, _XZ, _BZIP2))


def _unpacked(file: io.FileIO, start: bytes, path: Path, limit: _Limit) -> Content:
    if start.startswith(_GZIP):
        return _gunzip(file, path, limit)
    if start.startswith(_ZSTD):
        return _unzstd(file, path, limit)
    if start.startswith(_XZ):
        return _decompress(file, path, limit, "xz", lambda: lzma.LZMADecompressor(memlimit=_MAX_WINDOW))
    if start.startswith(_BZIP2):
        return _decompress(file, path, limit, "bzip2", bz2.BZ2Decompressor)
    return file.read()


def _checked(data: Content, path: Path, limit: int) -> Content:
    """The content as UTF-8. Raises ReportError for what is empty or too large."""
    if len(data) > limit:
        raise _too_large(path, len(data), limit)
    for mark, encoding in _ENCODINGS:
        if data.startswith(mark):
            data = data.decode(encoding, "replace").encode("utf-8", "replace") if encoding else data[len(mark) :]
            break
    if not data or data.isspace():
        raise ReportError(f"{path} is empty: analyse the sample again or leave the file out.")
    return data


def _gunzip(file: io.FileIO, path: Path, limit: _Limit) -> bytearray:
    data = bytearray()
    at_end, streams = False, 0
    stream = zlib.decompressobj(wbits=31)
    try:
        while chunk := file.read(_CHUNK):
            while chunk:
                data += stream.decompress(chunk, _CHUNK)
                limit.check(len(data))
                chunk = stream.unconsumed_tail
                if stream.eof:
                    streams += 1
                    if streams > _MAX_STREAMS:
                        raise _too_many_streams(path, "gzip")
                    chunk, stream = stream.unused_data.lstrip(b"\0"), zlib.decompressobj(wbits=31)
                    at_end = not chunk
                else:
                    at_end = False
    except zlib.error as error:
        raise _damaged(path, error) from error
    if not data or not at_end:
        raise _cut(path, "gzip")
    return data


def _decompress(file: io.FileIO, path: Path, limit: _Limit, kind: str, new: Any) -> bytearray:
    """Unpack the streams of bzip2 or xz; ``new`` makes a decompressor for one stream."""
    data = bytearray()
    stream: _Decompressor = new()
    streams, at_end = 0, False
    try:
        while chunk := file.read(_CHUNK):
            at_end = False
            while chunk or not stream.needs_input:
                data += stream.decompress(chunk, _CHUNK)
                limit.check(len(data))
                chunk = b""
                if stream.eof:
                    streams += 1
                    if streams > _MAX_STREAMS:
                        raise _too_many_streams(path, kind)
                    chunk, stream = stream.unused_data.lstrip(b"\0"), new()
                    if not chunk:
                        at_end = True
                        break
    except MemoryError as error:
        raise ReportError(
            f"{path} needs more than {_MAX_WINDOW // 2**20:,} MB to unpack: pack it with the usual settings of {kind}."
        ) from error
    except (lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise _damaged(path, error) from error
    if not data or not at_end:
        raise _cut(path, kind)
    return data


def _unzstd(file: io.FileIO, path: Path, limit: _Limit) -> bytearray:
    try:
        import zstandard
    except ImportError as error:
        raise ReportError(f"{path}: {missing_package('zstandard', 'Files packed by zstandard', error)}") from error
    data = bytearray()
    streams, whole = 0, False
    unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    try:
        stream = unpacker.decompressobj()
        while chunk := file.read(_ZSTD_CHUNK):
            while chunk:
                data += stream.decompress(chunk)
                limit.check(len(data))
                whole, chunk = bool(stream.eof), b""
                if whole:
                    streams += 1
                    if streams > _MAX_STREAMS:
                        raise _too_many_streams(path, "zstandard")
                    chunk, stream = stream.unused_data, unpacker.decompressobj()
    except zstandard.ZstdError as error:
        raise _damaged(path, error) from error
    if not data or not whole:
        raise _cut(path, "zstandard")
    return data


def _zip_members(file: io.FileIO, path: Path, limit: _Limit) -> Iterator[tuple[str, Content]]:
    """The JSON files of a zip file, each with its name in it; without a name if it is the only one."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > _MAX_MEMBERS:
                raise ReportError(f"{path} has more than {_MAX_MEMBERS:,} files: unpack it and import the folder.")
            reports = [member for member in members if member.filename.lower().endswith((".json", ".jsonl", ".ndjson"))]
            if not reports and len(members) == 1:
                reports = members
            if not reports:
                raise ReportError(f"{path} is a zip file without a .json file: give one with a report in it.")
            for member in reports:
                data = _zip_member(archive, member, path, limit)
                limit.most -= len(data)
                name = member.filename if len(reports) > 1 else ""
                yield name, _checked(data, Path(f"{path}/{member.filename}"), max(limit.most, len(data)))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise _damaged(path, error) from error


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, limit: _Limit) -> bytearray:
    if member.flag_bits & 1:
        raise ReportError(f"{path} is protected by a password: unpack it and give the report.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others have no bounded reading
        raise ReportError(f"{path} is packed by a method that is rare in zip files: unpack it and give the report.")
    data = bytearray()
    with archive.open(member) as packed:
        while chunk := packed.read(_CHUNK):
            data += chunk
            limit.check(len(data))
    return data


def _too_large(path: Path, size: int, limit: int) -> ReportError:
    return ReportError(
        f"{path} unpacks to more than {limit // 2**20:,} MB, the limit for a report "
        f"({size // 2**20:,} MB seen): leave it out, or let the sandbox log fewer calls."
    )


def _too_many_streams(path: Path, kind: str) -> ReportError:
    return ReportError(f"{path} has more {kind} streams than any report: leave it out.")


def _damaged(path: Path, error: Exception) -> ReportError:
    return ReportError(f"{path} is damaged ({error}): copy the file again.")


def _cut(path: Path, kind: str) -> ReportError:
    return ReportError(f"{path} ends in the middle of its {kind} stream: copy the file again.")
