"""To be described."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuckoo_ml_plugin.report.threat_scores import ThreatScore

# Append only: a model keeps a kind as its index in here.
KINDS: Final[tuple[str, ...]] = (
    # static
    "file_type", "file_size", "compiled", "import_dll", "import", "section", "resource", "language", "version",
    "signer", "packer", "pdb", "imphash",
    # dynamic
    "api", "ngram", "file_opened", "file_read", "file_written", "file_created", "file_deleted", "file_moved",
    "file_copied", "file_exists", "file_failed", "dir_created", "dir_enumerated", "dir_removed", "reg_opened",
    "reg_read", "reg_written", "reg_deleted", "mutex", "process", "command", "service_created", "service_started",
    "library", "resolved_api", "com_class", "wmi",
    # network
    "host", "domain", "port", "http", "user_agent", "tls", "ja3",
    # what it left behind, and what the host and the file's bytes say
    "dropped_type", "dropped_extension", "dropped_name", "signature", "string",
)  # fmt: skip


STATIC_KINDS: Final = frozenset(KINDS[: KINDS.index("api")])


NETWORK_KINDS: Final = frozenset(KINDS[KINDS.index("host") : KINDS.index("dropped_type")])


DYNAMIC_KINDS: Final = frozenset(KINDS[KINDS.index("api") : KINDS.index("host")]) | {
    "dropped_type",
    "dropped_extension",
    "dropped_name",
}


EXTRACTION: Final = 2
"""Version of the extraction, raised when the same report gives other tokens or counts: imports then read it again."""


_KIND_INDEX: Final = {kind: index for index, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The tokens of an analysis, sorted and unique, and its counts: flat, finite numbers by name.

    ``scores`` are no behaviour: what threat exchanges said of its indicators. No token is made of them.
    """

    tokens: Sequence[str]
    counts: dict[str, int | float]
    scores: Sequence[ThreatScore] = ()

    def hashes(self) -> NDArray[np.uint64]:
        """The XXH3 64-bit hash of each token's UTF-8, shape ``(len(tokens),)``, in the order of ``tokens``."""
        if not self.tokens:
            return np.zeros(0, dtype=np.uint64)
        encoded = "\n".join(self.tokens).encode().split(b"\n")
        return np.fromiter(map(xxhash.xxh3_64_intdigest, encoded), dtype=np.uint64, count=len(encoded))

    def kind_ids(self) -> NDArray[np.uint8]:
        """The index in :data:`KINDS` of each token's kind, shape ``(len(tokens),)``."""
        kinds = np.zeros(len(self.tokens), dtype=np.uint8)
        start = 0
        while start < len(self.tokens):  # tokens are sorted: those of a kind stand together
            kind = kind_of(self.tokens[start])
            end = bisect_left(self.tokens, f"{kind};", start)  # the character that follows the colon
            kinds[start:end] = _KIND_INDEX[kind]
            start = end
        return kinds

    @property
    def has_behaviour(self) -> bool:
        """Whether anything was seen of the sample when it ran, and not only of its file."""
        return any(kind_of(token) in DYNAMIC_KINDS or kind_of(token) in NETWORK_KINDS for token in self.tokens)


def kind_of(token: str) -> str:
    """``file_read`` of ``file_read:%temp%\\\\a.txt``."""
    return token.partition(":")[0]


def value_of(token: str) -> str:
    """``%temp%\\\\a.txt`` of ``file_read:%temp%\\\\a.txt``."""
    return token.partition(":")[2]
