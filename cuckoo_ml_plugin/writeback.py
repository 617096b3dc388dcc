"""Putting a finding into a report file: whole or not at all, with everything else in it left as it was."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.errors import ReportError

_INDENT = re.compile(rb"\s*\{\s*?\n( +|\t+)\"")


def write_section(path: Path, section: dict[str, Any], seed: dict[str, Any]) -> None:
    """Set ``cuckooml`` and the seed's ``info.clustering.hdbscan`` in a report file (.json or .json.gz).

    The file is replaced in one rename and keeps its mode, its indentation and its way of writing non-ASCII characters.
    Everything else in it stays as a JSON round trip leaves it.

    Raises:
        ReportError: the file cannot be read as JSON, or not be written; it is as it was.
    """
    try:
        packed = path.read_bytes()
        zipped = packed[:2] == b"\x1f\x8b"
        raw = gzip.decompress(packed) if zipped else packed
        report = json.loads(raw.decode("utf-8", "surrogateescape"))
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise ReportError(f"{path}: cannot be read to write the section into it ({error}).") from error
    if not isinstance(report, dict):
        raise ReportError(f"{path}: is no report (its JSON is not an object), so no section was written.")
    put_section(report, section, seed)
    written = _dump(report, raw)
    _replace(path, gzip.compress(written, mtime=0) if zipped else written)


def put_section(results: MutableMapping[str, Any], section: Mapping[str, Any], seed: Mapping[str, Any] | None) -> None:
    """Set both in a report, or in a host's results; ``seed`` may be missing. Where ``info`` is no table, only one."""
    results["cuckooml"] = section
    if seed is None:
        return
    info = results.setdefault("info", {})
    if isinstance(info, MutableMapping):
        clustering = info.setdefault("clustering", {})
        if isinstance(clustering, MutableMapping):
            clustering["hdbscan"] = seed


def _dump(report: dict[str, Any], raw: bytes) -> bytes:
    found = _INDENT.match(raw[:1000])
    indent = found[1].decode() if found else None
    separators = None if indent or b'": ' in raw[:2000] else (",", ":")
    text = json.dumps(report, indent=indent, separators=separators, ensure_ascii=raw.isascii())
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can hold
        return json.dumps(report, indent=indent, separators=separators).encode()


def _replace(path: Path, content: bytes) -> None:
    target = path.resolve()
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, name)
        Path(name).replace(target)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise ReportError(f"{path}: cannot be written ({error.strerror}); the file is as it was.") from error
