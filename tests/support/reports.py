"""A small report of each host as a dictionary, and the real reports beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHA256 = "ab" * 32
CUCKOO_REPORT: dict[str, Any] = {
    "info": {"id": 210, "version": "2.0.7", "started": 1684975532.15, "owner": "soc", "machine": {"label": "win10"}},
    "target": {
        "category": "file",
        "file": {"name": "evil.exe", "sha256": SHA256, "size": 4096, "type": "PE32 executable"},
    },
    "behavior": {
        "processes": [
            {"process_name": "lsass.exe", "pid": 608, "track": False, "calls": []},
            {
                "process_name": "evil.exe",
                "process_path": "C:\\Users\\joe\\AppData\\Local\\Temp\\evil.exe",
                "track": True,
                "calls": [{"api": "NtOpenFile"}, {"api": "NtReadFile"}, {"api": "NtReadFile"}, {"api": "NtClose"}],
            },
        ],
        "apistats": {"4428": {"NtOpenFile": 1, "NtReadFile": 2, "NtClose": 1}},
        "summary": {
            "file_read": ["C:\\Users\\joe\\secret.txt"],
            "mutex": ["Local\\m"],
            "file_moved": [["C:\\a", "C:\\b"]],
        },
    },
    "network": {"hosts": ["8.8.8.8"], "domains": [{"domain": "evil.example", "ip": "8.8.8.8"}], "dns": [], "tcp": []},
    "signatures": [{"name": "raises_exception"}],
    "static": {
        "pe_imports": [{"dll": "KERNEL32.dll", "imports": [{"name": "CreateFileW"}]}],
        "pe_timestamp": "2016-04-02 23:16:33",
    },
    "dropped": [{"name": "ab_x.dll", "filepath": "C:\\Users\\joe\\x.dll", "type": "PE32 executable (DLL)"}],
    "strings": ["This program cannot be run in DOS mode"],
}
CAPE_REPORT: dict[str, Any] = {
    "info": {
        "id": 7,
        "version": "2.4-CAPE",
        "started": "2023-07-22 10:59:27",
        "machine": {"name": "win7"},
        "user_id": 3,
    },
    "target": {
        "category": "file",
        "file": {"name": "evil.exe", "sha256": SHA256, "size": 4096, "type": "PE32 executable"},
    },
    "CAPE": {"payloads": [], "configs": []},
    "behavior": {
        "processes": [
            {
                "process_name": "evil.exe",
                "module_path": "C:\\Users\\ann\\AppData\\Local\\Temp\\evil.exe",
                "environ": {"UserName": "ann", "ComputerName": "ANN-PC"},
                "calls": [{"api": "NtOpenFile"}, {"api": "NtReadFile"}, {"api": "NtReadFile"}, {"api": "NtClose"}],
            }
        ],
        "summary": {"read_files": ["C:\\Users\\ann\\secret.txt"], "mutexes": ["m"], "keys": [], "read_keys": []},
        "enhanced": [{"event": "load", "object": "library", "data": {"file": "kernel32", "pathtofile": None}}],
    },
    "network": {"hosts": [{"ip": "8.8.8.8"}], "domains": [{"domain": "evil.example", "ip": "8.8.8.8"}]},
    "signatures": [{"name": "raises_exception"}],
}


CASES = Path(__file__).resolve().parents[1] / "report" / "cases"


def case(name: str) -> dict[str, Any]:
    """A report of a rare kind, by the name of its file without an extension."""
    report: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return report


def written(folder: Path, report: Any, name: str = "report.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(report), encoding="utf-8")
    return path


def real_reports(shared_data: Path) -> list[Path]:
    return [
        *sorted((shared_data / "cape").glob("*.json.gz")),
        shared_data / "cuckoo2" / "210" / "reports" / "report.json",
    ]
