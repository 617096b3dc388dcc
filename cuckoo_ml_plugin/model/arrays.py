"""The base of each part of a model: how its arrays are named, checked and read.

A part annotates each of its arrays with a shape. Letters in shapes stand for lengths, which must agree within the
part::

    @dataclass(frozen=True, slots=True)
    class TokenRows(ModelPart):
        starts: Annotated[NDArray[np.int64], Shape("n + 1", delimits="t")]
        columns: Annotated[NDArray[np.int32], Shape("t")]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

Part = TypeVar("Part", bound="ModelPart")


class Shape:
    """The shape of an array.

    Args:
        lengths: of each dimension: a number, a letter, or a letter and what is added to it (``"n + 1"``).
        delimits: the letter of the length that the array's last entry must equal: the array holds the positions at
            which the stretches of another array begin and end.
        since: the version that introduced the array; in a model from before, it is read as empty.
    """

    def __init__(self, *lengths: str | int, delimits: str = "", since: str = "") -> None:
        self.lengths = lengths
        self.delimits = delimits
        self.since = since


class Prefix:
    """Marks a field that is a part itself: its arrays' names have this prefix, its lengths are the outer part's."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix


@dataclass(frozen=True, slots=True)
class ModelPart:
    """A part of a model; subclasses annotate their fields with :class:`Shape` and :class:`Prefix`."""

    @classmethod
    def from_arrays(cls: type[Part], arrays: Mapping[str, NDArray[Any]], **others: Any) -> Part:
        """The part that :meth:`arrays` was called on. Memory-mapped arrays stay mapped.

        Args:
            others: the fields that are no arrays.

        Raises:
            ValueError: an array is missing, is of another type, or does not have the declared shape.
        """
        return cls(**_read(cls, arrays, {}), **others)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, as :meth:`from_arrays` takes them."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, _, mark in _marked_fields(type(self)):
            value = getattr(self, name)
            if isinstance(mark, Prefix):
                arrays |= {f"{mark.prefix}{key}": array for key, array in value.arrays().items()}
            else:
                arrays[name] = value
        return arrays


def _marked_fields(part: type[ModelPart]) -> list[tuple[str, Any, Shape | Prefix]]:
    """Name, type and mark of each field that is an array or a part."""
    hints = get_type_hints(part, include_extras=True)
    annotated = ((field.name, get_args(hints[field.name])) for field in fields(part))
    return [
        (name, arguments[0], arguments[1])
        for name, arguments in annotated
        if len(arguments) == 2 and isinstance(arguments[1], (Shape, Prefix))
    ]


def _read(part: type[ModelPart], arrays: Mapping[str, NDArray[Any]], lengths: dict[str, int]) -> dict[str, Any]:
    """The fields of a part that are arrays or parts; ``lengths`` holds each letter met so far. Raises ValueError."""
    values: dict[str, Any] = {}
    for name, kind, mark in _marked_fields(part):
        if isinstance(mark, Prefix):
            prefix = mark.prefix
            inner = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
            values[name] = kind(**_read(kind, inner, lengths))
            continue
        dtype = _element_type(kind)
        array = arrays.get(name)
        if array is None and mark.since:
            array = np.zeros([0] * len(mark.lengths), dtype)
        detail = _mismatch(array, dtype, mark, lengths)
        if detail:
            raise ValueError(f"the arrays of {part.__name__} do not belong together: {name} {detail}")
        values[name] = array
    for name, _, mark in _marked_fields(part):
        if not isinstance(mark, Shape) or not mark.delimits:
            continue
        places = values[name]
        if places[-1:].tolist() != [lengths[mark.delimits]]:
            raise ValueError(
                f"the arrays of {part.__name__} do not belong together: {name} does not end at {lengths[mark.delimits]}"
            )
        if places[0] < 0 or np.any(places[1:] < places[:-1]):
            raise ValueError(f"the arrays of {part.__name__} do not belong together: {name} does not ascend")
    return values


def _element_type(kind: Any) -> np.dtype[Any]:
    """Of ``NDArray[T]``: T itself is its argument from NumPy 2.5 on, and ``ndarray``'s shape and dtype were before."""
    last = get_args(kind)[-1]
    element: np.dtype[Any] = np.dtype(next(iter(get_args(last)), last))
    return element


def _mismatch(array: NDArray[Any] | None, dtype: np.dtype[Any], shape: Shape, lengths: dict[str, int]) -> str:
    """What is wrong with an array, "" for nothing; lengths that are met for the first time are noted."""
    if array is None:
        return "is missing"
    if array.size and array.dtype.kind != dtype.kind:
        return f"holds {array.dtype} instead of {dtype}"
    if array.ndim != len(shape.lengths):
        return f"has {array.ndim} dimensions instead of {len(shape.lengths)}"
    for length, expected in zip(array.shape, _expected(array, shape, lengths), strict=True):
        if length != expected:
            return f"has the length {length} instead of {expected}"
    return ""


def _expected(array: NDArray[Any], shape: Shape, lengths: dict[str, int]) -> Iterator[int]:
    for length, declared in zip(array.shape, shape.lengths, strict=True):
        if isinstance(declared, int):
            yield declared
        else:
            letter, _, added = declared.partition(" + ")
            yield lengths.setdefault(letter, length - int(added or 0)) + int(added or 0)
