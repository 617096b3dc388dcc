"""Whose word an analysis is: knowledge counts by independent voices, not by copies.

Whoever may submit files decides what is submitted, and how often. So everything that a fit or a count concludes from
how many analyses there are counts voices instead. A small source, which sent less than ``SMALL`` of all samples, is one
voice, however many files it sends. It is a submitter; where the host names none, or the submitter is no small source,
it is the uploads of one day. What comes from larger sources, such as an installation's own feed or an import of a whole
collection, counts by distinct files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SMALL: Final = 0.1
"""The share of all samples below which a source is one voice."""


class VoiceKind(IntEnum):
    """What a voice is. The values are kept in models."""

    FILE = 0
    SUBMITTER = 1
    DAY = 2


ONLY_FROM: Final = {VoiceKind.FILE: "", VoiceKind.SUBMITTER: "submitter", VoiceKind.DAY: "day"}
"""The words by which a section says that something is known from one voice alone."""


@dataclass(frozen=True, slots=True)
class Voices:
    """The voices of N analyses.

    Attributes:
        numbers: (N,) the voice of each analysis; equal analyses in another order have other numbers, but the same
            division.
        kinds: (N,) the :class:`VoiceKind` of each.
    """

    numbers: NDArray[np.int64]
    kinds: NDArray[np.uint8]

    def take(self, rows: NDArray[np.integer[Any]]) -> Voices:
        """The voices of the analyses in these rows (k,)."""
        return Voices(self.numbers[rows], self.kinds[rows])

    def count_by(self, groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """(count,) how many voices each group has; ``groups``: (N,) the group of each analysis, -1 for none."""
        pairs = np.unique(np.stack([groups, self.numbers])[:, groups >= 0], axis=1)
        return np.bincount(pairs[0], minlength=count).astype(np.int64)

    def only(self, groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """(count,) the small source from which alone each group is known, -1 where there is none.

        A source is told by twice its number, and one more where it is a day (:func:`kind_of_source`).
        """
        lone = self.count_by(groups, count) == 1
        sources = np.full(count, -1, np.int64)
        told = np.where(self.kinds == VoiceKind.FILE, -1, 2 * self.numbers + (self.kinds == VoiceKind.DAY))
        is_member = groups >= 0
        sources[groups[is_member]] = told[is_member]
        return np.where(lone, sources, -1)


def kind_of_source(source: int) -> VoiceKind:
    """The kind of a source as :meth:`Voices.only` tells it."""
    return VoiceKind.FILE if source < 0 else VoiceKind.DAY if source % 2 else VoiceKind.SUBMITTER


def voices_of(samples: Sequence[str], submitters: Sequence[str], days: Sequence[str]) -> Voices:
    """The voices of N analyses.

    Args:
        samples: what tells the sample of each from others.
        submitters: who sent each; "" where the host names nobody.
        days: of each, ``2016-05-23``; "" where it is not known.
    """
    least = SMALL * len(set(samples))
    sent_by: dict[tuple[str, ...], set[str]] = {}
    for sample, submitter, day in zip(samples, submitters, days, strict=True):
        sent_by.setdefault((submitter,), set()).add(sample)
        sent_by.setdefault((submitter, day), set()).add(sample)
    numbers: dict[tuple[str, ...], int] = {}
    rows, kinds = [], []
    voice: tuple[str, ...]
    for sample, submitter, day in zip(samples, submitters, days, strict=True):
        if submitter and len(sent_by[submitter,]) < least:
            kind, voice = VoiceKind.SUBMITTER, ("submitter", submitter)
        elif day and len(sent_by[submitter, day]) < least:
            kind, voice = VoiceKind.DAY, ("day", submitter, day)
        else:
            kind, voice = VoiceKind.FILE, ("file", sample)
        rows.append(numbers.setdefault(voice, len(numbers)))
        kinds.append(kind)
    return Voices(np.array(rows, np.int64), np.array(kinds, np.uint8))


def source_of(submitter: str, day: str, sent: Mapping[str, int]) -> tuple[str, str]:
    """The source of an analysis since the last fit: its submitter, or a day; ``("", "")`` where neither is known.

    A submitter who sent more than half of all stored analyses is the installation's own feed, whose days are sources.

    Args:
        sent: how many of all stored analyses each submitter sent.
    """
    is_feed = 2 * sent.get(submitter, 0) > sum(sent.values())
    return (submitter, day) if is_feed or not submitter else (submitter, "")
