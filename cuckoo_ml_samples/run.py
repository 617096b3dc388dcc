"""What a sandbox saw of one sample, independent of the host that saw it.

A `Run` is made once (`families.py` composes it from `blocks.py`) and rendered by `cuckoo2.py` or `cape.py`, so that the
same sample gives the same behaviour in both formats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Flag(NamedTuple):
    """A numeric argument with its symbolic reading, e.g. 0x4 / PAGE_READWRITE.

    Cuckoo puts the reading into `flags` of the call, CAPE into `pretty_value` of the argument.
    """

    value: int
    text: str
    hexadecimal: bool = True


ArgumentValue = str | int | Flag | None


@dataclass(slots=True)
class Call:
    """One API call. Arguments carry the names of Cuckoo's monitor; `apis.py` knows CAPE's."""

    api: str
    arguments: dict[str, ArgumentValue]
    succeeded: bool
    returned: int
    seconds: float  # since the start of the analysis
    thread: int


@dataclass(slots=True)
class Process:
    pid: int
    parent: int
    name: str
    path: str
    command_line: str
    seconds: float
    tracked: bool = True  # False: a system process that only happened to be there
    threads: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    host: str
    port: int
    path: str
    user_agent: str
    body: str = ""
    status: int = 200


@dataclass(slots=True)
class Network:
    """Addresses are documentation ranges (RFC 5737), names are reserved ones (RFC 2606)."""

    lookups: dict[str, str] = field(default_factory=dict)  # name -> address ("" when it did not resolve)
    requests: list[HttpRequest] = field(default_factory=list)
    tls: list[tuple[str, str, int]] = field(default_factory=list)  # (server name, address, port)
    tcp: list[tuple[str, int, bool]] = field(default_factory=list)  # (address, port, somebody answered)
    smtp: list[tuple[str, str]] = field(default_factory=list)  # (address, sender)


@dataclass(frozen=True, slots=True)
class DroppedFile:
    path: str
    type: str
    size: int
    sha256: str
    pid: int


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    virtual_address: int
    virtual_size: int
    raw_size: int
    entropy: float
    writable: bool = False
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    name: str
    language: str
    sublanguage: str
    filetype: str
    size: int


@dataclass(frozen=True, slots=True)
class PortableExecutable:
    imports: tuple[tuple[str, tuple[str, ...]], ...]  # (library, its functions)
    sections: tuple[Section, ...]
    resources: tuple[Resource, ...]
    version_info: tuple[tuple[str, str], ...]
    exports: tuple[str, ...]
    timestamp: datetime
    imphash: str
    packer: str | None  # a PEiD signature
    signer: str | None  # the certificate's common name
    pdb_path: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One file: what is the same in every run of it."""

    family: str
    variant: str
    file_name: str
    file_type: str
    package: str  # the sandbox's analysis package: exe, doc, js, ...
    size: int
    sha256: str
    pe: PortableExecutable | None
    strings: tuple[str, ...]
    av_family: str | None  # what the scanners call it; None for goodware
    av_category: str  # the scanners' word for its kind: "ransom", "banker", ...
    detects: bool  # whether the sandbox's own rules name the family


@dataclass(frozen=True, slots=True)
class Guest:
    """The virtual machine of one run."""

    machine: str
    user: str
    computer: str
    address: str
    volume_guid: str
    sid: str
    windows10: bool

    @property
    def home(self) -> str:
        return f"C:\\Users\\{self.user}"

    @property
    def temp(self) -> str:
        return f"{self.home}\\AppData\\Local\\Temp"

    @property
    def roaming(self) -> str:
        return f"{self.home}\\AppData\\Roaming"


@dataclass(slots=True)
class Run:
    """One execution of one sample in one guest."""

    sample: Sample
    guest: Guest
    started: datetime
    duration: int  # seconds
    processes: list[Process] = field(default_factory=list)
    network: Network = field(default_factory=Network)
    dropped: list[DroppedFile] = field(default_factory=list)
    signatures: dict[str, tuple[int, int]] = field(default_factory=dict)  # key of signatures.py -> (pid, call index)
    score: float = 0.0
