"""API calls as numbers: a log of a hundred thousand names becomes one small array, in one pass over each list.

API functions have few names, which recur in every analysis, so they are numbered once a process. If a report of
invented names makes that numbering too large, a new one is begun. A :class:`CallLog` has its own numbers and is
complete by itself, so it can be sent to another process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.report.files.schema import Call, NamedCall

MAX_CALLS: Final = 5_000_000  # that are used of one process; the hosts' own limits are far below
_BYTES: Final = 4  # of a number
_MOST_NAMES: Final = 20_000  # that are kept from one analysis to the next; the hosts have a few hundred
_LONGEST_NAMES: Final = 2**20  # characters, of all names that are kept
_CHUNK: Final = 2048
_FEW_NAMES: Final = 1000  # below this, an array of all their pairs is small
_API: Final = itemgetter("api")
_CALLS: Final = (Call, NamedCall)


class _Numbering:
    """Names and their numbers. They are only added to, and a log keeps the numbering with which its reading began."""

    shared: ClassVar[_Numbering]

    def __init__(self) -> None:
        self.names: list[str] = []
        self.codes: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def add(self, names: set[str]) -> None:
        """Number the names that are new."""
        with self._lock:
            for name in names - self.codes.keys() - {""}:
                self.names.append(name)
                self.codes[name] = (len(self.names) - 1).to_bytes(_BYTES, "little")

    @property
    def is_too_large(self) -> bool:
        """Whether it holds more than the names of any host's functions."""
        return len(self.names) > _MOST_NAMES or sum(map(len, self.names)) > _LONGEST_NAMES


_Numbering.shared = _Numbering()


@dataclass(slots=True)
class CallLog:
    """The calls of all processes, one process after the other.

    ``codes`` (n calls,) are indices into ``names`` (in order), ``lengths`` the number of calls of each process.
    """

    names: list[str] = field(default_factory=list)
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    lengths: list[int] = field(default_factory=list)

    def of(self, processes: Sequence[int]) -> CallLog:
        """The calls of some of the processes, by their places, in order."""
        ends = np.cumsum(self.lengths).tolist()
        kept = [self.codes[ends[place] - self.lengths[place] : ends[place]] for place in processes]
        codes = np.concatenate(kept) if kept else self.codes[:0]
        is_present = np.bincount(codes, minlength=len(self.names)) > 0
        own_codes = np.cumsum(is_present) - 1
        names = [name for name, present in zip(self.names, is_present.tolist(), strict=True) if present]
        return CallLog(names, own_codes[codes], [len(part) for part in kept])

    def bigrams(self) -> list[str]:
        """Pairs of different calls that follow each other in a process, ``first second``, each once, nearly sorted.

        Consecutive repeats of a call count as one call.
        """
        if len(self.codes) < 2:
            return []
        size = len(self.names)
        pairs = self.codes[:-1] * size + self.codes[1:]
        ends = np.cumsum(self.lengths)[:-1] - 1
        # The last call of a process and the first of the next are no pair.
        pairs[ends[(ends >= 0) & (ends < len(pairs))]] = 0
        if size < _FEW_NAMES:
            occurs = np.zeros(size * size, dtype=np.bool_)
            occurs[pairs] = True
            distinct = np.flatnonzero(occurs)
        else:
            distinct = np.unique(pairs)
        first, second = np.divmod(distinct[distinct % (size + 1) != 0], size)  # without pairs of a call with itself
        names = self.names
        return [f"{names[a]} {names[b]}" for a, b in zip(first.tolist(), second.tolist(), strict=True)]


def call_log(processes: Iterable[Any]) -> CallLog:
    """The log of the processes' lists of calls. A call without a name under ``api`` is left out."""
    numbering = _Numbering.shared
    count_before = len(numbering.names)
    encoded = [_encode(calls, numbering) for calls in processes]
    if len(numbering.names) > count_before and numbering.is_too_large:
        _Numbering.shared = _Numbering()
    codes = np.frombuffer(b"".join(encoded), dtype=f"<u{_BYTES}")
    if not len(codes):
        return CallLog(lengths=[0] * len(encoded))
    present = np.flatnonzero(np.bincount(codes))
    names, ordered = zip(*sorted((numbering.names[code], code) for code in present.tolist()), strict=True)
    own_codes = np.zeros(int(present[-1]) + 1, dtype=np.int64)
    own_codes[list(ordered)] = np.arange(len(present))
    return CallLog(list(names), own_codes[codes], [len(part) // _BYTES for part in encoded])


def _encode(calls: Any, numbering: _Numbering) -> bytes:
    """The number of each call of a process.

    A host's list may be lazy: it parses a log while it is iterated, and its length is 0. So it is iterated once, and no
    other operation is used.
    """
    if type(calls) is list and len(calls) <= MAX_CALLS:  # the usual case, and the most expensive one
        try:
            if calls and type(calls[0]) in _CALLS:
                return _encode_names([call.api for call in calls], numbering)
            chunks = (calls[start : start + _CHUNK] for start in range(0, len(calls), _CHUNK))
            return b"".join([_encode_known(chunk, numbering.codes) for chunk in chunks])
        except (KeyError, TypeError, IndexError):  # a new name, or a damaged call
            pass
    if isinstance(calls, (str, bytes, Mapping)) or not isinstance(calls, Iterable):
        return b""
    names: list[str] = []
    try:
        for call in islice(calls, MAX_CALLS):
            name = call.get("api") if isinstance(call, Mapping) else getattr(call, "api", None)
            if isinstance(name, str) and name:
                names.append(name)
    except Exception:  # the log breaks off: the calls before that count
        pass
    return _encode_names(names, numbering)


def _encode_known(calls: list[Any], codes: Mapping[str, bytes]) -> bytes:
    """The number of each call. Raises KeyError, TypeError or IndexError unless every call has a known name.

    The calls of a large log are scattered over memory, and nearly all the time goes into waiting for it. Slicing the
    list lets the processor fetch hundreds of calls at once, and each of the two passes touches less memory than one
    pass would. This takes a third less time than a loop.
    """
    names = list(map(_API, calls))
    return b"".join(map(codes.__getitem__, names))


def _encode_names(names: list[str], numbering: _Numbering) -> bytes:
    numbering.add(set(names))
    codes = numbering.codes
    return b"".join([codes[name] for name in names if name in codes])
