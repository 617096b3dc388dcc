"""Renders a `Run` as CAPEv2 would report it, in the format of version 2.4 or 2.2.

Between the two, the details of the PE file moved from `static.pe` to `target.file.pe` (and its imports became a
mapping), the strings moved into `target.file`, and `detections` became a list with details instead of a name.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from random import Random
from typing import Any

from cuckoo_ml_samples.malware.apis import APIS, Api
from cuckoo_ml_samples.malware.scans import overlooked, scan
from cuckoo_ml_samples.malware.signatures import SIGNATURES
from cuckoo_ml_samples.report_formats.threat_exchange import threat_intelligence
from cuckoo_ml_samples.run import ArgumentValue, Call, Flag, Network, PortableExecutable, Process, Run

_SUMMARY_KEYS = (
    "files",
    "read_files",
    "write_files",
    "delete_files",
    "keys",
    "read_keys",
    "write_keys",
    "delete_keys",
    "executed_commands",
    "resolved_apis",
    "mutexes",
    "created_services",
    "started_services",
)
_DIRECTORIES = (
    "EXPORT",
    "IMPORT",
    "RESOURCE",
    "EXCEPTION",
    "SECURITY",
    "BASERELOC",
    "DEBUG",
    "COPYRIGHT",
    "GLOBALPTR",
    "TLS",
    "LOAD_CONFIG",
    "BOUND_IMPORT",
    "IAT",
    "DELAY_IMPORT",
    "COM_DESCRIPTOR",
    "RESERVED",
)
# API -> event of CAPE's `Enhanced`, its object, and pairs of (name in the event, argument of the call)
_EVENTS: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "MoveFileWithProgressW": ("move", "file", (("from", "oldfilepath"), ("to", "newfilepath"))),
    "CopyFileW": ("copy", "file", (("from", "oldfilepath"), ("to", "newfilepath"))),
    "DeleteFileW": ("delete", "file", (("file", "filepath"),)),
    "CreateDirectoryW": ("create", "dir", (("file", "dirpath"),)),
    "RemoveDirectoryW": ("delete", "dir", (("file", "dirpath"),)),
    "URLDownloadToFileW": ("write", "file", (("file", "filepath"),)),
    "NtReadFile": ("read", "file", (("file", "filepath"),)),
    "NtWriteFile": ("write", "file", (("file", "filepath"),)),
    "CreateProcessInternalW": ("execute", "file", (("file", "command_line"),)),
    "ShellExecuteExW": ("execute", "file", (("file", "filepath"),)),
    "LdrLoadDll": (
        "load",
        "library",
        (("file", "module_name"), ("pathtofile", ""), ("moduleaddress", "module_address")),
    ),
    "FindWindowW": ("findwindow", "windowname", (("classname", "class_name"), ("windowname", "window_name"))),
    "RegSetValueExW": ("write", "registry", (("regkey", "regkey"), ("content", "value"))),
    "RegQueryValueExW": ("read", "registry", (("regkey", "regkey"), ("content", "value"))),
    "RegDeleteValueW": ("delete", "registry", (("regkey", "regkey"),)),
    "StartServiceW": ("start", "service", (("service", "service_name"),)),
}


def _text(value: ArgumentValue) -> str:
    if isinstance(value, Flag):
        return f"0x{value.value:08x}" if value.hexadecimal else str(value.value)
    return "" if value is None else str(value)


def _stamp(moment: datetime, seconds: float) -> str:
    time = moment + timedelta(seconds=seconds)
    return f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03d}"


def _arguments(api: Api, call: Call) -> list[dict[str, str]]:
    rendered = []
    for name, argument, constant in api.cape_arguments:
        if argument is None:
            rendered.append({"name": name, "value": constant})
            continue
        value = call.arguments.get(argument)
        entry = {"name": name, "value": _text(value)}
        if isinstance(value, Flag):
            entry["pretty_value"] = value.text
        rendered.append(entry)
    return rendered


def _calls(process: Process, started: datetime, rng: Random) -> list[dict[str, Any]]:
    """The calls as CAPE logs them: a call that repeats the previous one only raises its `repeated`."""
    rendered: list[dict[str, Any]] = []
    caller = f"0x{rng.randrange(0x400000, 0x500000):08x}"
    parent = f"0x{rng.randrange(0x400000, 0x500000):08x}"
    for call in process.calls:
        api = APIS[call.api]
        arguments = _arguments(api, call)
        if rendered and rendered[-1]["api"] == call.api and rendered[-1]["arguments"] == arguments:
            rendered[-1]["repeated"] += 1
            continue
        entry = {
            "timestamp": _stamp(started, call.seconds),
            "thread_id": str(call.thread),
            "caller": caller,
            "parentcaller": parent,
            "category": api.cape_category,
            "api": call.api,
            "status": call.succeeded,
            "return": f"0x{call.returned:08x}",
        }
        if call.returned == 0xC0000034:
            entry["pretty_return"] = "OBJECT_NAME_NOT_FOUND"
        rendered.append(entry | {"arguments": arguments, "repeated": 0, "id": len(rendered)})
    return rendered


def _environment(run: Run, process: Process) -> dict[str, str]:
    guest = run.guest
    return {
        "UserName": guest.user,
        "ComputerName": guest.computer,
        "WindowsPath": "C:\\Windows",
        "TempPath": guest.temp + "\\",
        "CommandLine": process.command_line,
        "RegisteredOwner": "",
        "RegisteredOrganization": "",
        "ProductName": "",
        "SystemVolumeSerialNumber": f"{guest.volume_guid[:4]}-{guest.volume_guid[4:8]}",
        "SystemVolumeGUID": guest.volume_guid,
        "MachineGUID": "",
    }


class _Summary:
    """CAPE's `Summary`: ordered lists without duplicates."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, None]] = {key: {} for key in _SUMMARY_KEYS}

    def _add(self, value: ArgumentValue, *keys: str) -> None:
        if value:
            for key in keys:
                self.values[key][str(value)] = None

    def add_call(self, call: Call) -> None:
        a, api = call.arguments, call.api
        if api == "NtCreateFile":
            access = a["desired_access"]
            mask = access.value if isinstance(access, Flag) else 0
            self._add(a["filepath"], "files", "write_files" if mask & 0x40000000 else "read_files")
        elif api == "DeleteFileW":
            self._add(a["filepath"], "files", "delete_files")
        elif api == "MoveFileWithProgressW":
            self._add(a["oldfilepath"], "files", "delete_files")
            self._add(a["newfilepath"], "files", "write_files")
        elif api == "CopyFileW":
            self._add(a["oldfilepath"], "files", "read_files")
            self._add(a["newfilepath"], "files", "write_files")
        elif api == "RegSetValueExW":
            self._add(a["regkey"], "keys", "write_keys")
        elif api in ("RegQueryValueExW", "NtQueryValueKey"):
            self._add(a["regkey"], "keys", "read_keys")
        elif api == "RegDeleteValueW":
            self._add(a["regkey"], "keys", "delete_keys")
        elif api in ("RegOpenKeyExW", "RegCreateKeyExW", "NtOpenKey"):
            self._add(a["regkey"], "keys")
        elif api == "CreateProcessInternalW":
            self._add(a["command_line"], "executed_commands")
        elif api == "ShellExecuteExW":
            self._add(f"{a['filepath']} {a['parameters']}".strip(), "executed_commands")
        elif api == "LdrGetProcedureAddress":
            self._add(f"{str(a['module']).lower()}.{a['function_name']}", "resolved_apis")
        elif api == "NtCreateMutant":
            self._add(a["mutant_name"], "mutexes")
        elif api == "CreateServiceW":
            self._add(a["service_name"], "created_services")
        elif api == "StartServiceW":
            self._add(a["service_name"], "started_services")
        elif APIS[api].cape_category == "filesystem":
            self._add(a.get("filepath") or a.get("dirpath"), "files")


def _enhanced(processes: list[Process], started: datetime) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for process in processes:
        for call in process.calls:
            rule = _EVENTS.get(call.api)
            if rule is not None:
                data = {name: _text(call.arguments.get(argument)) or None for name, argument in rule[2]}
                events.append(
                    {
                        "event": rule[0],
                        "object": rule[1],
                        "timestamp": _stamp(started, call.seconds),
                        "eid": len(events) + 1,
                        "data": data,
                    }
                )
    return events


def _tree(run: Run) -> list[dict[str, Any]]:
    nodes: dict[int, dict[str, Any]] = {}
    roots: list[dict[str, Any]] = []
    for process in run.processes:
        node: dict[str, Any] = {
            "name": process.name,
            "pid": process.pid,
            "parent_id": process.parent,
            "module_path": process.path,
            "children": [],
            "threads": [str(thread) for thread in process.threads],
            "environ": _environment(run, process),
        }
        parent = nodes.get(process.parent)
        nodes[process.pid] = node
        (roots if parent is None else parent["children"]).append(node)
    return roots


def _behavior(run: Run, rng: Random) -> dict[str, Any]:
    summary = _Summary()
    for process in run.processes:
        for call in process.calls:
            summary.add_call(call)
    processes = [
        {
            "process_id": process.pid,
            "process_name": process.name,
            "parent_id": process.parent,
            "module_path": process.path,
            "first_seen": _stamp(run.started, process.seconds),
            "calls": _calls(process, run.started, rng),
            "threads": [str(thread) for thread in process.threads],
            "environ": _environment(run, process),
        }
        for process in run.processes
    ]
    return {
        "processes": processes,
        "anomaly": [],
        "processtree": _tree(run),
        "summary": {key: list(values) for key, values in summary.values.items()},
        "enhanced": _enhanced(run.processes, run.started),
        "encryptedbuffers": [],
    }


def _signatures(run: Run) -> list[dict[str, Any]]:
    rendered = []
    for key, (pid, call_index) in run.signatures.items():
        signature = SIGNATURES[key]
        rendered.append(
            {
                "name": signature.cape,
                "description": signature.description,
                "severity": signature.severity,
                "weight": 1,
                "confidence": 100,
                "references": [],
                "data": [{"type": "call", "pid": pid, "cid": call_index}],
                "new_data": [],
                "alert": False,
                "families": [],
            }
        )
    return sorted(rendered, key=lambda entry: entry["severity"])


def _techniques(run: Run, *, old: bool) -> list[dict[str, Any]]:
    signatures = [SIGNATURES[key] for key in run.signatures if SIGNATURES[key].technique]
    if old:
        return [{"ttp": signature.technique, "signature": signature.cape} for signature in signatures]
    return [{"signature": signature.cape, "ttps": [signature.technique]} for signature in signatures]


def _characteristics(writable: bool, executable: bool) -> tuple[str, str]:
    number = 0x40000000 | (0x20000020 if executable else 0x40) | (0x80000000 if writable else 0)
    flags = ["IMAGE_SCN_CNT_CODE", "IMAGE_SCN_MEM_EXECUTE"] if executable else ["IMAGE_SCN_CNT_INITIALIZED_DATA"]
    flags.append("IMAGE_SCN_MEM_READ")
    if writable:
        flags.append("IMAGE_SCN_MEM_WRITE")
    return "|".join(flags), f"0x{number:08x}"


def _signers(pe: PortableExecutable) -> list[dict[str, Any]]:
    if pe.signer is None:
        return []
    name = pe.signer
    return [
        {
            "cn": name,
            "sn": "21267647932558653966460912964485513216",
            "not_before": "2015-01-01T00:00:00",
            "not_after": "2018-01-01T00:00:00",
            "issuer_commonName": "Example Code Signing CA",
            "issuer_countryName": "DE",
            "subject_commonName": name,
            "subject_countryName": "DE",
            "md5_fingerprint": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
            "sha1_fingerprint": hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(),
            "sha256_fingerprint": hashlib.sha256(name.encode()).hexdigest(),
        }
    ]


def _sections(pe: PortableExecutable) -> list[dict[str, Any]]:
    rendered = []
    raw = 0x400
    for section in pe.sections:
        flags, number = _characteristics(section.writable, section.executable)
        rendered.append(
            {
                "name": section.name,
                "raw_address": f"0x{raw:08x}",
                "virtual_address": f"0x{section.virtual_address:08x}",
                "virtual_size": f"0x{section.virtual_size:08x}",
                "size_of_data": f"0x{section.raw_size:08x}",
                "characteristics": flags,
                "characteristics_raw": number,
                "entropy": f"{section.entropy:.2f}",
            }
        )
        raw += section.raw_size
    return rendered


def _pe(pe: PortableExecutable, *, old: bool) -> dict[str, Any]:
    imports = [
        {
            "dll": library,
            "imports": [{"address": f"0x{0x41B000 + 4 * n:x}", "name": name} for n, name in enumerate(names)],
        }
        for library, names in pe.imports
    ]
    rendered: dict[str, Any] = {
        "guest_signers": {
            "aux_sha1": None,
            "aux_timestamp": None,
            "aux_valid": False,
            "aux_error": True,
            "aux_error_desc": "No signature found.",
            "aux_signers": [],
        },
        "digital_signers": _signers(pe),
        "imagebase": "0x00400000",
        "entrypoint": "0x00001288",
        "ep_bytes": "e8ec020000e97afeffff558beca11850",
        "peid_signatures": [pe.packer] if pe.packer else None,
        "reported_checksum": "0x00000000",
        "actual_checksum": "0x0003151d",
        "osversion": "6.0",
        "pdbpath": pe.pdb_path,
        "imports": imports if old else {str(entry["dll"]).rsplit(".", 1)[0]: entry for entry in imports},
        "exported_dll_name": None,
        "exports": [{"address": "0x401000", "name": name, "ordinal": 1} for name in pe.exports],
        "dirents": [
            {"name": f"IMAGE_DIRECTORY_ENTRY_{name}", "virtual_address": "0x00000000", "size": "0x00000000"}
            for name in _DIRECTORIES
        ],
        "sections": _sections(pe),
        "overlay": None,
        "resources": [
            {
                "name": r.name,
                "offset": f"0x{0x40118 + 64 * n:08x}",
                "size": f"0x{r.size:08x}",
                "filetype": r.filetype,
                "language": r.language,
                "sublanguage": r.sublanguage,
                "entropy": "3.10",
            }
            for n, r in enumerate(pe.resources)
        ],
        "versioninfo": [{"name": name, "value": value} for name, value in pe.version_info],
        "imphash": pe.imphash,
        "timestamp": pe.timestamp.strftime("%Y-%m-%d %H:%M:%S"),
        "icon": None,
        "icon_hash": None,
        "icon_fuzzy": None,
        "icon_dhash": None,
        "imported_dll_count": len(pe.imports),
    }
    if old:
        del rendered["ep_bytes"], rendered["icon_dhash"]
    return rendered


def _file(sha256: str, name: Any, path: str, guest_paths: Any, size: int, kind: str, *, old: bool) -> dict[str, Any]:
    digest = sha256.encode()
    rendered: dict[str, Any] = {
        "name": name,
        "path": path,
        "guest_paths": guest_paths,
        "size": size,
        "crc32": sha256[:8].upper(),
        "md5": hashlib.md5(digest, usedforsecurity=False).hexdigest(),
        "sha1": hashlib.sha1(digest, usedforsecurity=False).hexdigest(),
        "sha256": sha256,
        "sha512": hashlib.sha512(digest).hexdigest(),
        "rh_hash": None,
        "ssdeep": f"3072:{sha256[:40]}:{sha256[40:56]}",
        "type": kind,
        "yara": [],
        "cape_yara": [],
        "clamav": [],
        "tlsh": f"T1{sha256.upper()}",
        "sha3_384": hashlib.sha3_384(digest).hexdigest(),
        "data": None,
        "cape_type_code": 0,
        "cape_type": "",
    }
    if old:
        for key in ("rh_hash", "data", "cape_type_code", "cape_type"):
            del rendered[key]
        rendered |= {
            "entrypoint": 4744,
            "ep_bytes": "e8ec020000e97afeffff558beca11850",
            "timestamp": "2016-01-04 08:00:00",
        }
    return rendered


def _dropped(run: Run, storage: str, *, old: bool) -> list[dict[str, Any]]:
    return [
        _file(f.sha256, [f.path.rsplit("\\", 1)[-1]], f"{storage}/files/{f.sha256}", [f.path], f.size, f.type, old=old)
        | ({} if old else {"pid": ""})
        for f in run.dropped
    ]


def _payloads(run: Run, storage: str, *, old: bool) -> list[dict[str, Any]]:
    """The memory that CAPE saves when code appears in another process, or in newly allocated memory."""
    payloads = []
    for key, code, kind in (("injects", 4, "Injected Shellcode/Data"), ("packed", 8, "Unpacked Shellcode")):
        if key not in run.signatures:
            continue
        process = next(p for p in run.processes if p.pid == run.signatures[key][0])
        digest = hashlib.sha256(f"{key} {run.sample.sha256}".encode()).hexdigest()
        guest_path = f"{code};?{process.path};?{process.path};?"
        payload = _file(digest, digest, f"{storage}/CAPE/{digest}", guest_path, 163840, "data", old=old)
        payloads.append(
            payload
            | {
                "pid": process.pid,
                "process_path": process.path,
                "process_name": process.name,
                "module_path": process.path,
                "cape_type_code": code,
                "cape_type": kind,
            }
        )
    return payloads


def _network(run: Run, digest: str, rng: Random, *, old: bool) -> dict[str, Any]:
    network, source = run.network, run.guest.address
    names = {address: name for name, address in network.lookups.items() if address}
    addresses = sorted({address for address, _, _ in network.tcp})
    rendered: dict[str, Any] = {
        "pcap_sha256": digest,
        "hosts": [
            {"ip": a, "country_name": "unknown", "hostname": names.get(a, ""), "inaddrarpa": ""} for a in addresses
        ],
        "domains": [{"domain": name, "ip": address} for name, address in network.lookups.items()],
        "tcp": [
            {"src": source, "sport": 49160 + n, "dst": a, "dport": port, "offset": 9369 + 1300 * n, "time": 2.25 + n}
            for n, (a, port, _) in enumerate(network.tcp)
        ],
        "udp": [
            {
                "src": source,
                "sport": 137 + n % 2,
                "dst": "192.168.56.255",
                "dport": 137 + n % 2,
                "offset": 24 + 100 * n,
                "time": 0.5 * n,
            }
            for n in range(rng.randrange(2, 6))
        ],
        "icmp": [],
        "http": [
            {
                "count": 1,
                "host": r.host,
                "port": r.port,
                "uri": f"http://{r.host}{r.path}",
                "path": r.path,
                "method": r.method,
                "user-agent": r.user_agent,
                "version": "1.1",
                "body": r.body,
                "data": f"{r.method} {r.path} HTTP/1.1\r\nUser-Agent: {r.user_agent}\r\nHost: {r.host}\r\n\r\n{r.body}",
            }
            for r in network.requests
        ],
        "dns": [
            {"request": name, "type": "A", "answers": [{"type": "A", "data": address}] if address else []}
            for name, address in network.lookups.items()
        ],
        "smtp": [
            {"dst": a, "raw": f"EHLO {run.guest.computer}\r\nMAIL FROM:<{sender}>\r\n"} for a, sender in network.smtp
        ],
        "irc": [],
        "dead_hosts": [[address, port] for address, port, answered in network.tcp if not answered],
    }
    if old:
        rendered |= {
            "domainlookups": dict(network.lookups),
            "iplookups": names,
            "http_ex": [],
            "https_ex": [],
            "smtp_ex": [],
        }
    return rendered


def _suricata(network: Network, run: Run, task: int) -> dict[str, Any]:
    source = run.guest.address
    stamp = run.started.strftime("%Y-%m-%d %H:%M:%S.000000+0000")
    kinds = ("alerts", "tls", "perf", "files", "http", "dns", "ssh", "fileinfo")
    logs = ("alert", "tls", "http", "file", "ssh", "dns")
    rendered: dict[str, Any] = {kind: [] for kind in kinds}
    rendered["eve_log_full_path"] = f"/opt/CAPEv2/storage/analyses/{task}/logs/eve.json"
    rendered |= {f"{log}_log_full_path": None for log in logs}
    rendered["dns"] = [
        {
            "timestamp": run.started.strftime("%Y-%m-%dT%H:%M:%S.000000+0000"),
            "flow_id": 1182635193110000 + number,
            "pcap_cnt": number + 1,
            "event_type": "dns",
            "src_ip": source,
            "src_port": 51601,
            "dest_ip": "192.168.56.1",
            "dest_port": 53,
            "proto": "UDP",
            "dns": {"type": "query", "id": 40123 + number, "rrname": name, "rrtype": "A", "tx_id": 0, "opcode": 0},
        }
        for number, name in enumerate(network.lookups)
    ]
    rendered["tls"] = [
        {
            "srcport": 49200,
            "srcip": source,
            "dstport": port,
            "dstip": address,
            "timestamp": stamp,
            "version": "TLS 1.2",
            "sni": name,
            "ja3": {
                "hash": hashlib.md5(b"demo client hello", usedforsecurity=False).hexdigest(),
                "string": "771,49196-49195,0-5-10,29-23,0",
            },
            "ja3s": {},
        }
        for name, address, port in network.tls
    ]
    rendered["http"] = [
        {
            "srcport": 49201,
            "srcip": source,
            "dstport": r.port,
            "dstip": network.lookups.get(r.host, ""),
            "timestamp": stamp,
            "uri": r.path,
            "length": 2,
            "hostname": r.host,
            "status": r.status,
            "http_method": r.method,
            "contenttype": "text/html",
            "ua": r.user_agent,
            "referrer": "None",
        }
        for r in network.requests
    ]
    return rendered


def _virustotal(run: Run, family: str | None, rng: Random, *, new: bool) -> dict[str, Any]:
    scans = scan(run.sample, rng, family=family)
    if new:
        scans = overlooked(scans)
    positives = sum(entry.result is not None for entry in scans)
    digest = run.sample.sha256
    return {
        "scans": {
            entry.scanner: {
                "detected": entry.result is not None,
                "version": entry.version,
                "result": entry.result,
                "update": entry.update,
            }
            for entry in scans
        },
        "scan_id": f"{digest}-1463983200",
        "sha1": hashlib.sha1(digest.encode(), usedforsecurity=False).hexdigest(),
        "resource": digest,
        "response_code": 1,
        "scan_date": "2016-05-23 06:00:00",
        "permalink": f"https://www.example.com/file/{digest}/",
        "verbose_msg": "Scan finished, information embedded",
        "total": len(scans),
        "positives": positives,
        "sha256": digest,
        "md5": hashlib.md5(digest.encode(), usedforsecurity=False).hexdigest(),
        "results": [{"vendor": entry.scanner, "sig": entry.result} for entry in scans],
    }


def _statistics() -> dict[str, Any]:
    processing = ("CAPE", "AnalysisInfo", "BehaviorAnalysis", "Debug", "NetworkAnalysis", "Suricata", "UrlAnalysis")
    return {
        "processing": [{"name": name, "time": 0.01} for name in processing],
        "signatures": [{"name": signature.cape, "time": 0.0} for signature in SIGNATURES.values()],
        "reporting": [{"name": name, "time": 0.0} for name in ("BinGraph", "MITRE_TTPS", "ReportHTML")],
    }


def _detections(run: Run, family: str, *, old: bool) -> dict[str, Any]:
    name = family.capitalize()
    pids = {str(process.pid): [name] for process in run.processes[:1]}
    if old:
        return {"detections": name, "detections2pid": pids, "malfamily_tag": "Yara"}
    return {"detections": [{"family": name, "details": [{"Yara": run.sample.sha256}]}], "detections2pid": pids}


def _info(run: Run, task: int, *, old: bool) -> dict[str, Any]:
    ended = run.started + timedelta(seconds=run.duration)
    started_on, ended_on = run.started.strftime("%Y-%m-%d %H:%M:%S"), ended.strftime("%Y-%m-%d %H:%M:%S")
    info: dict[str, Any] = {
        "version": "2.2-CAPE" if old else "2.4-CAPE",
        "started": started_on,
        "ended": ended_on,
        "duration": run.duration,
        "id": task,
        "category": "file",
        "custom": "",
        "machine": {
            "id": task,
            "status": "stopping",
            "name": run.guest.machine,
            "label": run.guest.machine,
            "manager": "KVM",
            "started_on": started_on,
            "shutdown_on": ended_on,
        },
        "package": run.sample.package,
        "timeout": False,
        "shrike_url": None,
        "shrike_refer": None,
        "shrike_msg": None,
        "shrike_sid": None,
        "parent_id": None,
        "tlp": None,
        "parent_sample": {},
        "options": {},
        "source_url": None,
        "route": "",
        "user_id": 0,
    }
    if old:
        info["distributed"] = {}
    return info


def _debug(run: Run) -> dict[str, Any]:
    clock = run.started.strftime("%Y-%m-%d %H:%M:%S")
    lines = [
        f"{clock},031 [root] DEBUG: Starting analyzer from: C:\\tmp{run.sample.sha256[:7]}",
        f'{clock},062 [root] INFO: Analysis package "{run.sample.package}" has been specified',
    ]
    lines += [f"{clock},406 [root] INFO: Process with pid {p.pid} ({p.name}) has been monitored" for p in run.processes]
    return {"log": "\n".join([*lines, f"{clock},999 [root] INFO: Analysis completed."]), "errors": []}


def render(
    run: Run, task: int, *, label: str | None = None, scanned: bool = True, old: bool = False, new: bool = False
) -> dict[str, Any]:
    """The report of `run` with the task id `task`.

    Args:
        label: the family that rules and scanners name instead of the true one (for a sample with a wrong label).
        scanned: whether the report has a VirusTotal section.
        old: the format is that of CAPE 2.2 instead of 2.4.
        new: the file is so new that nearly all scanners still overlook it.
    """
    sample = run.sample
    rng = Random(f"cape {task} {sample.sha256}")
    family = label or sample.av_family
    digest = hashlib.sha256(f"{task} {sample.sha256}".encode()).hexdigest()
    storage = f"/opt/CAPEv2/storage/analyses/{task}"
    binary = f"/opt/CAPEv2/storage/binaries/{sample.sha256}"
    file = _file(sample.sha256, sample.file_name, binary, "", sample.size, sample.file_type, old=old)
    report: dict[str, Any] = {"statistics": _statistics(), "target": {"category": "file", "file": file}}
    if old:
        report["strings"] = list(sample.strings)
        if sample.pe is not None:
            report["static"] = {"pe": _pe(sample.pe, old=True)}
    else:
        file["strings"] = list(sample.strings)
        if sample.pe is not None:
            file["pe"] = _pe(sample.pe, old=False)
    if run.dropped:
        report["dropped"] = _dropped(run, storage, old=old)
    report["CAPE"] = {"payloads": _payloads(run, storage, old=old), "configs": []}
    report["procdump"] = []
    report["info"] = _info(run, task, old=old)
    report["behavior"] = _behavior(run, rng)
    report |= {"curtain": None, "debug": _debug(run), "deduplicated_shots": ["0001"]}
    report["network"] = _network(run, digest, rng, old=old) if run.processes else {}
    report["suricata"] = _suricata(run.network, run, task)
    report |= {"procmemory": [], "signatures": _signatures(run), "malscore": round(run.score, 1)}
    report["ttps"] = _techniques(run, old=old)
    if not old:
        report["url_analysis"] = {}
    if family is not None and (sample.detected or label is not None):
        report |= _detections(run, family, old=old)
    if scanned:
        report["virustotal"] = _virustotal(run, family, rng, new=new)
    intelligence = None if old else threat_intelligence(run)
    if intelligence:
        report["threatintelligence"] = intelligence
    return report
