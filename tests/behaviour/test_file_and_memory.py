"""A report file and a host's results in memory give the same behaviour, for every kind of token.

The results in memory hold everything. Of a file, only the keys in ``report/files/schema.py`` are decoded: code that
reads a new key finds it in the results at once, and in files only when the schema has it, too.
"""

from __future__ import annotations

import gzip
import json
import types
from collections import defaultdict
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
import pytest
from support.reports import CAPE_REPORT, CUCKOO_REPORT, case, written

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour, kind_of
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.behaviour.kinds import KINDS
from cuckoo_ml_plugin.report.files.schema import ReportSections, TracedBehavior
from cuckoo_ml_plugin.report.labels import labels_of
from cuckoo_ml_plugin.report.report import read_report, report_from_results
from cuckoo_ml_plugin.report.trace import is_trace
from cuckoo_ml_samples import generate

# What the sample analyses lack: kinds of tokens, and places in which only some versions of the hosts put a value.
CUCKOO_SUMMARY = {
    "file_exists": ["C:\\a.txt"],
    "directory_removed": ["C:\\folder"],
    "regkey_deleted": ["HKEY_CURRENT_USER\\Software\\a"],
    "service_created": ["helper"],
    "service_started": ["helper"],
    "wmi_query": ["SELECT * FROM Win32_Process"],
}
# What only CAPE has, in the shapes of its versions, and what Cuckoo has of it.
DUMPED_PE = {
    "imports": {"WS2_32": {"dll": "WS2_32.dll", "imports": [{"name": "connect"}]}},
    "sections": [{"name": ".text", "entropy": "6.1"}],
    "imphash": "CD" * 16,
    "versioninfo": [{"name": "CompanyName", "value": "Evil"}],
    "overlay": {"offset": "0x00002400", "size": "0x00000305"},
}
TLSH = "T1" + "2B9412" + "03B960E072E8C900B52AE97B39697CFD312A26D9E3FBC55F916A72FA91000000"
UNPACKED = {
    "cape_type_code": 4, "cape_type": "Injected Shellcode/Data", "type": "data", "process_name": "evil.exe",
    "process_path": "C:\\Temp\\evil.exe", "target_path": "C:\\Windows\\explorer.exe", "target_process": "explorer.exe",
    "target_pid": 77, "pid": "5", "tlsh": TLSH, "yara": [{"name": "shellcode_get_eip"}], "cape_yara": [],
}  # fmt: skip
EDGES = [
    {"process_id": 5, "parent_id": 1, "process_name": "evil.exe", "calls": []},
    {"process_id": 6, "parent_id": 5, "process_name": "cmd.exe", "calls": []},
]
RUN_KEY = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Run\\updater"
WRITE = {"event": "write", "object": "registry", "data": {"regkey": RUN_KEY, "content": "C:\\evil.exe /s"}}
OF_DUMPS: list[dict[str, Any]] = [
    CAPE_REPORT
    | {
        "CAPE": {"payloads": [UNPACKED | {"pe": DUMPED_PE}, UNPACKED | {"cape_type_code": None}], "configs": []},
        "procdump": [{"type": "PE32 executable", "process_path": "C:\\Windows\\explorer.exe", "pe": DUMPED_PE}],
        "behavior": {"processes": EDGES, "summary": {"read_keys": []}, "enhanced": [WRITE]},
        "ttps": [{"signature": "injection", "ttps": ["T1055.012"], "mbcs": ["B0001.032"]}],
        "network": {"icmp": [{"dst": "45.33.32.9", "type": 8}], "hosts": []},
        "target": {"file": {"pe": DUMPED_PE}},
        "signatures": [{"name": "injection", "severity": 3}],
    },
    CAPE_REPORT | {"ttps": [{"ttp": "T1055", "signature": "injection"}], "mbcs": {"injection": ["B0001"]}},
    CAPE_REPORT | {"ttps": {"T1055": "injection"}},
    CUCKOO_REPORT
    | {
        "procmemory": [
            {"pid": 5, "yara": [{"name": "shellcode"}], "extracted": [{"type": "PE32 executable", "yara": []}]}
        ],
        "buffer": [{"type": "data", "yara": [{"name": "embedded_win_api"}]}],
        "signatures": [{"name": "injection", "severity": 3, "ttp": {"T1055": {"short": "Process Injection"}}}],
        "behavior": {"processes": [{"pid": 5, "ppid": 1, "process_name": "evil.exe", "calls": []}]},
    },
]
SPARSE_PE = {"peid_signatures": ["UPX"]}
RARE_PLACES: list[dict[str, Any]] = [
    *OF_DUMPS,
    CUCKOO_REPORT | {"behavior": CUCKOO_REPORT["behavior"] | {"summary": CUCKOO_SUMMARY}},
    CUCKOO_REPORT | {"behavior": {"generic": [{"summary": CUCKOO_SUMMARY}]}, "static": SPARSE_PE},
    CAPE_REPORT | {"static": {"pe": SPARSE_PE}},
    CAPE_REPORT | {"target": {"file": {"pe": SPARSE_PE}}},
    CAPE_REPORT
    | {
        "static": {"peid_signatures": [], "digital_signers": [{"subject_commonName": "Joe"}]},
        "target": {"url": "http://evil.example/"},
        "dropped": [{"name": "a.txt", "sha256": "cd" * 32, "virustotal": {"positives": 3, "total": 60}}],
        "suricata": {"tls": [{"sni": "evil.example", "ja3": {"hash": "ef" * 16}}], "http": [{"hostname": "a.example"}]},
        "network": {
            "dns": [{"request": "evil.example", "answers": [{"type": "A", "data": "8.8.8.8"}]}],
            "http_ex": [{"method": "GET", "host": "evil.example", "path": "/a"}],
            "dead_hosts": [["9.9.9.9", 443]],
        },
    },
    CUCKOO_REPORT | {"static": {"pdf": [{"urls": ["http://evil.example/a"]}]}},
    CAPE_REPORT
    | {
        "target": {
            "file": {
                "pdf": {"All_URLs": ["http://evil.example/a"], "Annot_URLs": [], "JS_URLs": []},
                "office": {"Macro": {"Analysis": {"IOCs": [["URL", "http://evil.example/b"]]}}},
            }
        }
    },
    *(
        case(name)
        for name in ("cape_url", "cape_linux_strace", "cape_linux_tracee_only", "cuckoo2_linux", "cuckoo2_android")
    ),
    *(case(name) for name in ("cuckoo2_failed", "cape_static", "debug_only")),
]


@pytest.fixture(scope="module")
def results_of_hosts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Analyses as the hosts have them in memory: of the samples, and with what those lack."""
    results = list(RARE_PLACES)
    for analysis in generate(tmp_path_factory.mktemp("samples"), analyses=60).analyses:
        content = analysis.path.read_bytes()
        results.append(json.loads(gzip.decompress(content) if analysis.path.suffix == ".gz" else content))
    return results


def kinds_in(behaviours: list[Behaviour]) -> set[str]:
    return {kind_of(token) for behaviour in behaviours for token in behaviour.tokens}


def test_a_file_and_results_in_memory_give_the_same_tokens_of_every_kind(
    results_of_hosts: list[dict[str, Any]], tmp_path: Path
) -> None:
    from_results = [extract(report_from_results(results)) for results in results_of_hosts]
    from_files = [extract(read_report(written(tmp_path, results))) for results in results_of_hosts]
    for of_file, of_results in zip(from_files, from_results, strict=True):
        assert set(of_results.tokens) - set(of_file.tokens) == set(), "report/files/schema.py lacks a key"
        assert of_file == of_results
    assert set(KINDS) - kinds_in(from_files) == set(), "no analysis here has this kind of token: add one"
    assert kinds_in(from_results) == set(KINDS)


# -- the keys that are read --------------------------------------------------------------------------------------------
Keys = dict[Any, set[str]]  # by type of the schema


class RecordingDict(dict[str, Any]):
    """A part of a host's results that notes which of its keys are read, whether it has them or not."""

    def __init__(self, values: dict[str, Any], keys_read: set[str]) -> None:
        super().__init__(values)
        self.keys_read = keys_read

    def get(self, key: str, default: Any = None) -> Any:
        self.keys_read.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.keys_read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.keys_read.add(str(key))
        return super().__contains__(key)


def recording(value: Any, hint: Any, keys_read: Keys) -> Any:
    """``value``, which has the type ``hint`` in the schema, so that the keys that are read of it are noted."""
    if get_origin(hint) in (Union, types.UnionType):
        fitting = (option for option in get_args(hint) if isinstance(value, container(option)))
        return recording(value, next(fitting, Any), keys_read)
    if get_origin(hint) is list and isinstance(value, list):
        return [recording(entry, get_args(hint)[0], keys_read) for entry in value]
    if get_origin(hint) is dict and isinstance(value, dict):
        return {key: recording(entry, get_args(hint)[1], keys_read) for key, entry in value.items()}
    if keys_of(hint) and isinstance(value, dict):
        types_of_keys = get_type_hints(hint)
        values = {key: recording(entry, types_of_keys.get(key, Any), keys_read) for key, entry in value.items()}
        return RecordingDict(values, keys_read[hint])
    return value


def container(hint: Any) -> type:
    """The built-in type of what the schema decodes as ``hint``."""
    if keys_of(hint):
        return dict
    return get_origin(hint) or (hint if isinstance(hint, type) else object)


def keys_of(hint: Any) -> set[str]:
    """The keys of a type of the schema; none for any other type."""
    is_record = is_typeddict(hint) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct))
    return set(get_type_hints(hint)) if is_record else set()


def test_the_schema_of_files_has_exactly_the_keys_that_are_read(
    results_of_hosts: list[dict[str, Any]],
) -> None:
    keys_read: Keys = defaultdict(set)
    for results in results_of_hosts:
        recorded = recording(results, ReportSections, keys_read)
        if is_trace(results.get("behavior")):  # decoded a second time
            recorded["behavior"] = recording(results["behavior"], TracedBehavior, keys_read)
        report = report_from_results(recorded)
        extract(report)
        labels_of(report)
    assert len(keys_read) >= 25, "the results reach too few types of the schema"
    missing = {f"{hint.__name__}: {key}" for hint, keys in keys_read.items() for key in keys - keys_of(hint)}
    assert missing == set(), "read from a host's results, but missing from the schema of files"
    unread = {f"{hint.__name__}: {key}" for hint, keys in keys_read.items() for key in keys_of(hint) - keys}
    assert unread == set(), "in the schema of files, but never read"
