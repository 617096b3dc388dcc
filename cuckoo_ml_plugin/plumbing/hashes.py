"""Hashes that models and stores keep: of a token, of a text, and the digest of a whole behaviour.

A change here makes every model and store useless that was written before: tokens would no longer be found in a model,
and repeats of a behaviour no longer be recognised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
import xxhash
from numpy.typing import NDArray


def token_hash(token: str) -> int:
    """The hash by which a model knows a token: XXH3, 64 bits, of its UTF-8."""
    return xxhash.xxh3_64_intdigest(token.encode())


def token_hashes(encoded: Collection[bytes]) -> NDArray[np.uint64]:
    """The :func:`token_hash` of each token, given as UTF-8: shape ``(len(encoded),)``, in the same order."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, encoded), dtype=np.uint64, count=len(encoded))


def text_hash(text: str) -> int:
    """A stable 64-bit hash of any text, including one with lone surrogates."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def text_digest(text: str) -> str:
    """A hash of a text as 16 hexadecimal digits; lone surrogates count as question marks."""
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "replace"))


def joined_tokens(tokens: Sequence[str]) -> bytes:
    """The UTF-8 of a behaviour's tokens, sorted and unique, a line break between them: what is stored and digested.

    Line breaks inside a token split it, and empty tokens are left out.
    """
    text = "\n".join(tokens)
    try:
        joined = text.encode()
    except UnicodeEncodeError:
        joined = text.encode("utf-8", "replace")
    if _is_canonical(tokens, joined):
        return joined
    return b"\n".join(sorted({line for line in joined.split(b"\n") if line}))


def _is_canonical(tokens: Sequence[str], joined: bytes) -> bool:
    """Whether the joined tokens come back as they went in: no line breaks, none empty, ascending and unique."""
    if joined.count(b"\n") != max(len(tokens) - 1, 0) or "" in tokens:
        return False
    return all(token < following for token, following in pairwise(tokens))


def behaviour_digest(joined: bytes) -> str:
    """The digest of a behaviour from its :func:`joined_tokens`: equal exactly when all tokens are equal."""
    return hashlib.blake2b(joined, digest_size=16).hexdigest()
