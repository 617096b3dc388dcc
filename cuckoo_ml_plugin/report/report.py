"""Reading reports: a file or a host's results in memory, of Cuckoo 2.0 or CAPE, become a :class:`Report`.

A value that does not have the type that the hosts give it counts as missing. Damage in one place thus leaves the rest
readable, and nothing in a report can make reading it fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity
from cuckoo_ml_plugin.report.android import droidmon_calls, droidmon_operations, droidmon_requests
from cuckoo_ml_plugin.report.call_log import CallLog, call_log
from cuckoo_ml_plugin.report.dumps import Dump, dumps_of
from cuckoo_ml_plugin.report.files.bounded import Sections
from cuckoo_ml_plugin.report.files.decode import load_reports
from cuckoo_ml_plugin.report.files.schema import EnhancedEvent
from cuckoo_ml_plugin.report.host_signatures import host_signatures, severities_of, techniques_of
from cuckoo_ml_plugin.report.identity import identity_of, start_of, url_of
from cuckoo_ml_plugin.report.network import NetworkFacts, network_facts
from cuckoo_ml_plugin.report.static import StaticFacts, static_facts
from cuckoo_ml_plugin.report.threat_scores import ThreatScore, threat_scores
from cuckoo_ml_plugin.report.trace import LINUX_CALLS, TraceFacts, strace_facts, tracee_facts
from cuckoo_ml_plugin.report.values import (
    hexadecimal,
    identifier,
    integer,
    items,
    mapping,
    mappings,
    text,
    texts,
)

CUCKOO2: Final = "cuckoo2"
CAPE: Final = "cape"
MAX_PROCESSES: Final = 20_000  # that are read; no sandbox watches so many
_POSIX: Final = frozenset(("linux", "android", "darwin", "macos"))


@dataclass(slots=True)
class ProcessFacts:
    """One process: its names and how it was started."""

    name: str
    path: str
    command_line: str
    pid: int | None = None
    parent: int | None = None  # the process id of the one that started it


@dataclass(slots=True)
class Report:
    """What is read of one analysis, from either host, from a file or from memory. Names are as the host wrote them."""

    host: str  # "cuckoo2" or "cape"
    host_version: str
    task_id: str | None
    sha256: str | None  # of the sample, lower case; None for a URL
    target: str  # file name or URL, for display
    analysed_at: str | None  # ISO 8601 without a zone, as the host has it
    machine: str
    tags: list[str]
    submitter: str
    md5: str | None
    sha1: str | None
    file_size: int | None  # bytes
    file_type: str  # libmagic's description
    static: StaticFacts
    network: NetworkFacts | None
    dropped: list[tuple[str, str]] | None  # name or path, file type
    signatures: list[str]
    severities: dict[str, int]  # of the signatures, by name
    techniques: list[str]  # ids in ATT&CK
    catalog: list[str]  # ids in the Malware Behavior Catalog
    dumps: list[Dump]
    strings: list[str]
    host_families: list[str]
    scans: dict[str, str]  # VirusTotal: engine -> its name for the sample
    threat_scores: tuple[ThreatScore, ...] = ()  # of its file, URLs, domains and addresses
    summary: Mapping[str, Any] | None = None  # operation, by the host's name -> names of files, keys, ...
    libraries: list[str] = field(default_factory=list)  # loaded ones, from CAPE's enhanced events
    registry_values: list[tuple[str, str]] = field(default_factory=list)  # key and text written, once each; the same
    processes: list[ProcessFacts] = field(default_factory=list)
    calls: CallLog = field(default_factory=CallLog)
    api_counts: dict[str, int] = field(default_factory=dict)  # Cuckoo's own count, over all processes
    paths_are_posix: bool = False  # of Linux, Android or macOS
    category: str = ""  # of the task: file, url, static, baseline, ...
    platform: str = ""  # windows, linux, android, ...; empty where the host does not say
    ran: bool = True  # False where the host says that the task never began
    failure: str = ""  # the first error of the host, also of an analysis that ran; empty without any
    missing: list[str] = field(default_factory=list)  # sentences on what the report should have and does not
    users: set[str] = field(default_factory=set)
    computers: set[str] = field(default_factory=set)
    identity: Identity = field(default_factory=Identity)


@dataclass(frozen=True, slots=True)
class ReportInFile:
    """One of the reports in a file: its place (1, 2, ...) and, in a zip file, its name there.

    ``error``: why it cannot be read, instead of ``report``.
    """

    place: int
    name: str
    report: Report | None
    error: ReportError | None = None

    @property
    def reason(self) -> str:
        """Why it cannot be read, with its place in the file."""
        return f"report {self.place} in it: {self.error}"


def read_reports(path: Path, on_large: Callable[[], None] | None = None) -> Iterator[ReportInFile]:
    """Each report in a file: JSON, packed or not, of one report or of several.

    ``on_large`` is called before much memory is taken, so that processes can take turns.

    Raises:
        ReportError: the file cannot be read or holds no report. One sentence that names it and says what to do.
    """
    path = Path(path)
    for place, (name, sections) in enumerate(load_reports(path, on_large), 1):
        if isinstance(sections, ReportError):
            yield ReportInFile(place, name, None, sections)
        else:
            yield ReportInFile(place, name, report_from_results(sections))


def read_report(path: Path) -> Report:
    """Read a file of one report, of either host. What packs it is known by its content, whatever its name.

    Raises:
        ReportError: one sentence that names the file, what is wrong with it and what to do; also for several reports.
    """
    first: Report | None = None
    for in_file in read_reports(path):
        if in_file.place > 1:
            raise ReportError(
                f"{path} holds several reports: give it to cuckoo-ml import or cuckoo-ml score, which take each."
            )
        if in_file.error is not None:
            raise in_file.error
        first = in_file.report
    if first is None:
        raise ReportError(f"{path} holds no report: give a report.json of either host.")
    return first


def report_from_results(results: Mapping[str, Any]) -> Report:
    """A report from the results that a host hands to its modules. Iterates each list of calls once. Never raises."""
    info = mapping(results.get("info"))
    target = mapping(results.get("target"))
    file = mapping(target.get("file"))
    techniques, catalog = techniques_of(results)
    report = Report(
        host=host_of(results),
        host_version=text(info.get("version"))[:40],
        task_id=identifier(info.get("id")),
        sha256=hexadecimal(file.get("sha256"), 64),
        target=text(file.get("name")) or url_of(results),
        analysed_at=start_of(info.get("started")),
        machine=_machine(info.get("machine")),
        tags=texts(info.get("tags")),
        submitter=text(info.get("owner")) or identifier(info.get("user_id")) or "",
        md5=hexadecimal(file.get("md5"), 32),
        sha1=hexadecimal(file.get("sha1"), 40),
        file_size=integer(file.get("size")),
        file_type=text(file.get("type")),
        static=static_facts(results),
        network=network_facts(results),
        dropped=_dropped(results.get("dropped")),
        signatures=host_signatures(results),
        severities=severities_of(results),
        techniques=techniques,
        catalog=catalog,
        dumps=dumps_of(results),
        strings=texts(results.get("strings")) or texts(file.get("strings")),
        host_families=_families(results),
        scans=_scans(results.get("virustotal")) or _scans(file.get("virustotal")),
        threat_scores=threat_scores(results),
        platform=_platform(info),
        ran=not ("started" in info and info.get("started") is None),
        paths_are_posix=_platform(info) in _POSIX or bool(mapping(results.get("droidmon"))),
        category=text(info.get("category"))[:40] or text(target.get("category"))[:40],
        failure=next(iter(texts(mapping(results.get("debug")).get("errors"))), ""),
        identity=identity_of(results),
    )
    behavior = mapping(results.get("behavior"))
    _read_behavior(report, behavior)
    _add_droidmon(report, mapping(results.get("droidmon")))
    if results.get("tracee"):
        _add_trace(report, tracee_facts(results.get("tracee")))
    report.missing = _missing(report, behavior) + _unread(results)
    return report


def host_of(results: Mapping[str, Any]) -> str:
    """The host that made the report, judged by its contents: the version of CAPE 2.5 no longer names CAPE."""
    version = text(mapping(results.get("info")).get("version"))
    behavior = mapping(results.get("behavior"))
    is_cape = (
        version.upper().endswith("-CAPE")
        or "CAPE" in results
        or "malfamily_tag" in results
        or "url_analysis" in results
        or "tracee" in results
        or "enhanced" in behavior
        or "read_keys" in mapping(behavior.get("summary"))
    )
    return CAPE if is_cape else CUCKOO2


def _machine(value: Any) -> str:
    machine = mapping(value)
    return text(machine.get("label")) or text(machine.get("name")) or text(value)


def _dropped(value: Any) -> list[tuple[str, str]] | None:
    """Name (where known, the path in the guest) and type of each dropped file; None without the section."""
    if not isinstance(value, (list, tuple)):
        return None
    dropped = []
    for entry in mappings(value):
        paths = texts(entry.get("guest_paths")) or texts(entry.get("filepath")) or texts(entry.get("name"))
        dropped.append((paths[0] if paths else "", text(entry.get("type"))))
    return dropped


def _families(results: Mapping[str, Any]) -> list[str]:
    """The families that the host names: in ``detections`` (text or list), ``malfamily`` and CAPE's configurations."""
    families = texts(results.get("detections"))
    families += [text(entry.get("family")) for entry in mappings(results.get("detections"))]
    families += texts(mapping(results.get("detections")).get("family"))
    families += texts(results.get("malfamily"))
    cape = results.get("CAPE")
    configs = mapping(cape).get("configs")
    for config in mappings(configs) or mappings([configs]):
        names = (name for name, values in config.items() if isinstance(values, Mapping) and isinstance(name, str))
        families += [name for name in names if not name.startswith("associated_")]
    for entry in mappings(cape):  # CAPE before 2021: a list of payloads
        families += texts(entry.get("cape_name"))
    return [family for family in families if family]


def _scans(value: Any) -> dict[str, str]:
    """Each engine's name for the sample: from ``scans``, or from ``results``, CAPE's list of vendor and signature."""
    virustotal = mapping(value)
    scans = {
        engine: result
        for engine, scan in mapping(virustotal.get("scans")).items()
        if isinstance(engine, str) and (result := text(mapping(scan).get("result")))
    }
    if not scans:
        scans = {
            vendor: sig
            for entry in mappings(virustotal.get("results"))
            if (vendor := text(entry.get("vendor"))) and (sig := text(entry.get("sig")))
        }
    return scans


# --- behaviour --------------------------------------------------------------------------------------------------------


def _read_behavior(report: Report, behavior: Mapping[str, Any]) -> None:
    call_lists = []
    processes = []
    for process in mappings(items(behavior.get("processes"))[:MAX_PROCESSES]):
        if process.get("track") is False:  # such as lsass.exe, which Cuckoo watches only for keys
            continue
        environment = mapping(process.get("environ"))
        report.users.update(texts(environment.get("UserName")))
        report.computers.update(texts(environment.get("ComputerName")))
        report.processes.append(
            ProcessFacts(
                name=text(process.get("process_name")),
                path=text(process.get("process_path")) or text(process.get("module_path")),
                command_line=text(process.get("command_line")) or text(environment.get("CommandLine")),
                pid=integer(process.get("process_id") if "process_id" in process else process.get("pid")),
                parent=integer(process.get("parent_id") if "parent_id" in process else process.get("ppid")),
            )
        )
        call_lists.append(process.get("calls"))
        processes.append(process)
    report.calls = call_log(call_lists)
    for counts in mapping(behavior.get("apistats")).values():
        for api, value in mapping(counts).items():
            count = integer(value)
            if isinstance(api, str) and api and count:
                report.api_counts[api] = report.api_counts.get(api, 0) + count
    report.summary = _summary(behavior)
    _add_events(report, behavior.get("enhanced"))
    if not report.summary and not LINUX_CALLS.isdisjoint(report.calls.names):
        facts = strace_facts(processes)
        for process_facts, program in zip(report.processes, facts.programs, strict=True):
            if not process_facts.path and not process_facts.command_line:
                process_facts.name = program.command_line.partition(" ")[0].rpartition("/")[2] or process_facts.name
            process_facts.path = process_facts.path or program.path
            process_facts.command_line = program.command_line or process_facts.command_line
        _add_trace(report, facts)


def _add_trace(report: Report, facts: TraceFacts) -> None:
    """Add what the events of a Linux analysis show to what the report has."""
    report.paths_are_posix = True
    _add_operations(report, facts.operations)
    for name in facts.names:
        report.api_counts[name] = report.api_counts.get(name, 0) + 1
    report.processes += [ProcessFacts(name, "", "") for name in dict.fromkeys(facts.processes) if name]
    if facts.connections:
        report.network = report.network or NetworkFacts()
        for protocol, address, port in facts.connections:
            (report.network.udp if protocol == "udp" else report.network.tcp).append((address, port))
            report.network.called.add((address, port))


def _add_droidmon(report: Report, section: Mapping[str, Any]) -> None:
    """Add what Droidmon logged of an Android app."""
    if not section:
        return
    _add_operations(report, droidmon_operations(section))
    for name in droidmon_calls(section):
        report.api_counts[name] = report.api_counts.get(name, 0) + 1
    requests = droidmon_requests(section)
    if requests:
        report.network = report.network or NetworkFacts()
        report.network.requests += requests


def _add_operations(report: Report, operations: Mapping[str, list[Any]]) -> None:
    joined = {operation: list(items(names)) for operation, names in (report.summary or {}).items()}
    for operation, names in operations.items():
        joined.setdefault(operation, []).extend(names)
    if joined or report.summary is not None:
        report.summary = joined


def _platform(info: Mapping[str, Any]) -> str:
    return (text(info.get("platform")) or text(mapping(info.get("machine")).get("platform"))).lower()


def _missing(report: Report, behavior: Mapping[str, Any]) -> list[str]:
    """What the report refers to, or what its host writes elsewhere, and what it does not have."""
    sentences = []
    if any(_are_elsewhere(process.get("calls")) for process in mappings(behavior.get("processes"))):
        sentences.append(
            "The API calls are not in the report: it names them by their ids in MongoDB's collection calls, where"
            " cuckoo-ml import --mongodb reads them."
        )
    if report.host == CAPE and mapping(behavior.get("summary")) and "processes" not in behavior:
        sentences.append("This is CAPE's short report (lite.json), which has no processes and no API calls.")
    return sentences


def _unread(results: Mapping[str, Any]) -> list[str]:
    """What a file has and what was left out, because it would have taken too much memory."""
    unread = results.unread if isinstance(results, Sections) else ()
    if not unread:
        return []
    are = "is" if len(unread) == 1 else "are"
    return [f"Not all of {', '.join(unread)} {are} read: it would take more memory than a report may."]


def _are_elsewhere(calls: Any) -> bool:
    """Whether the calls of a process are ids: texts, ``{"$oid": ...}`` or MongoDB's own objects."""
    if type(calls) is not list or not calls:
        return False
    first = calls[0]
    is_extended = isinstance(first, Mapping) and set(first) == {"$oid"}
    return is_extended or isinstance(first, str) or type(first).__name__ == "ObjectId"


def _summary(behavior: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The names by operation. Without a common summary, those of Cuckoo's processes are joined."""
    summary = behavior.get("summary")
    if isinstance(summary, Mapping) and summary:
        return summary
    parts = [part for entry in mappings(behavior.get("generic")) if (part := mapping(entry.get("summary")))]
    if not parts:
        return summary if isinstance(summary, Mapping) else None
    joined: dict[str, list[Any]] = {}
    for part in parts:
        for operation, names in part.items():
            joined.setdefault(operation, []).extend(items(names))
    return joined


def _add_events(report: Report, enhanced: Any) -> None:
    """Add what CAPE derives from calls: the libraries that were loaded, and the values written to the registry."""
    if not isinstance(enhanced, list) or not enhanced:
        return
    try:
        if type(enhanced[0]) is EnhancedEvent:
            files: list[Any] = [event.data.file for event in enhanced if event.event == "load" and event.data]
            writes = [event.data for event in enhanced if event.event == "write" and event.data]
            written = dict.fromkeys([(of.regkey, of.content) for of in writes])
        else:
            kinds = list(map(itemgetter("event"), enhanced))  # the events are scattered over memory: touched once
            files = [event["data"]["file"] for event, kind in zip(enhanced, kinds, strict=True) if kind == "load"]
            writes = [event["data"] for event, kind in zip(enhanced, kinds, strict=True) if kind == "write"]
            written = dict.fromkeys([(of.get("regkey"), of["content"]) for of in writes if "content" in of])
    except (KeyError, TypeError, IndexError, AttributeError):
        pairs = [(event.get("event"), mapping(event.get("data"))) for event in mappings(enhanced)]
        files = [of.get("file") for name, of in pairs if name == "load"]
        written = dict.fromkeys(
            (text(of.get("regkey")), text(of.get("content"))) for name, of in pairs if name == "write"
        )
    report.libraries = texts(files)
    report.registry_values = [(key, content) for key, content in written if text(key) and text(content)]
