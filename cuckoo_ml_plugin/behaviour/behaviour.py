"""The behaviour of one analysis: its tokens and counts. A token is a kind and a value."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.behash import behash
from cuckoo_ml_plugin.behaviour.kinds import ACTION_KINDS, CODES, SAY_NOTHING, SIGNATURE_KINDS
from cuckoo_ml_plugin.plumbing.hashes import behaviour_digest, joined_tokens, token_hashes
from cuckoo_ml_plugin.report.threat_scores import ThreatScore

BASELINE: Final = "task:baseline"
"""The token of an analysis in which no sample ran, so that it shows what the machine does by itself."""


@dataclass(frozen=True)
class Behaviour:
    """The tokens of an analysis, sorted and unique, and its counts: finite numbers by name.

    ``scores`` are what threat exchanges say about the analysis's indicators. They travel with the behaviour but are not
    part of it: no token is made from them. Neither is the ``remark``, which says what the report lacks, or why it shows
    no behaviour; it is empty where all is as usual.

    >>> from cuckoo_ml_plugin import Desk
    >>> behaviour = Desk("cuckoo-ml-demo").behaviour("1005")
    >>> behaviour.tokens[:2], behaviour.counts["api_calls"]
    (['api:CopyFileW', 'api:CreateDirectoryW'], 144)
    """

    tokens: Sequence[str]
    counts: dict[str, int | float]
    scores: Sequence[ThreatScore] = ()
    remark: str = ""

    def hashes(self) -> NDArray[np.uint64]:
        """The XXH3 64-bit hash of each token's UTF-8, shape ``(len(tokens),)``, in the order of ``tokens``."""
        if not self.tokens:
            return np.zeros(0, dtype=np.uint64)
        return token_hashes("\n".join(self.tokens).encode().split(b"\n"))

    def kind_ids(self) -> NDArray[np.uint8]:
        """The code of each token's kind as in :mod:`~cuckoo_ml_plugin.behaviour.kinds`, shape ``(len(tokens),)``."""
        codes = np.zeros(len(self.tokens), dtype=np.uint8)
        start = 0
        while start < len(self.tokens):  # tokens are sorted, so those of one kind are adjacent
            kind = kind_of(self.tokens[start])
            end = bisect_left(self.tokens, f"{kind};", start)  # ";" is the character after ":"
            codes[start:end] = CODES[kind]
            start = end
        return codes

    @cached_property
    def joined(self) -> bytes:
        """The tokens as they are stored, see :func:`~cuckoo_ml_plugin.plumbing.hashes.joined_tokens`."""
        return joined_tokens(self.tokens)

    @cached_property
    def digest(self) -> str:
        """The digest of the tokens: equal exactly when all tokens are equal."""
        return behaviour_digest(self.joined)

    @cached_property
    def behash(self) -> bytes | None:
        """The behash of the tokens, None where nothing is known."""
        return behash(self.joined)

    @property
    def has_behaviour(self) -> bool:
        """Whether anything is known of the sample by which it can be compared.

        That is what it did, a signature that matched, or facts of its file beyond type and size, which thousands of
        files share. Of a baseline nothing is known, because no sample ran.
        """
        return not self._is_baseline and any(kind_of(token) not in SAY_NOTHING for token in self.tokens)

    @property
    def is_static(self) -> bool:
        """Whether all that is known are facts of the file: the sample did nothing, and no signature matched."""
        return self.has_behaviour and not self._has_any(ACTION_KINDS | SIGNATURE_KINDS)

    @property
    def shows_actions(self) -> bool:
        """Whether the sample did anything when it ran."""
        return self._has_any(ACTION_KINDS)

    @property
    def _is_baseline(self) -> bool:
        return BASELINE in self.tokens

    def _has_any(self, kinds: frozenset[str]) -> bool:
        return any(kind_of(token) in kinds for token in self.tokens)


def kind_of(token: str) -> str:
    """The kind of a token: ``file_read`` for ``file_read:%temp%\\\\a.txt``."""
    return token.partition(":")[0]


def value_of(token: str) -> str:
    """The value of a token: ``%temp%\\\\a.txt`` for ``file_read:%temp%\\\\a.txt``."""
    return token.partition(":")[2]
