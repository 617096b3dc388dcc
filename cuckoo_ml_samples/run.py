"""A run: all that a sandbox observed of a sample, whatever the host.

`execute` makes a `Run`, which `report_formats` renders as a report of Cuckoo or of CAPE. So a sample shows the same
behaviour in both formats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Flag(NamedTuple):
    """A numeric argument with its symbolic name, e.g. 0x4 / PAGE_READWRITE.

    Cuckoo puts the name into `flags` of the call, CAPE into `pretty_value` of the argument.
    """

    value: int
    text: str
    hexadecimal: bool = True


ArgumentValue = str | int | Flag | None


@dataclass(slots=True)
class Call:
    """An API call. Its arguments are named as in Cuckoo's monitor; `malware.apis` maps them to CAPE's names."""

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
    tracked: bool = True  # False for a system process that has nothing to do with the sample
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
    """Traffic. Addresses come from documentation ranges (RFC 5737), names are reserved (RFC 2606)."""

    lookups: dict[str, str] = field(default_factory=dict)  # name -> address ("" if it does not resolve)
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
    """A file, with all that stays the same in every run of it."""

    family: str
    variant: str
    file_name: str
    file_type: str
    package: str  # the sandbox's analysis package: exe, doc, js, ...
    size: int
    sha256: str
    pe: PortableExecutable | None
    strings: tuple[str, ...]
    av_family: str | None  # as scanners call it; None for goodware
    av_category: str  # as scanners call it: "ransom", "banker", ...
    detected: bool  # whether the sandbox's own rules name the family


@dataclass(frozen=True, slots=True)
class Guest:
    """The virtual machine of a run."""

    machine: str
    user: str
    computer: str
    address: str
    volume_guid: str
    sid: str

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
    """An execution of a sample in a guest."""

    sample: Sample
    guest: Guest
    started: datetime
    duration: int  # seconds
    processes: list[Process] = field(default_factory=list)
    network: Network = field(default_factory=Network)
    dropped: list[DroppedFile] = field(default_factory=list)
    signatures: dict[str, tuple[int, int]] = field(default_factory=dict)  # key of SIGNATURES -> (pid, call index)
    score: float = 0.0
