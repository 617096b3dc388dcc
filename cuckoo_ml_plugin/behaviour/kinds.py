"""Every kind of token: its name, its group, its aspect, and the code under which models and stores keep it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple


class Group(Enum):
    """What a kind of token is about."""

    STATIC = "static"  # the sample's file, as the host took it apart
    DYNAMIC = "dynamic"  # what the sample did when it ran, and the files that it left behind
    NETWORK = "network"  # what it sent and received
    SIGNATURES = "signatures"  # which of the host's signatures matched, and what these show
    STRINGS = "strings"  # text inside the sample's file


class TokenKind(NamedTuple):
    """One kind of token.

    Fitted models keep ``code`` instead of ``name``. A code therefore never changes and is never used again; a new kind
    gets the next free one, wherever its line stands in the table.
    """

    code: int
    name: str
    group: Group


TOKEN_KINDS: Final = (
    TokenKind(0, "file_type", Group.STATIC),
    TokenKind(1, "file_size", Group.STATIC),
    TokenKind(2, "compiled", Group.STATIC),
    TokenKind(3, "import_dll", Group.STATIC),
    TokenKind(4, "import", Group.STATIC),
    TokenKind(5, "section", Group.STATIC),
    TokenKind(6, "resource", Group.STATIC),
    TokenKind(7, "language", Group.STATIC),
    TokenKind(8, "version", Group.STATIC),
    TokenKind(9, "signer", Group.STATIC),
    TokenKind(10, "packer", Group.STATIC),
    TokenKind(11, "pdb", Group.STATIC),
    TokenKind(12, "imphash", Group.STATIC),
    TokenKind(52, "link", Group.STATIC),
    TokenKind(53, "task", Group.STATIC),
    TokenKind(65, "overlay", Group.STATIC),
    TokenKind(13, "api", Group.DYNAMIC),
    TokenKind(14, "ngram", Group.DYNAMIC),
    TokenKind(15, "file_opened", Group.DYNAMIC),
    TokenKind(16, "file_read", Group.DYNAMIC),
    TokenKind(17, "file_written", Group.DYNAMIC),
    TokenKind(18, "file_created", Group.DYNAMIC),
    TokenKind(19, "file_deleted", Group.DYNAMIC),
    TokenKind(20, "file_moved", Group.DYNAMIC),
    TokenKind(21, "file_copied", Group.DYNAMIC),
    TokenKind(22, "file_exists", Group.DYNAMIC),
    TokenKind(23, "file_failed", Group.DYNAMIC),
    TokenKind(24, "dir_created", Group.DYNAMIC),
    TokenKind(25, "dir_enumerated", Group.DYNAMIC),
    TokenKind(26, "dir_removed", Group.DYNAMIC),
    TokenKind(27, "reg_opened", Group.DYNAMIC),
    TokenKind(28, "reg_read", Group.DYNAMIC),
    TokenKind(29, "reg_written", Group.DYNAMIC),
    TokenKind(30, "reg_deleted", Group.DYNAMIC),
    TokenKind(64, "reg_value", Group.DYNAMIC),
    TokenKind(31, "mutex", Group.DYNAMIC),
    TokenKind(32, "process", Group.DYNAMIC),
    TokenKind(54, "child_process", Group.DYNAMIC),
    TokenKind(33, "command", Group.DYNAMIC),
    TokenKind(34, "service_created", Group.DYNAMIC),
    TokenKind(35, "service_started", Group.DYNAMIC),
    TokenKind(36, "library", Group.DYNAMIC),
    TokenKind(37, "resolved_api", Group.DYNAMIC),
    TokenKind(38, "com_class", Group.DYNAMIC),
    TokenKind(39, "wmi", Group.DYNAMIC),
    TokenKind(47, "dropped_type", Group.DYNAMIC),
    TokenKind(48, "dropped_extension", Group.DYNAMIC),
    TokenKind(49, "dropped_name", Group.DYNAMIC),
    TokenKind(55, "payload", Group.DYNAMIC),
    TokenKind(56, "injection", Group.DYNAMIC),
    TokenKind(57, "dump_import", Group.DYNAMIC),
    TokenKind(58, "dump_section", Group.DYNAMIC),
    TokenKind(59, "dump_imphash", Group.DYNAMIC),
    TokenKind(60, "dump_fuzzy", Group.DYNAMIC),
    TokenKind(61, "dump_yara", Group.DYNAMIC),
    TokenKind(40, "host", Group.NETWORK),
    TokenKind(41, "domain", Group.NETWORK),
    TokenKind(42, "port", Group.NETWORK),
    TokenKind(43, "http", Group.NETWORK),
    TokenKind(44, "user_agent", Group.NETWORK),
    TokenKind(45, "tls", Group.NETWORK),
    TokenKind(46, "ja3", Group.NETWORK),
    TokenKind(50, "signature", Group.SIGNATURES),
    TokenKind(62, "technique", Group.SIGNATURES),
    TokenKind(63, "mbc", Group.SIGNATURES),
    TokenKind(51, "string", Group.STRINGS),
)

KINDS: Final = tuple(kind.name for kind in sorted(TOKEN_KINDS))
"""The names of all kinds; each name's index is its code."""

CODES: Final[Mapping[str, int]] = {kind.name: kind.code for kind in TOKEN_KINDS}
"""The code of each kind, by its name."""


def kinds_of(*groups: Group) -> frozenset[str]:
    """The names of the kinds in these groups."""
    return frozenset(kind.name for kind in TOKEN_KINDS if kind.group in groups)


STATIC_KINDS: Final = kinds_of(Group.STATIC)
DYNAMIC_KINDS: Final = kinds_of(Group.DYNAMIC)
NETWORK_KINDS: Final = kinds_of(Group.NETWORK)
TOLD_WITH: Final[Mapping[str, str]] = {
    "technique": "signature", "mbc": "signature", "child_process": "process", "reg_value": "reg_written",
    "injection": "payload", "dump_section": "dump_import", "dump_imphash": "dump_import",
}  # fmt: skip
"""Kinds that tell again what another kind tells, and the other one. Both together have the weight of one."""
ACTION_KINDS: Final = DYNAMIC_KINDS | NETWORK_KINDS
"""The kinds of what a sample did when it ran."""
SIGNATURE_KINDS: Final = kinds_of(Group.SIGNATURES)
SAY_NOTHING: Final = frozenset(("task", "file_type", "file_size"))
"""The kinds by which alone no two samples can be compared: thousands have the same."""
FILE_KINDS: Final = tuple(name for name in KINDS if name in DYNAMIC_KINDS and name.startswith("file_"))
"""The kinds of what a sample did to files, each of which has the file's path as its value."""

DEEDS: Final[Mapping[str, frozenset[str]]] = {
    "call the system": frozenset(("api", "ngram")),
    "write files": frozenset(
        (
            "file_written",
            "file_created",
            "file_copied",
            "file_moved",
            "dropped_type",
            "dropped_extension",
            "dropped_name",
        )
    ),
    "delete files": frozenset(("file_deleted", "dir_removed")),
    "write the registry": frozenset(("reg_written", "reg_value", "reg_deleted")),
    "start processes": frozenset(("child_process", "command")),
    "install services": frozenset(("service_created", "service_started")),
    "create mutexes": frozenset(("mutex",)),
    "use the network": NETWORK_KINDS,
}  # fmt: skip
"""What a sample may do, and the kinds of token that show it. Models keep the order; a new one goes to the end."""


class Aspect(Enum):
    """One of the eight sides from which behaviours are compared, in the order that a behash has them."""

    FILE = "file"  # the sample's file
    STRINGS = "strings"
    CALLS = "calls"
    FILES = "files"  # what was done to files and folders, and what was dropped
    REGISTRY = "registry"
    SYSTEM = "system"  # mutexes, processes, services, libraries, and the network
    SIGNATURES = "signatures"
    MEMORY = "memory"  # what was found in memory: unpacked payloads and process dumps


ASPECTS: Final = tuple(Aspect)
_BY_GROUP: Final = {
    Group.STATIC: Aspect.FILE,
    Group.STRINGS: Aspect.STRINGS,
    Group.NETWORK: Aspect.SYSTEM,
    Group.SIGNATURES: Aspect.SIGNATURES,
}
_BY_BEGINNING: Final = {"file_": Aspect.FILES, "dir_": Aspect.FILES, "dropped_": Aspect.FILES, "reg_": Aspect.REGISTRY}
_BY_NAME: Final = {
    **dict.fromkeys(("api", "ngram", "resolved_api"), Aspect.CALLS),
    **dict.fromkeys(("mutex", "process", "child_process", "command", "library", "com_class", "wmi"), Aspect.SYSTEM),
    **dict.fromkeys(("service_created", "service_started"), Aspect.SYSTEM),
    **dict.fromkeys(("payload", "injection"), Aspect.MEMORY),
}


def aspect_of(kind: TokenKind) -> Aspect | None:
    """The aspect of a kind; None for one that the tables above do not place, which takes no part in likeness.

    docs/behash.md publishes the same rules. A kind keeps its aspect for good, because stored behashes rest on it.
    """
    if kind.name.startswith("dump_"):
        return Aspect.MEMORY
    if kind.group in _BY_GROUP:
        return _BY_GROUP[kind.group]
    beginning = kind.name.partition("_")[0] + "_"
    return _BY_NAME.get(kind.name) or _BY_BEGINNING.get(beginning)


ASPECT_OF_KIND: Final[Mapping[str, Aspect]] = {
    kind.name: aspect for kind in TOKEN_KINDS if (aspect := aspect_of(kind)) is not None
}
"""The aspect of each kind that has one, by the kind's name."""
