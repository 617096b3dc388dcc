"""The behash: 128 bytes of a behaviour, from which the likeness of two analyses is estimated without either report.

A behash holds, for each aspect, the number of tokens and a sketch of them: one-bit MinHashes (Broder 1997; Li and
Koenig, "b-Bit Minwise Hashing", WWW 2010). Of two sketches of B bits, the share of equal bits is (1 + J) / 2 on
average, where J is the Jaccard index of the sets. docs/behash.md is the public specification: a change here is a new
version there.

A :class:`BehashTable` finds the most alike among a million behashes in tens of milliseconds on one core. It excludes
most of them by their sizes alone, since J is at most the smaller size divided by the larger.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.kinds import ASPECTS
from cuckoo_ml_plugin.behaviour.likeness import ranges_by_kind
from cuckoo_ml_plugin.plumbing.hashes import behaviour_digest, token_hashes

VERSION: Final = 1
BYTES: Final = 128
SKETCH_BITS: Final = (128, 128, 128, 128, 128, 128, 64, 64)
"""Bits of the sketch of each aspect. Signatures are few, and few analyses have a dump."""

_CODES: Final = slice(1, 9)
_DIGEST: Final = slice(9, 16)
_STARTS: Final = (16, 32, 48, 64, 80, 96, 112, 120)  # where each aspect's sketch begins
_SEED: Final = int.from_bytes(b"behash 1", "big")
_FACTORS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93))
_TOKENS_AT_ONCE: Final = 128  # so that what is computed of them stays in the processor's cache

_SIZES: Final = np.concatenate([[0], np.exp2(np.arange(255) / 8)]).astype(np.float32)
"""(256,) the number of tokens that each size code stands for."""
_BLOCK: Final = 16_384  # behashes that are looked through at once, so that they stay in the processor's cache
_FIRST: Final = 512  # behashes of the first block that are estimated to learn how alike the nearest are
_WORTH_TAKING: Final = 0.7  # of a block; of more than that, estimating the whole block is quicker than choosing


def _seeds() -> NDArray[np.uint64]:
    """(128,) a seed for each hash function: SplitMix64 (Steele et al., OOPSLA 2014)."""
    state, mask, seeds = _SEED, 2**64 - 1, []
    for _ in range(max(SKETCH_BITS)):
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        seeds.append(mixed ^ (mixed >> 31))
    return np.array(seeds, np.uint64)


_SEEDS: Final = _seeds()


def behash(joined: bytes) -> bytes | None:
    """The behash of a behaviour, from its :func:`~cuckoo_ml_plugin.plumbing.hashes.joined_tokens`.

    None where nothing is known: no token has an aspect.
    """
    tokens = joined.split(b"\n") if joined else []
    ranges = ranges_by_kind(tokens)
    if not ranges:
        return None
    hashes = token_hashes(tokens)
    made = np.zeros(BYTES, np.uint8)
    made[0] = VERSION
    made[_DIGEST] = np.frombuffer(bytes.fromhex(behaviour_digest(joined)), np.uint8)[: _DIGEST.stop - _DIGEST.start]
    for number, (start, bits) in enumerate(zip(_STARTS, SKETCH_BITS, strict=True)):
        parts = [hashes[first:last] for first, last, aspect in ranges if aspect == number]
        if parts:
            of_aspect = np.concatenate(parts)
            made[_CODES][number] = min(255, round(8 * float(np.log2(len(of_aspect)))) + 1)
            made[start : start + bits // 8] = np.packbits(_sketch(of_aspect, bits), bitorder="little")
    return made.tobytes()


def _sketch(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.uint8]:
    """(bits,) the lowest bit of the least value that each hash function gives to any of the tokens (t,)."""
    seeds, least = _SEEDS[:bits], np.full(bits, 2**64 - 1, np.uint64)
    values = np.empty((min(_TOKENS_AT_ONCE, len(hashes)), bits), np.uint64)
    high = np.empty_like(values)
    for start in range(0, len(hashes), _TOKENS_AT_ONCE):
        part = hashes[start : start + _TOKENS_AT_ONCE, None]
        value, shifted = values[: len(part)], high[: len(part)]
        np.bitwise_xor(part, seeds, out=value)
        value *= _FACTORS[0]
        np.right_shift(value, np.uint64(32), out=shifted)
        value ^= shifted
        value *= _FACTORS[1]
        np.minimum(least, value.min(axis=0), out=least)
    return (least & np.uint64(1)).astype(np.uint8)


def as_text(made: bytes) -> str:
    """A behash as the section has it: the version, a colon, and the bytes as base64url (RFC 4648) without padding."""
    return f"{made[0]}:{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


class BehashTable:
    """Many behashes in memory, by column: size codes, sketches, digests. A column is read in one go."""

    def __init__(self) -> None:
        self._count = 0
        self._pairs = np.zeros((len(ASPECTS) // 2, 0), np.uint16)  # the size codes of two aspects each
        self._words = np.zeros(((BYTES - _STARTS[0]) // 8, 0), np.uint64)  # of the sketches
        self._digests = np.zeros((1, 0), np.uint64)

    def __len__(self) -> int:
        return self._count

    def append(self, behashes: Sequence[bytes]) -> None:
        """Add behashes at the end."""
        rows = np.frombuffer(b"".join(behashes), np.uint8).reshape(-1, BYTES)
        codes = rows[:, _CODES].astype(np.uint16)
        self._pairs = self._grown(self._pairs, (codes[:, ::2] + (codes[:, 1::2] << 8)).T)
        self._words = self._grown(self._words, np.ascontiguousarray(rows[:, _STARTS[0] :]).view(np.uint64).T)
        self._digests = self._grown(self._digests, np.ascontiguousarray(rows[:, 8:16]).view(">u8").T)
        self._count += len(rows)

    def remove(self, rows: Sequence[int]) -> None:
        """Empty some rows, so that they are like nothing."""
        self._pairs[:, rows] = 0

    def _grown(self, column: NDArray[Any], more: NDArray[Any]) -> NDArray[Any]:
        needed = self._count + more.shape[1]
        if needed > column.shape[1]:  # by a quarter, so that few additions copy
            larger = np.zeros((len(column), needed + needed // 4), column.dtype)
            larger[:, : self._count] = column[:, : self._count]
            column = larger
        column[:, self._count : needed] = more
        return column

    def estimates(self, one: bytes) -> NDArray[np.float32]:
        """The estimated likeness, in [0, 1], of a behash with each of the n in the table; shape (n,)."""
        return _Query(one).estimates(self._pairs[:, : self._count], self._words[:, : self._count])

    def nearest(self, one: bytes, k: int, first: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows and estimated likeness, both (at most k,), of the k behashes most alike, most alike first.

        Ties are broken by content. Those with nothing in common are left out.

        Args:
            first: the row from which on to search.
        """
        rows, likely = np.zeros(0, np.int64), np.zeros(0, np.float32)
        if first >= self._count:
            return rows, likely
        query, least = _Query(one), np.float32(0)
        for start in range(first, self._count, _BLOCK):
            end = min(start + _BLOCK, self._count)
            pairs, words = self._pairs[:, start:end], self._words[:, start:end]
            promising = np.arange(end - start)
            if end - start > _FIRST:  # of fewer, the bounds take longer than the estimates
                highest = query.bounds(pairs)
                if start == first:
                    best = np.argpartition(-highest, _FIRST)[:_FIRST]
                    least = _kth(query.estimates(pairs.take(best, axis=1), words.take(best, axis=1)), k)
                promising = np.flatnonzero(highest >= least)
            if len(promising) < _WORTH_TAKING * (end - start):
                found = query.estimates(pairs.take(promising, axis=1), words.take(promising, axis=1))
            else:
                promising, found = np.arange(end - start), query.estimates(pairs, words)
            kept = np.flatnonzero((found >= least) & (found > 0))
            rows, likely = np.concatenate([rows, promising[kept] + start]), np.concatenate([likely, found[kept]])
            if len(rows) > k:
                least = _kth(likely, k)
                rows, likely = rows[likely >= least], likely[likely >= least]
        order = np.lexsort((self._digests[0, rows], -likely))[:k]
        return rows[order], likely[order]


def _kth(values: NDArray[np.float32], k: int) -> np.float32:
    """The k-th largest value, 0 where there are fewer."""
    return np.float32(np.partition(values, len(values) - k)[len(values) - k]) if len(values) >= k else np.float32(0)


class _Query:
    """One behash, prepared to be compared with many by looking up what each size and each number of bits adds.

    The estimate and its upper bound are sums over aspects, divided by each other. A complex number holds both: the
    shared part as its real, the whole as its imaginary part.
    """

    def __init__(self, one: bytes) -> None:
        self._sketch = np.frombuffer(one, np.uint64)[_STARTS[0] // 8 :]
        self._codes = one[_CODES]
        self._parts = [_parts(code, bits) for code, bits in zip(self._codes, SKETCH_BITS, strict=True)]

    @cached_property
    def _bounds(self) -> list[NDArray[np.complex64]]:
        """For each two aspects, by the size codes of both."""
        bounds = [_within(code)[1] for code in self._codes]
        return [(high[:, None] + low).ravel() for low, high in zip(bounds[::2], bounds[1::2], strict=True)]

    def bounds(self, pairs: NDArray[np.uint16]) -> NDArray[np.float32]:
        """(n,) how alike each can be at most, by its size codes (4, n) alone."""
        sums = self._bounds[0].take(pairs[0])
        for bounds, codes in zip(self._bounds[1:], pairs[1:], strict=True):
            sums += bounds.take(codes)
        return _quotients(sums) * np.float32(1 + 1e-5)  # a hair more, because an estimate is rounded otherwise

    def estimates(self, pairs: NDArray[np.uint16], words: NDArray[np.uint64]) -> NDArray[np.float32]:
        """(n,) how alike each is, estimated by its size codes (4, n) and its sketches (14, n)."""
        sums = np.zeros(pairs.shape[1], np.complex64)
        word = 0
        for number, (parts, bits) in enumerate(zip(self._parts, SKETCH_BITS, strict=True)):
            codes = pairs[number // 2]
            places = codes >> np.uint16(8) if number % 2 else codes & np.uint16(255)
            if len(parts) > len(_SIZES):
                places *= np.uint16(bits + 1)
                for i in range(word, word + bits // 64):
                    places += _set_bits(words[i] ^ self._sketch[i])
            word += bits // 64
            sums += parts.take(places)
        return _quotients(sums)


@lru_cache(maxsize=32)  # 8 MB: sizes repeat, as those of most behaviours are near each other
def _parts(code: int, bits: int) -> NDArray[np.complex64]:
    """What an aspect of this size adds, by the other's size and the number of unequal bits."""
    ratios, bounds = _within(code)
    if not code:
        return bounds
    unequal = np.arange(bits + 1, dtype=np.float32)
    jaccard = np.minimum(np.maximum(1 - unequal * np.float32(2 / bits), 0), ratios[:, None])
    weights = np.sqrt((_SIZES[code] + _SIZES)[:, None] / (1 + jaccard))
    return _shared_and_whole(jaccard, weights).ravel()


def _within(code: int) -> tuple[NDArray[np.float32], NDArray[np.complex64]]:
    """The likeness of a set of this size and one of each size where one lies in the other, and what it adds."""
    own = _SIZES[code]
    larger = np.maximum(own, _SIZES)
    ratios = np.divide(np.minimum(own, _SIZES), larger, out=np.zeros_like(larger), where=larger > 0)
    return ratios, _shared_and_whole(ratios, np.sqrt(larger))


def _shared_and_whole(jaccard: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.complex64]:
    both = np.empty(jaccard.shape, np.complex64)
    both.real, both.imag = jaccard * weights, weights
    return both


def _quotients(sums: NDArray[np.complex64]) -> NDArray[np.float32]:
    return np.asarray(sums.real / np.maximum(sums.imag, np.float32(1e-6)))


def _bits_by_table(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many bits of each word (n,) are set, for NumPy before 2.0."""
    return np.asarray(_BITS_OF_16.take(words.view(np.uint16).reshape(-1, 4)).sum(axis=1, dtype=np.uint8))


_BITS_OF_16: Final[NDArray[np.uint8]] = (
    np.unpackbits(np.arange(65_536, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(axis=1, dtype=np.uint8)
)
_set_bits: Final[Callable[[NDArray[np.uint64]], NDArray[np.uint8]]] = getattr(np, "bitwise_count", _bits_by_table)
