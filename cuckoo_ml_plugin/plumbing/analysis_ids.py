"""What an analysis is known by, its short id, the order of ids as people count, and the files of analyses."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from cuckoo_ml_plugin.plumbing.text import storable

MAX_ID = 200
_DIGITS = re.compile(r"\d+", re.ASCII)
_IDENTITY_LIMITS: Final = {  # characters; a text that is made by clean_id or bounded is shorter
    "node": 100, "task": MAX_ID, "local_task": 100, "job": MAX_ID, "started": 40, "sample": 1000,
}  # fmt: skip


def clean_id(name: str) -> str:
    """An analysis id of at most ``MAX_ID`` characters; of a longer one, the beginning and a digest of the whole."""
    text = storable(name, 8192).strip() or "unnamed"
    if len(text) <= MAX_ID:
        return text
    return f"{text[: MAX_ID - 17]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def order_key(analysis: str) -> str:
    """A key, unique to the id, that sorts as text the way people count: 2 before 10, ``run-9`` before ``run-10``."""
    natural = _DIGITS.sub(lambda run: f"{len(run[0].lstrip('0')):03d}{run[0].lstrip('0')}", analysis)
    return f"{natural}\t{analysis}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What an analysis is known by, wherever its report lies. An empty text: not known.

    The texts come from reports and hosts. Each is made harmless here, so that what is compared is what is stored.

    Attributes:
        node: the node whose host reported it; unknown for a file.
        task: the id by which the host's web interface and database know it. In a distributed CAPE this is the id on the
            central machine.
        local_task: the id on the node, which is the name of its folder.
        job: the id that all reports of this run state, also those that were written before CAPE changed it.
        started: when the host started it, ISO 8601.
        sample: the SHA-256 of the file in lower case, or ``url:`` and the URL.
    """

    node: str = ""
    task: str = ""
    local_task: str = ""
    job: str = ""
    started: str = ""
    sample: str = ""

    def __post_init__(self) -> None:
        for field_, limit in _IDENTITY_LIMITS.items():
            object.__setattr__(self, field_, storable(getattr(self, field_), limit))

    @property
    def run(self) -> str:
        """A hash of task, start and sample, equal for all reports of one run; "" where start or sample is not known."""
        if not (self.started and self.sample):
            return ""
        parts = "\0".join((self.job, self.started, self.sample))
        return hashlib.sha256(parts.encode()).hexdigest()

    def is_of_run(self, other: Identity) -> bool:
        """Whether both state the same start and the same sample; what neither knows is no difference."""
        return (self.started, self.sample) == (other.started, other.sample)


def host_ids(identity: Identity, same_node: bool) -> Iterator[str]:
    """The short ids to try, in order, for a host's analysis whose task id another analysis bears.

    ``same_node``: the other one is of the same node, so the host's ids began again and the day tells them apart;
    otherwise the node does. The numbers at the end never end.
    """
    task, node = identity.task, f"{identity.node}/{identity.task}"
    day, moment = identity.started[:10], identity.started
    dated = [f"{name}@{time}" for name in ((task, node) if same_node else (node,)) for time in (day, moment) if time]
    yield from map(clean_id, [*dated, node] if same_node else [node, *dated])
    number = 2
    while True:
        yield clean_id(f"{clean_id(node)[: MAX_ID - 12]}~{number}")
        number += 1


@dataclass(frozen=True, slots=True)
class Source:
    """The file that an analysis was read from. A file is read again only when one of these fields differs."""

    path: str
    size: int
    mtime_ns: int
    extraction: int = 0  # the version of the extraction that read it; 0: not known
    stored_key: str = field(default="", compare=False)  # of a path that the store has cut

    @property
    def key(self) -> str:
        """The identity of the path, whatever its bytes and its length."""
        return self.stored_key or source_key(self.path)


def source_key(path: str) -> str:
    """The SHA-256 of the bytes of a path, hexadecimal."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()


def qualified_names(analysis: str, source: Source | None, host: str) -> Iterator[str]:
    """The names to try, in order, for an analysis whose id another source may already have.

    For /a/b/x.json they are ``x``, ``b/x``, ``a/b/x``, then the whole path, then the path with a number; the numbers
    never end.
    """
    yield analysis
    if source is None:
        yield clean_id(f"{host or 'host'}/{analysis}")
        path = analysis
    else:
        folders = [part for part in PurePath(source.path).parent.parts if part != os.sep]
        if folders[-1:] == ["reports"] and folders[-2:-1] == [analysis]:
            folders = folders[:-2]  # a host's N/reports/report.json, whose id is the name of the folder N
        for depth in range(1, len(folders) + 1):
            yield clean_id("/".join([*folders[-depth:], analysis]))
        path = source.path
        yield clean_id(path)
    number = 2
    while True:
        yield clean_id(f"{clean_id(path)[: MAX_ID - 12]}~{number}")
        number += 1
