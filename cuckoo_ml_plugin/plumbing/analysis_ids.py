"""To be described."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from cuckoo_ml_plugin.plumbing.text import storable

MAX_ID = 200


_DIGITS = re.compile(r"\d+", re.ASCII)


def clean_id(name: str) -> str:
    """An analysis id of at most ``MAX_ID`` characters; a longer one keeps its start and gets a digest."""
    text = storable(name, 8192).strip() or "unnamed"
    if len(text) <= MAX_ID:
        return text
    return f"{text[: MAX_ID - 17]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def order_key(analysis: str) -> str:
    """Sorts as text the way people count: 2 before 10, ``run-9`` before ``run-10``. It is unique to the id."""
    natural = _DIGITS.sub(lambda run: f"{len(run[0].lstrip('0')):03d}{run[0].lstrip('0')}", analysis)
    return f"{natural}\t{analysis}"


@dataclass(frozen=True, slots=True)
class Source:
    """The file that an analysis was read from: while all of this is equal it is not read again."""

    path: str
    size: int
    mtime_ns: int
    extraction: int = 0  # the version that read it; 0: not known

    @property
    def key(self) -> str:
        """Identity of the path, whatever bytes it is made of and however long it is."""
        return source_key(self.path)


def source_key(path: str) -> str:
    """SHA-256 of a path's bytes, hexadecimal."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()


def qualified_names(analysis: str, source: Source | None, host: str) -> Iterator[str]:
    """The names to try for an analysis whose id another source already has: ever more of its folders, then a number.

    ``x``, ``b/x``, ``a/b/x`` ... for /a/b/x.json; the last ones carry the whole path and never end.
    """
    yield analysis
    if source is None:
        yield clean_id(f"{host or 'host'}/{analysis}")
        path = analysis
    else:
        folders = [part for part in PurePath(source.path).parent.parts if part != os.sep]
        if folders[-1:] == ["reports"] and folders[-2:-1] == [analysis]:
            folders = folders[:-2]  # a host's N/reports/report.json: the id is already the folder's
        for depth in range(1, len(folders) + 1):
            yield clean_id("/".join([*folders[-depth:], analysis]))
        path = source.path
        yield clean_id(path)
    number = 2
    while True:
        yield clean_id(f"{clean_id(path)[: MAX_ID - 12]}~{number}")
        number += 1
