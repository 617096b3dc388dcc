"""What an analysis did, as tokens and counts: one extraction for both hosts and both ways in.

A token is ``kind:value``, such as ``file_written:%temp%\\\\a.exe`` or ``api:NtCreateFile``. The kinds are shared by the
hosts wherever they mean the same, so that a Cuckoo run and a CAPE run of one sample look alike. ``docs/features.md``
lists them, with the features of CuckooML that they cover.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour_counts import count_features
from cuckoo_ml_plugin.behaviour_dynamic import add_calls, add_operations, add_processes, own_names
from cuckoo_ml_plugin.behaviour_network import add_network
from cuckoo_ml_plugin.behaviour_static import add_dropped, add_signatures, add_static, add_strings
from cuckoo_ml_plugin.found import Found, presentable, smallest_by_hash, sorted_tokens, tokens_if_presentable
from cuckoo_ml_plugin.normalise import Normaliser
from cuckoo_ml_plugin.report import Report
from cuckoo_ml_plugin.threat.reported import ThreatScore

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
MAX_TOKENS: Final = 20_000  # of an analysis; the counts keep the true numbers

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


def extract(report: Report) -> Behaviour:
    """The behaviour of one analysis. Never raises, whatever is in the report; the same report gives the same tokens."""
    found = Found()
    names = Normaliser(*own_names(report))
    add_static(report, found)
    add_calls(report, found)
    add_operations(report, names, found)
    add_processes(report, names, found)
    add_network(report, found)
    add_dropped(report, names, found)
    add_signatures(report, found)
    add_strings(report, found)
    for values in found.values():
        values.pop("", None)
    tokens = tokens_if_presentable(_bounded(found))
    if tokens is None:
        tokens = sorted_tokens(_bounded({kind: presentable(values) for kind, values in found.items()}))
    return Behaviour(tokens, count_features(report, found), report.threat_scores)


def _bounded(values: Mapping[str, Collection[str]]) -> Mapping[str, Collection[str]]:
    """At most ``MAX_TOKENS`` values: the largest kinds give way, and keep those whose hashes are the smallest.

    Two analyses that share values therefore tend to keep the same ones.
    """
    if sum(map(len, values.values())) <= MAX_TOKENS:
        return values
    share, left = 0, MAX_TOKENS
    sizes = sorted(map(len, values.values()))
    for position, size in enumerate(sizes):
        share = left // (len(sizes) - position)
        if size > share:
            break
        left -= size
    return {kind: smallest_by_hash(kept, share) for kind, kept in values.items()}
