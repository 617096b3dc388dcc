"""Reports with the structure of real ones, in which some values are what a hostile program would put there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

from benchmarks.support.paths import DATA

_LARGEST: Final = 400_000  # bytes of a report that is changed; larger ones would only be slower
_HOSTILE: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**30, -0.0, 1e308, float("nan"), float("inf"), "", " ", "0", "-",
    "\x00", "\ud800", "\udfff\ud800", "\u202egnp.exe", "\u2066\u200f\u061c", "a\nb\r\n\tc", "\x1b[31m\x1b]0;x\x07",
    "%s%n%x", "'; DROP TABLE analyses; --", "<script>alert(1)</script>", "../../../../etc/passwd", "C:\\" + "\\" * 300,
    "W" * 70_000, "é" * 300, "Z" + "\u0301" * 500, "0001-01-01 00:00:00", "9999-12-31 23:59:59", "2016-02-30",
    [], {}, [[]], [{}], [None] * 50, [[]] * 300, [{}] * 300, {"": ""}, {"\x00": None}, {"a.b": 1, "$c": 2},
    ["W" * 400] * 40, {f"k{number}": number for number in range(300)},
)  # fmt: skip


def deep(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def originals(corpus: Path, data: Path = DATA) -> list[dict[str, Any]]:
    """The reports to change: those of both hosts in a corpus of the demo, and real ones where they are at hand."""
    made = sorted(corpus.rglob("*.json*"))
    recorded = [path for host in ("cape", "cuckoo2") for path in sorted((data / host).rglob("*.json*"))]
    reports = []
    for path in [*made[:: max(1, len(made) // 40)], *recorded]:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if len(text) <= _LARGEST:
            value = json.loads(text)
            if isinstance(value, dict):
                reports.append(value)
    return reports


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value inside a report."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in inner:
        yield (*path, key)
        yield from places(entry, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a report with ``new`` at ``path``; the report itself where an earlier change took the path away."""
    if not path:
        return new
    try:
        inner = value[path[0]]
        copy = value.copy()
        copy[path[0]] = replaced(inner, path[1:], new)
    except (KeyError, IndexError, TypeError, AttributeError):
        return value
    return copy


class HostileReports:
    """Makes the same report for the same number, in any process."""

    def __init__(self, corpus: Path, data: Path = DATA) -> None:
        """
        Args:
            corpus: a folder of reports that the demo wrote.
            data: real reports, in a folder for each host.
        """
        self._originals = originals(corpus, data)
        self._places = [list(places(report)) for report in self._originals]

    def results(self, number: int) -> dict[str, Any]:
        """A host's results: one to twelve values are replaced by hostile ones or by other parts of the report."""
        rng = Random(number)
        which = rng.randrange(len(self._originals))
        original: Any = self._originals[which]
        results = original
        for _ in range(rng.choice((1, 1, 2, 3, 5, 12))):
            path = rng.choice(self._places[which])
            if rng.random() < 0.3:  # values in the middle of a report are met too rarely otherwise
                path = path[: rng.randint(1, len(path))]
            results = replaced(results, path, self._value(rng, original, which))
        return results if isinstance(results, dict) else {}

    def _value(self, rng: Random, original: Any, which: int) -> Any:
        choice = rng.random()
        if choice < 0.7:
            return rng.choice(_HOSTILE)
        if choice < 0.75:
            return deep(rng.choice((20, 200, 900)))
        value = original
        for key in rng.choice(self._places[which]):  # a part of the report in a place that is not its own
            value = value[key]
        return value

    def file(self, number: int) -> bytes:
        """A report's file: hostile results as JSON, sometimes cut off, or with damaged bytes."""
        rng = Random(-number - 1)
        text = json.dumps(self.results(number)).encode("ascii")
        damage = rng.random()
        if damage < 0.1:
            return text[: rng.randrange(len(text) + 1)]
        if damage < 0.2:
            damaged = bytearray(text)
            for _ in range(rng.choice((1, 4, 40))):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            return bytes(damaged)
        return text
