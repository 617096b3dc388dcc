"""Decoding within a budget: what a report takes in memory is known before it is decoded, not after.

An element of two or three bytes, such as ``{}``, takes up to fifty times its size once it is decoded. So a report above
a size is decoded in parts. The lists of calls, which are most of it, are counted while they are decoded. Any other part
is decoded at once if its size times :data:`WORST` fits into what is left of the budget, or if :func:`most` that it can
take does; else field by field and entry by entry, until the budget is spent. Everything is counted, nothing is sampled:
the same report is always read in the same way. Real reports stay far below the budget, because they are long by what
the schema skips.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Final, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
import numpy as np

from cuckoo_ml_plugin.report.files.schema import (
    CALLS_LEFT,
    LONGEST_API,
    METER,
    BehaviorOutline,
    OverBudgetError,
    Process,
    ProcessOutline,
    ReportSections,
)

Json = bytes | bytearray | memoryview

DAMAGES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
MAX_ENTRIES: Final = 200_000  # that are read of a list or an object which does not fit into the budget as a whole
WORST: Final = 48  # bytes in memory for each byte of JSON: of nested objects and lists, the costliest that there is
_CEILING: Final = 2**30  # bytes of a report and of what it is decoded to
_FLOOR: Final = 32 * 2**20  # bytes that any report may be decoded to: below that there is nothing to bound
_SHARE: Final = (
    1.5  # of a report's size: with the report itself and what is made of both, it takes three times its size
)
_SHARE_OF_CALLS: Final = 2 / 3  # of the budget
_CALL: Final = 105  # bytes of a call with a name of its own and its place in the list
_ENTRY: Final = 100  # bytes of an object's entry without key and value, while the object grows
_OBJECT: Final = 232
_LIST: Final = 88
_SLOT: Final = 9  # of a list
_TEXT: Final = 64  # without its characters
_NUMBER: Final = 32
_BLOCK: Final = 2**16
_TINY: Final = 2**12  # bytes of a value whose size is added up
_LARGE: Final = 2**14  # bytes of a section for which counting is better than the worst case
_DEEPEST: Final = 12  # levels that are decoded one by one; the schema has fewer
_MAX_DIGITS: Final = 300  # of an integer; no sandbox writes longer ones
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")
_BETWEEN: Final = frozenset(b" \t\r\n,:")
_UNUSUAL: Final = re.compile(rb"NaN|Infinity|\\u[dD]")
_PIECES: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
    rb'|(?P<quote>")|(?P<constant>NaN|-?Infinity)',
    re.DOTALL,
)


class Sections(dict[str, Any]):
    """The sections of a report. ``unread``: those of which something is left out, because it takes too much memory."""

    unread: tuple[str, ...] = ()
    budget: int = 0  # bytes


def budget_of(size: int) -> int:
    """How many bytes a report of a size may be decoded to."""
    return max(_FLOOR, min(int(_SHARE * size), _CEILING - size))


def is_small(size: int) -> bool:
    """Whether a report of this size fits into its budget whatever it holds."""
    return size * WORST <= _FLOOR


# -- counting ----------------------------------------------------------------------------------------------------------


def most(raw: Json, enough: int = 0) -> int:
    """At most how many bytes of memory a JSON value takes when all of it is decoded.

    ``enough``: bytes below which the figure need not be exact.
    Characters that stand within texts are counted as if they had a meaning, which only makes it more.
    """
    values = np.frombuffer(raw, dtype=np.uint8)
    total, before = 0, 0
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        is_quote = block == 0x22
        may_end_key = is_quote | (block <= 0x20)  # a colon after anything else stands within a text
        keys = np.count_nonzero((block[1:] == 0x3A) & may_end_key[:-1]) + (block[0] == 0x3A and before <= 0x22)
        lists = np.count_nonzero(block == 0x5B)
        commas = np.count_nonzero(block == 0x2C)
        total += int(np.count_nonzero(block == 0x7B)) * _OBJECT + int(keys) * (_ENTRY + _NUMBER)
        total += int(lists) * (_LIST + _NUMBER) + int(commas) * (_SLOT + _NUMBER)
        total += int(np.count_nonzero(is_quote)) * (_TEXT // 2)
        before = int(block[-1])
    bound = total + _TEXT + 4 * len(values)
    return bound if bound <= enough else bound - (4 - width(raw)) * len(values)


def roughly(raw: Json) -> int:
    """The same as :func:`most`, higher and in a third of the time: as if all were entries of objects."""
    values = np.frombuffer(raw, dtype=np.uint8)
    opened = commas = 0
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        commas += int(np.count_nonzero(block == 0x2C))
        opened += int(np.count_nonzero((block | 0x20) == 0x7B))
    entry = _ENTRY + 2 * _TEXT
    return commas * entry + opened * (_OBJECT + entry) + 4 * len(values) + _TEXT


def width(raw: Json) -> int:
    """At most how many bytes a character takes in the texts of a value: one wide character widens all of its text."""
    widest = 1
    values = np.frombuffer(raw, dtype=np.uint8)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK + 2]
        if ((block[:-1] == 0x5C) & (block[1:] == 0x75)).any():
            widest = 2
            escapes = block.tobytes()
            if b"\\ud" in escapes or b"\\uD" in escapes:
                return 4
        largest = int(block.max())
        if largest >= 0xF0:
            return 4
        if largest >= 0x80:
            widest = 2
    return widest


def size_of(value: Any) -> int:
    """The bytes that a decoded value takes."""
    total, waiting = 0, [value]
    while waiting:
        current = waiting.pop()
        if current is None or current == "" or (type(current) is int and -6 < current < 257):
            continue  # shared ones
        total += sys.getsizeof(current)
        if type(current) is dict:
            waiting.extend(current.values())
            total += len(current) * _TEXT
        elif type(current) is list:
            waiting.extend(current)
        elif isinstance(current, msgspec.Struct):
            waiting.extend(getattr(current, name) for name in current.__struct_fields__)
    return total


# -- decoding ----------------------------------------------------------------------------------------------------------


def decode_bounded(data: Json, budget: int) -> Sections | None:
    """The sections of a report that is not small; None for what is no JSON object that msgspec decodes."""
    decoder = _BoundedDecoder(budget)
    parts = _outline(data, budget, _CALL + 3 * LONGEST_API)  # with room for a wide character in each name
    if parts is None and not isinstance(data, memoryview) and width(data) == 1:
        parts = _outline(data, budget, _CALL)
    outline: BehaviorOutline | None = None
    if parts is not None:
        outline = parts.pop("behavior", None)
        decoder.left = parts.pop("left")
    else:
        try:
            parts = raw_fields(tuple(_SECTIONS)).decode(data)
        except DAMAGES:
            return None
    sections = Sections()
    for name in sorted(parts, key=lambda name: _length(parts[name])):  # a section too large leaves the smaller ones
        sections[name] = decoder.section(name, parts[name], _SECTIONS[name])
    if outline is not None:
        sections["behavior"] = decoder.behavior(outline)
    sections.unread, sections.budget = tuple(decoder.unread), budget
    return sections


def _outline(data: Json, budget: int, call: int) -> dict[str, Any] | None:
    """The sections as they stand in the JSON, but the calls decoded; None if these do not fit or are no calls.

    ``call``: at most how many bytes a call takes.
    """
    with _LOCK:
        METER.left = budget
        CALLS_LEFT[:] = [None] * int(_SHARE_OF_CALLS * budget / call)
        try:
            parts: dict[str, Any] = _outline_decoder().decode(data)
        except (OverBudgetError, IndexError, *DAMAGES):
            return None
        finally:
            CALLS_LEFT.clear()
        parts["left"] = METER.left
        return parts


def decode_again(data: Json, sections: Sections, name: str, hint: Any) -> Sections:
    """The sections with one of them decoded again by another type, within what is left of the budget."""
    raw = raw_fields((name,)).decode(data)[name]
    decoder = _BoundedDecoder(max(sections.budget - size_of(dict(sections)), 0))
    again = Sections({**sections, name: decoder.section(name, raw, hint)})
    again.unread, again.budget = tuple(dict.fromkeys((*sections.unread, *decoder.unread))), sections.budget
    return again


class _BoundedDecoder:
    """Decodes the parts of one report, and keeps count of the memory that they take.

    ``unread``: the sections of which something was left out because the budget was spent.
    """

    def __init__(self, budget: int) -> None:
        self.left = budget
        self.unread: list[str] = []
        self._charged: list[tuple[Any, int]] = []  # values for which a bound was charged, which spares the adding up

    def section(self, name: str, raw: Json | msgspec.Raw, hint: Any) -> Any:
        """A section by its type, else as any JSON, else None, as if it were missing."""
        value, is_whole = self._value(memoryview(raw), hint, 0)
        if not is_whole and name not in self.unread:
            self.unread.append(name)
        return value

    def behavior(self, outline: BehaviorOutline) -> dict[str, Any]:
        """The section ``behavior``, of which the calls are decoded already."""
        behavior: dict[str, Any] = {}
        for name, part in sorted(outline.items(), key=lambda item: _length(item[1])):
            if isinstance(part, list):
                behavior[name] = [self._process(process) for process in part]
            elif part is not None:
                behavior[name] = self.section("behavior", part, _BEHAVIOR[name])  # type: ignore[arg-type]
        return behavior

    def _process(self, outline: ProcessOutline) -> dict[str, Any]:
        process: dict[str, Any] = {}
        for name, hint in _PROCESS.items():
            part = getattr(outline, name)
            if part is not msgspec.UNSET:
                process[name] = part if name == "calls" else self.section("behavior", part, hint)
        return process

    def _value(self, raw: memoryview, hint: Any, level: int) -> tuple[Any, bool]:
        """The value, and whether nothing was left out of it."""
        bound = len(raw) * WORST
        if level == 0 and len(raw) > _LARGE:
            bound = min(bound, roughly(raw))
        if bound > (self.left if level else self.left // 3):
            bound = min(bound, most(raw, self.left))
        if bound > self.left:
            self._settle()
        if bound <= self.left:
            value, is_read = self._whole(raw, hint, bound)
            if is_read:
                self._charge(value, bound, level)
                return value, True
        start = bytes(raw[:1])
        try:
            if level < _DEEPEST and start == b"{":
                fields = _fields(hint)
                return self._object(raw, fields, level) if fields else self._members(raw, _member(hint), level)
            if level < _DEEPEST and start == b"[":
                return self._list(raw, _entry(hint), level)
        except DAMAGES:
            return None, True
        return None, False

    def _charge(self, value: Any, bound: int, level: int) -> None:
        """Take from the budget what a value takes: of an entry its size, of a section a bound for now."""
        if level == 0:
            self._charged.append((value, bound))
            self.left -= bound
        else:
            self.left -= size_of(value)

    def _settle(self) -> None:
        """Give back what the bounds that were charged exceed the sizes of the values by."""
        for value, bound in self._charged:
            self.left += bound - size_of(value)
        self._charged = []

    def _whole(self, raw: memoryview, hint: Any, bound: int) -> tuple[Any, bool]:
        """The value, and whether it is read: what only the standard library decodes needs room for copies."""
        for decoder in (_decoder(hint), _decoder(Any)):
            try:
                return decoder.decode(raw), True
            except DAMAGES:
                continue
        if bound + 6 * len(raw) > self.left:
            return None, False
        try:
            return load_tolerantly(bytes(raw)), True
        except (ValueError, RecursionError):
            return None, True

    def _object(self, raw: memoryview, fields: Mapping[str, Any], level: int) -> tuple[Any, bool]:
        """The fields that the schema knows, the smallest first."""
        value, is_whole = {}, True
        parts = raw_fields(tuple(fields)).decode(raw)
        self.left -= _OBJECT
        for name, part in sorted(parts.items(), key=lambda item: _length(item[1])):
            value[name], part_is_whole = self._value(memoryview(part), fields[name], level + 1)
            is_whole = is_whole and part_is_whole
        return value, is_whole

    def _members(self, raw: memoryview, hint: Any, level: int) -> tuple[Any, bool]:
        """The entries of an object with any keys, in order, until one does not fit as a whole."""
        value: dict[str, Any] = {}
        entries = _entries(raw)
        for key, part in zip(entries, entries, strict=False):
            self.left -= _ENTRY + len(key) * 4 + _TEXT
            if self.left < 0 or len(value) == MAX_ENTRIES:
                return value, False
            name, _ = self._whole(key, str, 0)
            member, is_whole = self._value(part, hint, level + 1)
            if isinstance(name, str):
                value[name] = member
            if not is_whole:
                return value, False
        return value, True

    def _list(self, raw: memoryview, hint: Any, level: int) -> tuple[Any, bool]:
        """The entries in order, until one does not fit as a whole."""
        values: list[Any] = []
        for part in _entries(raw):
            self.left -= _SLOT
            if self.left < 0 or len(values) == MAX_ENTRIES:
                return values, False
            value, is_whole = self._value(part, hint, level + 1)
            if value is not None or is_whole:
                values.append(value)
            if not is_whole:
                return values, False
        return values, True


def _length(part: Any) -> int:
    """The length of a part as it stands in the JSON; 0 if it is decoded already."""
    return len(memoryview(part)) if isinstance(part, msgspec.Raw) else 0


def end_of_value(view: memoryview) -> int | None:
    """Where the JSON value at the beginning ends; None if that is not to be found out."""
    try:
        _RAW.decode(view)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError as error:
        trailing = _TRAILING.search(str(error))
        return int(trailing[1]) - 1 if trailing and int(trailing[1]) > 1 else None
    except DAMAGES:
        return None
    return len(view)


def _entries(raw: memoryview) -> Iterator[memoryview]:
    """The entries of a list, or the keys and values of an object, one after the other."""
    start, stop = 1, len(raw) - 1
    while start < stop:
        while start < stop and raw[start] in _BETWEEN:
            start += 1
        if start >= stop:
            return
        length = end_of_value(raw[start:stop])
        if length is None:
            return
        yield raw[start : start + length]
        start += length


# -- JSON that msgspec refuses -----------------------------------------------------------------------------------------


def load_tolerantly(data: bytes) -> Any:
    """JSON with NaN, lone surrogates or broken UTF-8. Raises ValueError or RecursionError for anything else."""
    return json.loads(data.decode("utf-8-sig", "replace"), parse_constant=lambda _: None, parse_int=_integer)


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def repaired(data: Json) -> bytearray | None:
    """JSON without NaN and lone surrogates, for a report that is too large for the standard library.

    None if it has neither, so that nothing is to be repaired.
    """
    if _UNUSUAL.search(data) is None:
        return None
    fixed = bytearray()
    view = memoryview(data)
    done, in_text = 0, False
    for piece in _PIECES.finditer(data):
        if piece.lastgroup == "quote":
            in_text = not in_text
        elif piece.lastgroup == "lone":
            fixed += view[done : piece.start()]
            fixed += b"\\ufffd"
            done = piece.end()
        elif piece.lastgroup == "constant" and not in_text:
            fixed += view[done : piece.start()]
            fixed += b"null"
            done = piece.end()
    fixed += view[done:]
    return fixed


# -- types -------------------------------------------------------------------------------------------------------------


@cache
def _decoder(hint: Any) -> Any:
    return msgspec.json.Decoder(hint)


@cache
def raw_fields(names: tuple[str, ...]) -> Any:
    """A decoder for the fields of an object, each as it stands in the JSON, without any other key."""
    return msgspec.json.Decoder(TypedDict("Fields", dict.fromkeys(names, msgspec.Raw), total=False))  # type: ignore[operator]


@cache
def _outline_decoder() -> Any:
    """A decoder for a report of which only the calls are decoded, and the rest is kept as it stands."""
    fields: dict[str, Any] = dict.fromkeys(_SECTIONS, msgspec.Raw)
    fields["behavior"] = BehaviorOutline | None
    return msgspec.json.Decoder(TypedDict("Outline", fields, total=False))  # type: ignore[operator]


@cache
def _fields(hint: Any) -> Mapping[str, Any]:
    """The fields of an object type; empty if the hint has none."""
    for option in _options(hint):
        if is_typeddict(option) or (isinstance(option, type) and issubclass(option, msgspec.Struct)):
            return get_type_hints(option)
    return {}


@cache
def _member(hint: Any) -> Any:
    """The type of the values of an object with any keys."""
    return next((get_args(option)[1] for option in _options(hint) if get_origin(option) is dict), Any)


@cache
def _entry(hint: Any) -> Any:
    """The type of a list's entries."""
    return next((get_args(option)[0] for option in _options(hint) if get_origin(option) is list), Any)


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


_LOCK: Final = threading.Lock()
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_SECTIONS: Final[Mapping[str, Any]] = get_type_hints(ReportSections)
_PROCESS: Final = get_type_hints(Process)
_BEHAVIOR: Final = _fields(_SECTIONS["behavior"])
