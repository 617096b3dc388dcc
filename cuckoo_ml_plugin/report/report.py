"""Reading reports: a file or a host's results in memory, of Cuckoo 2.0 or CAPE, become a :class:`Report`.

A value that does not have the type that the hosts give it counts as missing. Damage in one place thus leaves the rest
readable, and nothing in a report can make reading it fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from cuckoo_ml_plugin.report.call_log import CallLog, call_log
from cuckoo_ml_plugin.report.decode import check_is_report, load_sections
from cuckoo_ml_plugin.report.network import NetworkFacts, network_facts
from cuckoo_ml_plugin.report.static import StaticFacts, static_facts
from cuckoo_ml_plugin.report.threat_scores import ThreatScore, threat_scores
from cuckoo_ml_plugin.report.values import hexadecimal, identifier, integer, items, mapping, mappings, text, texts

CUCKOO2: Final = "cuckoo2"
CAPE: Final = "cape"
_YEARS: Final = range(1970, 2100)  # any other year is the mistake of a clock


@dataclass(slots=True)
class ProcessFacts:
    """One process: its names and how it was started."""

    name: str
    path: str
    command_line: str


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
    strings: list[str]
    host_families: list[str]
    scans: dict[str, str]  # VirusTotal: engine -> its name for the sample
    threat_scores: tuple[ThreatScore, ...] = ()  # of its file, URLs, domains and addresses
    summary: Mapping[str, Any] | None = None  # operation, by the host's name -> names of files, keys, ...
    libraries: list[str] = field(default_factory=list)  # loaded ones, from CAPE's enhanced events
    processes: list[ProcessFacts] = field(default_factory=list)
    calls: CallLog = field(default_factory=CallLog)
    api_counts: dict[str, int] = field(default_factory=dict)  # Cuckoo's own count, over all processes
    users: set[str] = field(default_factory=set)
    computers: set[str] = field(default_factory=set)


def read_report(path: Path) -> Report:
    """Read a report file of either host. It is JSON or gzipped JSON, whatever its name.

    Raises:
        ReportError: one sentence that names the file, what is wrong with it and what to do.
    """
    path = Path(path)
    sections = load_sections(path)
    check_is_report(sections, path)
    return report_from_results(sections)


def report_from_results(results: Mapping[str, Any]) -> Report:
    """A report from the results that a host hands to its modules. Iterates each list of calls once. Never raises."""
    info = mapping(results.get("info"))
    target = mapping(results.get("target"))
    file = mapping(target.get("file"))
    report = Report(
        host=host_of(results),
        host_version=text(info.get("version"))[:40],
        task_id=identifier(info.get("id")),
        sha256=hexadecimal(file.get("sha256"), 64),
        target=text(file.get("name")) or text(target.get("url")),
        analysed_at=_time(info.get("started")),
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
        signatures=[name for entry in mappings(results.get("signatures")) if (name := text(entry.get("name")))],
        strings=texts(results.get("strings")) or texts(file.get("strings")),
        host_families=_families(results),
        scans=_scans(results.get("virustotal")) or _scans(file.get("virustotal")),
        threat_scores=threat_scores(results),
    )
    _read_behavior(report, mapping(results.get("behavior")))
    return report


def host_of(results: Mapping[str, Any]) -> str:
    """The host that made the report, judged by its contents: the version of CAPE 2.5 no longer names CAPE."""
    version = text(mapping(results.get("info")).get("version"))
    behavior = mapping(results.get("behavior"))
    is_cape = (
        version.upper().endswith("-CAPE")
        or "CAPE" in results
        or "malfamily_tag" in results
        or "enhanced" in behavior
        or "read_keys" in mapping(behavior.get("summary"))
    )
    return CAPE if is_cape else CUCKOO2


def _machine(value: Any) -> str:
    machine = mapping(value)
    return text(machine.get("label")) or text(machine.get("name")) or text(value)


def _time(value: Any) -> str | None:
    """The start of the analysis. CAPE writes text; Cuckoo writes seconds since 1970, and has a datetime in memory."""
    moment = None
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip()[:19].replace(" ", "T"))
        except ValueError:
            return None
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**34:
        moment = datetime.fromtimestamp(int(value), tz=timezone.utc)
    if moment is None or moment.year not in _YEARS:
        return None
    return moment.replace(tzinfo=None, microsecond=0).isoformat()


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
    for process in mappings(behavior.get("processes")):
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
            )
        )
        call_lists.append(process.get("calls"))
    report.calls = call_log(call_lists)
    for counts in mapping(behavior.get("apistats")).values():
        for api, value in mapping(counts).items():
            count = integer(value)
            if isinstance(api, str) and api and count:
                report.api_counts[api] = report.api_counts.get(api, 0) + count
    report.summary = _summary(behavior)
    report.libraries = _libraries(behavior.get("enhanced"))


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


def _libraries(enhanced: Any) -> list[str]:
    """The loaded libraries, from the events that CAPE derives from calls."""
    if not isinstance(enhanced, list):
        return []
    try:
        files = [event["data"]["file"] for event in enhanced if event["event"] == "load"]
    except (KeyError, TypeError, IndexError):
        loads = (event for event in mappings(enhanced) if event.get("event") == "load")
        files = [mapping(event.get("data")).get("file") for event in loads]
    return texts(files)
