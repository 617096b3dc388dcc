"""Renders a `Run` as Cuckoo 2.0.7 would report it.

The format follows the processing modules of Cuckoo 2.0.7 (`cuckoo/processing/*.py`); arguments are named as in its
monitor.
"""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

from cuckoo_ml_samples.malware.apis import APIS
from cuckoo_ml_samples.malware.scans import scan
from cuckoo_ml_samples.malware.signatures import SIGNATURES
from cuckoo_ml_samples.run import Call, Flag, HttpRequest, Network, PortableExecutable, Process, Run

# API -> (category of the summary, argument of the call)
_SUMMARY = {
    "NtReadFile": ("file_read", "filepath"),
    "NtWriteFile": ("file_written", "filepath"),
    "DeleteFileW": ("file_deleted", "filepath"),
    "FindFirstFileExW": ("directory_enumerated", "filepath"),
    "CreateDirectoryW": ("directory_created", "dirpath"),
    "RemoveDirectoryW": ("directory_removed", "dirpath"),
    "LdrLoadDll": ("dll_loaded", "module_name"),
    "RegOpenKeyExW": ("regkey_opened", "regkey"),
    "RegCreateKeyExW": ("regkey_opened", "regkey"),
    "RegDeleteValueW": ("regkey_deleted", "regkey"),
    "RegQueryValueExW": ("regkey_read", "regkey"),
    "NtQueryValueKey": ("regkey_read", "regkey"),
    "RegSetValueExW": ("regkey_written", "regkey"),
    "InternetConnectA": ("connects_host", "hostname"),
    "InternetOpenUrlA": ("fetches_url", "url"),
    "DnsQuery_A": ("resolves_host", "hostname"),
    "GetAddrInfoW": ("resolves_host", "hostname"),
    "connect": ("connects_ip", "ip_address"),
    "NtCreateMutant": ("mutex", "mutant_name"),
    "CreateProcessInternalW": ("command_line", "command_line"),
}
_OPENED = {"FILE_CREATED": "file_created", "FILE_OPENED": "file_opened", "FILE_DOES_NOT_EXIST": "file_failed"}
_GATEWAY = "192.168.56.1"


def summary_of(call: Call) -> Iterator[tuple[str, Any]]:
    """The summary entries (category, value) that Cuckoo's `BehaviorReconstructor` makes of a call."""
    arguments = call.arguments
    rule = _SUMMARY.get(call.api)
    if rule is not None:
        yield rule[0], arguments[rule[1]]
    elif call.api == "NtCreateFile":
        status = arguments["status_info"]
        yield _OPENED[status.text if isinstance(status, Flag) else ""], arguments["filepath"]
    elif call.api == "MoveFileWithProgressW":
        yield "file_moved", (arguments["oldfilepath"], arguments["newfilepath"])
    elif call.api == "CopyFileW":
        yield "file_copied", (arguments["oldfilepath"], arguments["newfilepath"])
    elif call.api == "ShellExecuteExW":
        parameters = arguments["parameters"]
        yield "command_line", f"{arguments['filepath']} {parameters}" if parameters else arguments["filepath"]
    elif call.api == "CoCreateInstance":
        yield "guid", arguments["clsid"]
        yield "guid", arguments["iid"]
    elif call.api == "URLDownloadToFileW":
        yield "downloads_file", arguments["url"]
        yield "file_opened", arguments["filepath"]
        yield "file_written", arguments["filepath"]


def _summary(calls: list[Call], rng: Random) -> dict[str, list[Any]]:
    """The summary of the calls. Its lists are shuffled, because Cuckoo makes them from sets."""
    values_of: dict[str, dict[Any, None]] = {}
    for call in calls:
        for category, value in summary_of(call):
            values_of.setdefault(category, {})[value] = None
    summary = {}
    for category, values in values_of.items():
        items = list(values)
        rng.shuffle(items)
        summary[category] = items
    return summary


def _call(call: Call, start: float) -> dict[str, Any]:
    flags = {}
    arguments: dict[str, Any] = {}
    for name, value in call.arguments.items():
        if isinstance(value, Flag):
            flags[name] = value.text
            arguments[name] = f"0x{value.value:08x}" if value.hexadecimal and "access" in name else value.value
        else:
            arguments[name] = value
    rendered: dict[str, Any] = {
        "category": APIS[call.api].cuckoo2_category,
        "status": int(call.succeeded),
        "stacktrace": [],
    }
    if not call.succeeded:
        rendered["last_error"] = 2
        rendered["nt_status"] = -1073741772
    rendered |= {
        "api": call.api,
        "return_value": call.returned,
        "arguments": arguments,
        "time": round(start + call.seconds, 6),
        "tid": call.thread,
        "flags": flags,
    }
    return rendered


_MODULES = (
    "ntdll.dll",
    "kernel32.dll",
    "KERNELBASE.dll",
    "USER32.dll",
    "GDI32.dll",
    "msvcrt.dll",
    "ADVAPI32.dll",
    "ole32.dll",
)


def _process(process: Process, start: float) -> dict[str, Any]:
    base = 0x00400000
    modules = [{"basename": process.name, "imgsize": 573440, "baseaddr": f"0x{base:x}", "filepath": process.path}]
    for number, name in enumerate(_MODULES):
        address = f"0x{0x77000000 - number * 0x100000:x}"
        modules.append(
            {"basename": name, "imgsize": 1000000, "baseaddr": address, "filepath": f"C:\\Windows\\system32\\{name}"}
        )
    return {
        "process_path": process.path,
        "calls": [_call(call, start) for call in process.calls] if process.tracked else [],
        "track": process.tracked,
        "pid": process.pid,
        "process_name": process.name,
        "command_line": process.command_line,
        "modules": modules,
        "time": 0,
        "tid": process.threads[0],
        "first_seen": round(start + process.seconds, 6),
        "ppid": process.parent,
        "type": "process",
    }


def _tree(processes: list[Process], start: float) -> list[dict[str, Any]]:
    nodes: dict[int, dict[str, Any]] = {}
    roots: list[dict[str, Any]] = []
    for process in processes:
        node = {
            "track": process.tracked,
            "pid": process.pid,
            "process_name": process.name,
            "command_line": process.command_line,
            "first_seen": round(start + process.seconds, 6),
            "ppid": process.parent,
            "children": [],
        }
        parent = nodes.get(process.parent)
        nodes[process.pid] = node
        (roots if parent is None else parent["children"]).append(node)
    return roots


def _behavior(run: Run, start: float, rng: Random) -> dict[str, Any]:
    if not run.processes:
        return {"generic": [], "apistats": {}, "processes": [], "processtree": [], "summary": {}}
    apistats: dict[str, dict[str, int]] = {}
    for process in run.processes:
        if process.tracked and process.calls:
            counts = apistats.setdefault(str(process.pid), {})
            for call in process.calls:
                counts[call.api] = counts.get(call.api, 0) + 1
    generic = [
        {
            "process_path": process.path,
            "process_name": process.name,
            "pid": process.pid,
            "summary": _summary(process.calls, rng) if process.tracked else {},
            "first_seen": round(start + process.seconds, 6),
            "ppid": process.parent,
        }
        for process in run.processes
    ]
    calls = [call for process in run.processes if process.tracked for call in process.calls]
    return {
        "generic": generic,
        "apistats": apistats,
        "processes": [_process(process, start) for process in run.processes],
        "processtree": _tree(run.processes, start),
        "summary": _summary(calls, rng),
    }


def _signatures(run: Run) -> list[dict[str, Any]]:
    rendered = []
    for key, (pid, call_index) in run.signatures.items():
        signature = SIGNATURES[key]
        ttp = (
            {signature.technique: {"short": signature.key, "long": signature.description}}
            if signature.technique
            else {}
        )
        rendered.append(
            {
                "families": [],
                "description": signature.description,
                "severity": signature.severity,
                "ttp": ttp,
                "markcount": 1,
                "references": [],
                "marks": [{"pid": pid, "cid": call_index, "type": "generic"}],
                "name": signature.cuckoo2,
            }
        )
    return sorted(rendered, key=lambda entry: entry["severity"])


def _static(pe: PortableExecutable) -> dict[str, Any]:
    address = 0x41B000
    return {
        "pdb_path": pe.pdb_path,
        "pe_imports": [
            {
                "imports": [{"name": name, "address": hex(address + 4 * n)} for n, name in enumerate(names)],
                "dll": library,
            }
            for library, names in pe.imports
        ],
        "peid_signatures": [pe.packer] if pe.packer else None,
        "keys": [],
        "signature": [
            {
                "serial_number": "0f" * 16,
                "common_name": pe.signer,
                "country": "DE",
                "locality": "Berlin",
                "organization": pe.signer,
                "email": None,
                "sha1": hashlib.sha1(pe.signer.encode(), usedforsecurity=False).hexdigest(),
                "md5": hashlib.md5(pe.signer.encode(), usedforsecurity=False).hexdigest(),
            }
        ]
        if pe.signer
        else [],
        "pe_timestamp": pe.timestamp.strftime("%Y-%m-%d %H:%M:%S"),
        "pe_exports": [{"address": "0x401000", "name": name, "ordinal": 1} for name in pe.exports],
        "imported_dll_count": len(pe.imports),
        "pe_imphash": pe.imphash,
        "pe_resources": [
            {
                "name": r.name,
                "language": r.language,
                "filetype": r.filetype,
                "sublanguage": r.sublanguage,
                "offset": f"0x{0x40118 + 64 * n:08x}",
                "size": f"0x{r.size:08x}",
            }
            for n, r in enumerate(pe.resources)
        ],
        "pe_versioninfo": [{"name": name, "value": value} for name, value in pe.version_info],
        "pe_sections": [
            {
                "size_of_data": f"0x{s.raw_size:08x}",
                "virtual_address": f"0x{s.virtual_address:08x}",
                "entropy": s.entropy,
                "name": s.name,
                "virtual_size": f"0x{s.virtual_size:08x}",
            }
            for s in pe.sections
        ],
    }


def _file(sha256: str, name: str, path: str, size: int, kind: str) -> dict[str, Any]:
    """The entry of Cuckoo's `File.get_all()`. No file exists, so the other hashes are made from the SHA-256."""
    digest = sha256.encode()
    return {
        "yara": [],
        "sha1": hashlib.sha1(digest, usedforsecurity=False).hexdigest(),
        "name": name,
        "type": kind,
        "sha256": sha256,
        "urls": [],
        "crc32": sha256[:8].upper(),
        "path": path,
        "ssdeep": None,
        "size": size,
        "sha512": hashlib.sha512(digest).hexdigest(),
        "md5": hashlib.md5(digest, usedforsecurity=False).hexdigest(),
    }


def _dropped(run: Run, storage: str) -> list[dict[str, Any]]:
    return [
        {
            **_file(
                f.sha256,
                f"{f.sha256[:16]}_{f.path.rsplit(chr(92), 1)[-1]}",
                f"{storage}/files/{f.sha256[:16]}",
                f.size,
                f.type,
            ),
            "pids": [f.pid],
            "filepath": f.path,
        }
        for f in run.dropped
    ]


def _http(request: HttpRequest) -> dict[str, Any]:
    port = "" if request.port == 80 else f":{request.port}"
    head = (
        f"{request.method} {request.path} HTTP/1.1\r\nUser-Agent: {request.user_agent}\r\nHost: {request.host}\r\n\r\n"
    )
    return {
        "count": 1,
        "host": request.host,
        "port": request.port,
        "data": head + request.body,
        "uri": f"http://{request.host}{port}{request.path}",
        "body": request.body,
        "path": request.path,
        "user-agent": request.user_agent,
        "version": "1.1",
        "method": request.method,
    }


def _http_ex(request: HttpRequest, network: Network, source: str) -> dict[str, Any]:
    head = f"{request.method} {request.path} HTTP/1.1\r\nUser-Agent: {request.user_agent}\r\nHost: {request.host}"
    return {
        "src": source,
        "dst": network.lookups.get(request.host, ""),
        "sport": 49200,
        "dport": request.port,
        "protocol": "http",
        "method": request.method,
        "host": request.host,
        "uri": request.path,
        "status": request.status,
        "request": head,
        "response": "HTTP/1.1 200 OK\r\nContent-Length: 2",
        "md5": None,
        "sha1": None,
        "path": None,
        "req": {},
        "resp": {},
    }


def _network(run: Run, sample_digest: str, rng: Random) -> dict[str, Any]:
    network, source = run.network, run.guest.address
    connections = []
    for number, (address, port, _) in enumerate(network.tcp):
        connections.append(
            {
                "src": source,
                "dst": address,
                "offset": 27132 + 1270 * number,
                "time": 10.5 + number,
                "dport": port,
                "sport": 49160 + number,
            }
        )
    broadcasts = [
        {
            "src": source,
            "dst": "192.168.56.255",
            "offset": 546 + 100 * n,
            "time": 0.5 + n,
            "dport": 137 + n % 2,
            "sport": 137 + n % 2,
        }
        for n in range(rng.randrange(2, 6) if run.processes else 0)
    ]
    hosts = sorted({address for address, _, _ in network.tcp})
    return {
        "tls": [],
        "udp": broadcasts,
        "dns_servers": [_GATEWAY],
        "http": [_http(request) for request in network.requests],
        "icmp": [],
        "smtp": [
            {"dst": address, "raw": f"EHLO {run.guest.computer}\r\nMAIL FROM:<{sender}>\r\n"}
            for address, sender in network.smtp
        ],
        "tcp": connections,
        "smtp_ex": [],
        "mitm": [],
        "hosts": hosts,
        "pcap_sha256": sample_digest,
        "dns": [
            {"type": "A", "request": name, "answers": [{"type": "A", "data": address}] if address else []}
            for name, address in network.lookups.items()
        ],
        "http_ex": [_http_ex(request, network, source) for request in network.requests],
        "domains": [{"ip": address, "domain": name} for name, address in network.lookups.items()],
        "dead_hosts": [[address, port] for address, port, answered in network.tcp if not answered],
        "sorted_pcap_sha256": sample_digest[::-1],
        "irc": [],
        "https_ex": [
            {**_http_ex(HttpRequest("GET", name, port, "/", ""), network, source), "protocol": "https"}
            for name, _, port in network.tls
        ],
    }


def _suricata(run: Run) -> dict[str, Any]:
    tls = [
        {
            "src_ip": run.guest.address,
            "src_port": 49200,
            "dst_ip": address,
            "dst_port": port,
            "timestamp": "2016-05-23T09:01:00+0000",
            "fingerprint": ":".join(["5a"] * 20),
            "issuer": f"CN={name}",
            "version": "TLS 1.0",
            "subject": f"CN={name}",
        }
        for name, address, port in run.network.tls
    ]
    return {"files": [], "http": [], "tls": tls, "alerts": []}


def _virustotal(run: Run, family: str | None, rng: Random) -> dict[str, Any]:
    scans = scan(run.sample, rng, family=family)
    positives = sum(entry.result is not None for entry in scans)
    link = f"https://www.example.com/file/{run.sample.sha256}/analysis/"
    normalized = [family.capitalize()] if family else []
    return {
        "summary": {"positives": positives, "permalink": link, "scan_date": "2016-05-23 06:00:00"},
        "scans": {
            entry.scanner.replace(".", "_"): {
                "detected": entry.result is not None,
                "version": entry.version,
                "result": entry.result,
                "update": entry.update,
                "normalized": normalized if entry.result and family and family in entry.result.lower() else [],
            }
            for entry in scans
        },
        "normalized": normalized,
        "scan_id": f"{run.sample.sha256}-1463983200",
        "resource": run.sample.sha256,
        "response_code": 1,
        "scan_date": "2016-05-23 06:00:00",
        "permalink": link,
        "verbose_msg": "Scan finished, information embedded",
        "total": len(scans),
        "positives": positives,
        "sha256": run.sample.sha256,
    }


def _debug(run: Run, task: int, rng: Random) -> dict[str, Any]:
    clock = run.started.strftime("%Y-%m-%d %H:%M:%S")
    pipe = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=20))
    log = [
        f"{clock},015 [analyzer] DEBUG: Starting analyzer from: C:\\tmp{pipe[:6].lower()}\n",
        f"{clock},015 [analyzer] DEBUG: Pipe server name: \\??\\PIPE\\{pipe}\n",
    ]
    log += [
        f"{clock},546 [analyzer] DEBUG: Started auxiliary module {m}\n" for m in ("Disguise", "Human", "Screenshots")
    ]
    log += [
        f"{clock},921 [analyzer] INFO: Injected into process with pid {p.pid} and name '{p.name}'\n"
        for p in run.processes
    ]
    log.append(f"{clock},999 [analyzer] INFO: Analysis completed.\n")
    cuckoo = [
        f"{clock},100 [cuckoo.core.scheduler] INFO: Task #{task}: acquired machine {run.guest.machine}\n",
        f"{clock},900 [cuckoo.core.guest] INFO: {run.guest.machine}: analysis completed successfully\n",
    ]
    return {"action": ["gatherer"], "dbgview": [], "errors": [], "log": log, "cuckoo": cuckoo}


def render(run: Run, task: int, *, label: str | None = None, scanned: bool = True) -> dict[str, Any]:
    """The report of `run` with the task id `task`.

    Args:
        label: the family that scanners name instead of the true one (for a sample with a wrong label).
        scanned: whether the report has a VirusTotal section.
    """
    sample, guest = run.sample, run.guest
    rng = Random(f"cuckoo2 {task} {sample.sha256}")
    start = calendar.timegm(run.started.timetuple()) + 0.25
    ended = run.started + timedelta(seconds=run.duration)
    storage = f"/home/cuckoo/.cuckoo/storage/analyses/{task}"
    report: dict[str, Any] = {
        "info": {
            "added": start - 1.5,
            "started": start,
            "duration": run.duration,
            "ended": start + run.duration,
            "owner": None,
            "score": round(run.score, 1),
            "id": task,
            "category": "file",
            "git": {"head": "0" * 40, "fetch_head": "0" * 40},
            "monitor": "0" * 40,
            "package": sample.package,
            "route": "none",
            "custom": None,
            "machine": {
                "status": "stopped",
                "name": guest.machine,
                "label": guest.machine,
                "manager": "VirtualBox",
                "started_on": run.started.strftime("%Y-%m-%d %H:%M:%S"),
                "shutdown_on": ended.strftime("%Y-%m-%d %H:%M:%S"),
            },
            "platform": "windows",
            "version": "2.0.7",
            "options": "procmemdump=yes,route=none",
        },
        "signatures": _signatures(run),
        "target": {
            "category": "file",
            "file": _file(
                sample.sha256,
                sample.file_name,
                f"/home/cuckoo/.cuckoo/storage/binaries/{sample.sha256}",
                sample.size,
                sample.file_type,
            ),
        },
        "static": {} if sample.pe is None else _static(sample.pe),
    }
    if run.dropped:
        report["dropped"] = _dropped(run, storage)
    if scanned:
        report["virustotal"] = _virustotal(run, label or sample.av_family, rng)
    report["behavior"] = _behavior(run, start, rng)
    if run.network.tls:
        report["suricata"] = _suricata(run)
    report["debug"] = _debug(run, task, rng)
    report["strings"] = list(sample.strings)
    digest = hashlib.sha256(f"{task} {sample.sha256}".encode()).hexdigest()
    report["network"] = _network(run, digest, rng)
    report["metadata"] = {"output": {"pcap": {"basename": "dump.pcap", "sha256": digest, "dirname": ""}}}
    return report
