"""The parts of a report file that are read. msgspec decodes these and skips everything else.

One schema serves both hosts, because their sections share names. All types except :class:`Call` and
:class:`EnhancedEvent` are dictionaries, as in the results that a host holds in memory, so that the same code reads
both. A key that this code reads must therefore have its line here, or it is missing from files. A test compares the
two.

The keys are those of Cuckoo 2.0.7 and CAPE 2.2 to 2.5.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypedDict

import msgspec

LONGEST_API: Final = 48  # characters of a call's name in a usual report; one with longer names is read call by call


class Info(TypedDict, total=False):
    version: Any
    id: Any
    started: Any
    machine: Any
    owner: Any
    user_id: Any
    tags: Any
    category: Any
    platform: Any
    options: Any
    custom: Any
    job_id: Any


class ScanVerdict(TypedDict, total=False):
    """VirusTotal's verdict on a dropped file: the numbers, not what each engine says."""

    positives: Any
    total: Any
    error: Any


class Macros(TypedDict, total=False):
    Analysis: MacroAnalysis | None


class MacroAnalysis(TypedDict, total=False):
    IOCs: list[list[str]] | None


class Office(TypedDict, total=False):
    Macro: Macros | None


class Pdf(TypedDict, total=False):
    """``target.file.pdf`` of CAPE, or one revision of a document in ``static.pdf`` of Cuckoo."""

    urls: list[str] | None
    All_URLs: list[str] | None
    Annot_URLs: list[str] | None
    JS_URLs: list[str] | None


class TargetFile(TypedDict, total=False):
    name: Any
    size: Any
    type: Any
    md5: Any
    sha1: Any
    sha256: Any
    file_ref: Any  # its SHA-256 in CAPE's database
    pe: PortableExecutable | None
    strings: list[str] | None
    virustotal: Any
    urls: list[str] | None
    pdf: Pdf | None
    office: Office | None


class Target(TypedDict, total=False):
    category: Any
    url: Any
    file: TargetFile | None


class Symbol(TypedDict, total=False):
    name: str | None


class Library(TypedDict, total=False):
    dll: str | None
    imports: list[Symbol] | None


class PeSection(TypedDict, total=False):
    name: str | None
    entropy: float | str | None


class Resource(TypedDict, total=False):
    name: str | None
    language: str | None
    sublanguage: str | None
    filetype: str | None


class VersionField(TypedDict, total=False):
    name: str | None
    value: str | None


class Overlay(TypedDict, total=False):
    size: Any


class PortableExecutable(TypedDict, total=False):
    """``static`` of Cuckoo, whose keys begin with ``pe_``; ``static.pe`` and ``target.file.pe`` of CAPE."""

    imports: list[Library] | dict[str, Library] | None
    sections: list[PeSection] | None
    resources: list[Resource] | None
    versioninfo: list[VersionField] | None
    timestamp: str | None
    pdbpath: str | None
    imphash: str | None
    overlay: Overlay | None
    peid_signatures: list[str] | None
    digital_signers: Any
    guest_signers: Any
    pe_imports: list[Library] | None
    pe_sections: list[PeSection] | None
    pe_resources: list[Resource] | None
    pe_versioninfo: list[VersionField] | None
    pe_timestamp: str | None
    pe_imphash: str | None
    pdb_path: str | None
    signature: Any


class Static(PortableExecutable, total=False):
    pe: PortableExecutable | None
    pdf: list[Pdf] | Pdf | None
    office: Office | None


class Call(msgspec.Struct, gc=False):
    """One API call. Reports have millions of them, and dictionaries would take seven times the memory."""

    api: str


class OverBudgetError(Exception):
    """The processes of a report take more memory than the report may."""


class Meter:
    """What is left of the budget of the report that is decoded: one at a time, by a lock."""

    left = 0


METER: Final = Meter()
CALLS_LEFT: Final[list[None]] = []  # an entry for each call that the report which is decoded may have
_take_call: Final = CALLS_LEFT.pop


class Environment(TypedDict, total=False):
    UserName: str | None
    ComputerName: str | None
    CommandLine: str | None


class Process(TypedDict, total=False):
    process_id: Any
    parent_id: Any
    pid: Any
    ppid: Any
    process_name: str | None
    process_path: str | None
    module_path: str | None
    command_line: str | None
    track: bool | None
    environ: Environment | None
    calls: list[Call] | None


class NamedCall(Call, gc=False):
    """A call whose name is not long, so that the number of calls says how much memory they take.

    Each takes one away from those that a report may have, by the cheapest step that there is.
    """

    api: Annotated[str, msgspec.Meta(max_length=LONGEST_API)]

    def __post_init__(self) -> None:
        _take_call()  # raises IndexError after the last


class ProcessOutline(msgspec.Struct, gc=False):
    """A process with its calls, and the rest of it as it stands in the JSON. It is counted once it is decoded."""

    process_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parent_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    pid: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ppid: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    process_name: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    process_path: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    module_path: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    command_line: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    track: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    environ: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    calls: list[NamedCall] | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        METER.left -= 900 + 105 * (len(self.calls) if isinstance(self.calls, list) else 0)  # bytes, also of its dict
        if METER.left < 0:
            raise OverBudgetError


class EventData(msgspec.Struct, gc=False):
    file: Any = None
    regkey: Any = None
    content: Any = None


class EnhancedEvent(msgspec.Struct, gc=False):
    """One entry of CAPE's ``behavior.enhanced``, of which loaded libraries and written values are used.

    Reports have thousands, and as dictionaries they would take a fifth more time to decode.
    """

    event: Any = None
    data: EventData | None = None


class GenericProcess(TypedDict, total=False):
    summary: dict[str, Any] | None


class Behavior(TypedDict, total=False):
    processes: list[Process] | None
    summary: dict[str, Any] | None
    generic: list[GenericProcess] | None
    apistats: dict[str, dict[str, int]] | None
    enhanced: list[EnhancedEvent] | None


class BehaviorOutline(TypedDict, total=False):
    """The behaviour of a large report, of which first the calls alone are decoded."""

    processes: list[ProcessOutline] | None
    summary: msgspec.Raw
    generic: msgspec.Raw
    apistats: msgspec.Raw
    enhanced: msgspec.Raw


class DnsAnswer(TypedDict, total=False):
    type: str | None
    data: str | None


class Dns(TypedDict, total=False):
    request: str | None
    answers: list[DnsAnswer] | None


class NetworkFlow(TypedDict, total=False):
    dst: str | None
    dport: int | str | None


HttpRequest = TypedDict(
    "HttpRequest",
    {
        "method": Any,
        "host": Any,
        "path": Any,
        "uri": Any,
        "user-agent": Any,
        "hostname": Any,
        "http_method": Any,
        "ua": Any,
    },
    total=False,
)


class Message(TypedDict, total=False):
    """A message of ICMP, which is only counted."""


class Network(TypedDict, total=False):
    hosts: Any
    domains: Any
    dns: list[Dns] | None
    tcp: list[NetworkFlow] | None
    udp: list[NetworkFlow] | None
    http: list[HttpRequest] | None
    http_ex: list[HttpRequest] | None
    https_ex: list[HttpRequest] | None
    dead_hosts: Any
    icmp: list[Message] | None


class TlsHandshake(TypedDict, total=False):
    sni: Any
    ja3: Any


class DnsEvent(TypedDict, total=False):
    rrname: Any


class SuricataDns(TypedDict, total=False):
    """A query that Suricata saw, whatever the host's allow-list."""

    dns: DnsEvent | None


class Suricata(TypedDict, total=False):
    dns: list[SuricataDns] | None
    tls: list[TlsHandshake] | None
    http: list[HttpRequest] | None


class Dropped(TypedDict, total=False):
    name: Any
    type: Any
    filepath: Any
    guest_paths: Any
    sha256: Any
    virustotal: ScanVerdict | None


class Signature(TypedDict, total=False):
    name: str | None
    severity: Any
    ttp: dict[str, Technique] | list[str] | None


class Technique(TypedDict, total=False):
    """What Cuckoo says of a technique of ATT&CK, of which only the id is used."""


class TechniqueOfSignature(TypedDict, total=False):
    ttp: Any
    ttps: Any
    mbcs: Any


class YaraMatch(TypedDict, total=False):
    name: Any


class DumpedImage(TypedDict, total=False):
    imports: list[Library] | dict[str, Library] | None
    sections: list[PeSection] | None
    imphash: str | None
    versioninfo: list[VersionField] | None


class DumpedFile(TypedDict, total=False):
    """A payload or a process dump of CAPE, a buffer or a part of a memory dump of Cuckoo."""

    type: Any
    pid: Any
    cape_type: Any
    cape_type_code: Any
    process_path: Any
    target_path: Any
    target_pid: Any
    tlsh: Any
    yara: list[YaraMatch] | None
    cape_yara: list[YaraMatch] | None
    pe: DumpedImage | None


class ProcessMemory(TypedDict, total=False):
    yara: list[YaraMatch] | None
    extracted: list[DumpedFile] | None


class Cape(TypedDict, total=False):
    configs: Any
    payloads: list[DumpedFile] | None


class SimilarityMatch(TypedDict, total=False):
    family: Any
    similarity: Any


class SimilarityRow(TypedDict, total=False):
    """A file whose code CAPE had compared with that of known families."""

    sha256: Any
    status: Any
    matches: list[SimilarityMatch] | None


class Similarity(TypedDict, total=False):
    results: dict[str, list[SimilarityRow]] | None


class SigmaDetection(TypedDict, total=False):
    level: Any


class Sigma(TypedDict, total=False):
    detections: list[SigmaDetection] | None


class UrlAnalysis(TypedDict, total=False):
    url: Any


class Debug(TypedDict, total=False):
    errors: Any


class HttpConnection(TypedDict, total=False):
    request: str | None


class Droidmon(TypedDict, total=False):
    """What an Android app did, as Cuckoo's Droidmon logged it."""

    reflection_calls: list[str] | None
    fingerprint: list[str] | None
    data_leak: list[str] | None
    events: list[str] | None
    file_accessed: list[str] | None
    commands: list[str] | None
    started_activities: list[Any] | None
    loadDex: list[str] | None
    sms: list[Any] | None
    httpConnections: list[HttpConnection] | None


class TraceeArgument(TypedDict, total=False):
    name: str | None
    value: Any


class TraceeEvent(TypedDict, total=False):
    eventName: str | None
    processName: str | None
    args: list[TraceeArgument] | None
    returnValue: Any


class ReportSections(TypedDict, total=False):
    """The sections of a report that are read, each with the type that it has in an undamaged report."""

    info: Info | None
    target: Target | None
    static: Static | None
    behavior: Behavior | None
    network: Network | None
    suricata: Suricata | None
    dropped: list[Dropped] | None
    signatures: list[Signature] | None
    strings: list[str] | None
    virustotal: Any
    url: Any
    threatintelligence: Any
    reversinglabs: Any
    detections: Any
    similarity: Similarity | None
    sigma: Sigma | None
    malscore: Any
    malstatus: Any
    malfamily: Any
    malfamily_tag: Any
    CAPE: Cape | list[Any] | None
    procdump: list[DumpedFile] | None
    procmemory: list[ProcessMemory] | None
    buffer: list[DumpedFile] | None
    ttps: list[TechniqueOfSignature] | dict[str, Any] | None
    mbcs: dict[str, Any] | None
    url_analysis: UrlAnalysis | None
    debug: Debug | None
    droidmon: Droidmon | None
    tracee: dict[str, list[TraceeEvent]] | list[TraceeEvent] | None


# -- the behaviour of a Linux analysis, which is decoded a second time, with the arguments of the calls ----------------


class TracedArgument(TypedDict, total=False):
    name: Any
    value: Any


TracedCall = TypedDict(
    "TracedCall",
    {
        "api": str,
        "arguments": "list[TracedArgument | str] | dict[str, Any] | None",
        "return": Any,  # CAPE's
        "return_value": Any,  # Cuckoo's
    },
    total=False,
)


class TracedProcess(Process, total=False):
    calls: list[TracedCall] | None  # type: ignore[misc]  # as in Process, and with arguments


class TracedBehavior(Behavior, total=False):
    processes: list[TracedProcess] | None  # type: ignore[misc]


class TracedSections(TypedDict, total=False):
    """The section that is decoded again."""

    behavior: TracedBehavior | None
