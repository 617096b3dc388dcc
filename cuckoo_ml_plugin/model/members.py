"""The fitted analyses: id, SHA-256 and label of each, kept as bytes in arrays so that processes share them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape

_AT_ONCE = 1_024  # analyses that are decoded at a time where all are


class Member(NamedTuple):
    """One fitted analysis."""

    analysis: str
    sha256: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Members(ModelPart):
    """All a fitted analyses in order of their behaviour, of which there are n.

    Attributes:
        starts: (n + 1,) where the analyses of each behaviour begin.
        offsets: (a + 1,) where the entry of each analysis begins in ``text``.
        text: (b,) bytes of the entries: a JSON list for each analysis.
    """

    starts: Annotated[NDArray[np.int64], Shape("n + 1", delimits="a")]
    offsets: Annotated[NDArray[np.int64], Shape("a + 1", delimits="b")]
    text: Annotated[NDArray[np.uint8], Shape("b")]

    @classmethod
    def build(cls, members: Sequence[Member], point_of: NDArray[np.int64], points: int) -> Members:
        """From the analyses and ``point_of`` (a,), the number of each one's behaviour, below ``points``."""
        order = np.argsort(point_of, kind="stable")
        starts = np.searchsorted(point_of[order], np.arange(points + 1)).astype(np.int64)
        lines = [json.dumps(list(members[i]), separators=(",", ":")).encode() for i in order]
        offsets = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
        return cls(starts, offsets, np.frombuffer(b"".join(lines), np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of_point(self, point: int, limit: int | None = None) -> list[Member]:
        """The analyses that show a behaviour; at most ``limit``."""
        first, last = int(self.starts[point]), int(self.starts[point + 1])
        return list(self._decoded(range(first, last if limit is None else min(last, first + limit))))

    def samples_of_point(self, point: int, limit: int, beside: str | None = None) -> list[Member]:
        """Of each file that shows a behaviour the first analysis, and each analysis without one; at most ``limit``.

        ``beside``: an analysis that is left out. The analyses of a file follow each other, so that a file with
        thousands of them is passed over in a few steps.
        """
        number, last = int(self.starts[point]), int(self.starts[point + 1])
        found: list[Member] = []
        while number < last and len(found) < limit:
            member = self._member(number)
            number += 1
            if member.analysis != beside:
                found.append(member)
                if member.sha256 is not None:
                    number = self._behind(number, last, member.sha256)
        return found

    def _behind(self, number: int, last: int, sha256: str) -> int:
        """The first number from ``number`` on whose analysis is not of a file, at most ``last``."""
        first, end, step = number, number, 1
        while end < last and self._member(end).sha256 == sha256:
            first, end, step = end + 1, end + step, 2 * step
        end = min(end, last)
        while first < end:
            middle = (first + end) // 2
            first, end = (middle + 1, end) if self._member(middle).sha256 == sha256 else (first, middle)
        return first

    def all(self) -> Iterator[tuple[int, Member]]:
        """The number of its behaviour and the analysis, for each analysis."""
        points = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        for first in range(0, len(self), _AT_ONCE):
            bounds = self.offsets[first : first + _AT_ONCE + 1].tolist()
            text = self.text[bounds[0] : bounds[-1]].tobytes()
            lines = [text[start - bounds[0] : end - bounds[0]] for start, end in pairwise(bounds)]
            entries = json.loads(b"[" + b",".join(lines) + b"]")
            for point, entry in zip(points[first : first + _AT_ONCE].tolist(), entries, strict=True):
                yield point, Member(*entry)

    def without(self, is_gone: Callable[[Member], bool]) -> Members | None:
        """All but some analyses, whose behaviours stay; None where none of them is here."""
        members = list(self.all())
        kept = [(point, member) for point, member in members if not is_gone(member)]
        if len(kept) == len(members):
            return None
        points = np.array([point for point, _ in kept], np.int64)
        return self.build([member for _, member in kept], points, len(self.starts) - 1)

    def _decoded(self, numbers: Iterable[int]) -> Iterator[Member]:
        for number in numbers:
            yield self._member(number)

    def _member(self, number: int) -> Member:
        return Member(*json.loads(bytes(self.text[self.offsets[number] : self.offsets[number + 1]])))
