"""What only the hosts' memory dumps, process trees and techniques tell becomes tokens, and no family's name does."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from support.reports import CAPE_REPORT, CUCKOO_REPORT

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour, kind_of, value_of
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.report.report import report_from_results

# Digests by the authors' library: of a program, of it with 2 % of its bytes changed (distance 9), of another (229).
PROGRAM = "T18CE34A07B69314FDC692857095AB96627E3078644721BF3B7A8CA7342F16F306F0AB71"
CHANGED = "T144E35B07B69314FDC2928571D5AB96627A3078644721BF3B7A8CA7342F16F346F0AB70"
ANOTHER = "T1A1B42A06B5E214FCC0A6C93046ABD5727D71B4A452227E7F3484FA702E56E341F6FBA2"
DLL = "PE32 executable (DLL) (GUI) Intel 80386, for MS Windows"
TEMP = "C:\\Temp\\"
SYSTEM = "C:\\Windows\\System32\\"


def cape(**sections: Any) -> Behaviour:
    return extract(report_from_results(CAPE_REPORT | sections))


def values(behaviour: Behaviour, kind: str) -> list[str]:
    return [value_of(token) for token in behaviour.tokens if kind_of(token) == kind]


def payload(**fields: Any) -> dict[str, Any]:
    return {"cape_type_code": 8, "cape_type": "", "type": DLL, "process_path": "C:\\Temp\\evil.exe", "pid": 5} | fields


def test_no_familys_name_becomes_a_token() -> None:
    with (files("avclass") / "data" / "default.taxonomy").open(encoding="utf-8") as taxonomy:
        families = [line.strip().rpartition(":")[2] for line in taxonomy if line.startswith("FAM")]
    assert len(families) > 2_000
    rules = [{"name": name} for name in (*families, "win_qakbot_auto", "QakBot_Shellcode", "shellcode_get_eip")]
    own = payload(
        cape_type="QakBot Payload: 32-bit DLL", yara=rules, cape_yara=[{"name": "QakBot"}, {"name": "Injection"}]
    )
    unnumbered = payload(cape_type="Emotet Payload: 32-bit DLL", cape_type_code=None)
    named = payload(yara=[{"name": "inject_thread"}, {"name": "hidden_window"}])
    behaviour = cape(CAPE={"payloads": [own, unnumbered, named]}, detections="HiddenWindow")
    assert values(behaviour, "payload") == ["payload: 32-bit dll", "unpacked pe image: 32-bit dll"]
    assert values(behaviour, "dump_yara") == ["inject_thread", "shellcode_get_eip"], (
        "the host calls a family HiddenWindow"
    )


def test_near_fuzzy_hashes_share_tokens_and_far_ones_do_not() -> None:
    first, near, far = (
        set(values(cape(CAPE={"payloads": [payload(tlsh=digest)]}), "dump_fuzzy"))
        for digest in (PROGRAM, CHANGED, ANOTHER)
    )
    assert len(first) == 10
    assert len(first & near) >= 5
    assert not first & far
    old = values(cape(CAPE={"payloads": [payload(tlsh=PROGRAM.removeprefix("T1"))]}), "dump_fuzzy")
    assert set(old) == first, "CAPE 2.2 writes the digest without its version"
    assert not values(cape(CAPE={"payloads": [payload(tlsh="TNULL")]}), "dump_fuzzy")
    pages = [payload(type="data", cape_type_code=9, tlsh=PROGRAM, pid=pid) for pid in range(30)]
    assert not values(cape(CAPE={"payloads": pages}), "dump_fuzzy"), "a compiler at run time makes so many"


def test_unpacked_images_are_taken_apart_and_windows_own_are_not() -> None:
    pe = {
        "imports": [{"dll": "WS2_32.dll", "imports": [{"name": "connect"}]}],
        "sections": [{"name": ".evil", "entropy": "7.9"}],
        "imphash": "AB" * 16,
    }
    microsoft = {"versioninfo": [{"name": "CompanyName", "value": "Microsoft Corporation"}], "imphash": "CD" * 16}
    dumped = cape(
        procdump=[
            {
                "type": DLL,
                "process_path": SYSTEM + "svchost.exe",
                "pid": 6,
                "pe": microsoft | {"sections": pe["sections"]},
            },
            {"type": DLL, "process_path": SYSTEM + "cmd.exe", "pid": 7, "tlsh": PROGRAM},
        ]
    )
    assert not any(kind_of(token).startswith("dump_") for token in dumped.tokens)
    hollowed = cape(procdump=[{"type": DLL, "process_path": SYSTEM + "svchost.exe", "pid": 6, "pe": pe}])
    unpacked = cape(CAPE={"payloads": [payload(pe=pe)]})
    for behaviour in (hollowed, unpacked):
        assert values(behaviour, "dump_import") == ["ws2_32.dll!connect"]
        assert values(behaviour, "dump_section") == [".evil packed"]
        assert values(behaviour, "dump_imphash") == ["ab" * 16]


def test_a_process_with_injected_code_is_the_samples() -> None:
    def process(pid: int, parent: int, name: str, *calls: str) -> dict[str, Any]:
        path = f"{TEMP if name == 'evil.exe' else SYSTEM}{name}"
        called = [{"api": call} for call in calls]
        return {"process_id": pid, "parent_id": parent, "process_name": name, "module_path": path, "calls": called}

    watched = [
        process(5, 1, "evil.exe", "NtOpenProcess", "NtWriteVirtualMemory"),
        process(20, 2, "svchost.exe", "NtInjected", "NtClose"),
        process(21, 20, "rundll32.exe", "NtStarted", "NtClose"),
    ]
    behavior = {"processes": watched, "summary": {"read_keys": []}}
    injected = payload(cape_type_code=4, type="data", target_path=SYSTEM + "svchost.exe", target_pid=20)
    behaviour = cape(behavior=behavior, CAPE={"payloads": [injected, injected | {"target_path": "k", "pid": 9}]})
    assert values(behaviour, "injection") == ["%sample%>svchost.exe"]
    assert values(behaviour, "payload") == ["injected shellcode/data"]
    assert "NtInjected" in values(behaviour, "api")
    assert values(behaviour, "child_process") == ["svchost.exe>rundll32.exe"]
    assert "NtInjected" not in values(cape(behavior=behavior), "api")


@pytest.mark.parametrize(
    "sections",
    [
        {"ttps": {"T1055.012": "injection"}, "mbcs": {"injection": ["B0001.032"]}},
        {"ttps": [{"ttp": "T1055.012", "signature": "injection"}], "mbcs": {"injection": ["B0001.032"]}},
        {"ttps": [{"signature": "injection", "ttps": ["T1055.012"], "mbcs": ["B0001.032", "not an id"]}]},
    ],
    ids=["CAPE 2.2", "CAPE 2.4", "CAPE 2.5"],
)
def test_each_version_of_cape_gives_the_same_techniques(sections: dict[str, Any]) -> None:
    behaviour = cape(**sections)
    assert (values(behaviour, "technique"), values(behaviour, "mbc")) == (["T1055.012"], ["B0001.032"])


def test_cuckoo_gives_what_it_has_of_these() -> None:
    results = CUCKOO_REPORT | {
        "signatures": [{"name": "injection_runpe", "severity": 5, "ttp": {"T1055": {"short": "Process Injection"}}}],
        "procmemory": [{"pid": 5, "yara": [{"name": "shellcode"}], "extracted": [{"type": "PE32+ executable"}]}],
        "buffer": [{"type": "data", "yara": [{"name": "embedded_win_api"}, {"name": "Emotet"}]}],
        "network": {"icmp": [{"type": 8}, {"type": 8}], "tcp": [{"dst": "45.33.32.9", "dport": 80}], "udp": []},
        "behavior": {
            "processes": [
                {"process_name": "evil.exe", "pid": 5, "ppid": 1, "track": True},
                {"process_name": "cmd.exe", "pid": 6, "ppid": 5, "track": True},
            ]
        },
    }
    behaviour = extract(report_from_results(results))
    assert values(behaviour, "technique") == ["T1055"]
    assert values(behaviour, "payload") == ["buffer", "image in memory: 64-bit executable"]
    assert values(behaviour, "dump_yara") == ["embedded_win_api", "shellcode"]
    assert values(behaviour, "child_process") == ["%sample%>cmd.exe"]
    counts = behaviour.counts
    assert (counts["signature_severity"], counts["icmp_messages"], counts["flows"]) == (5, 2, 1)


def test_values_are_kept_where_they_tell_what_windows_will_start() -> None:
    def write(key: str, content: str) -> dict[str, Any]:
        return {"event": "write", "object": "registry", "data": {"regkey": key, "content": content}}

    current = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\"
    events = [
        write(current + "Run\\updater", '"C:\\Users\\ann\\AppData\\Roaming\\up.exe" /s 4711'),
        write("HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet001\\Services\\helper\\Start", "2"),
        write(current + "Run\\bytes", "\\x01\\x02"),
        write(current + "Explorer\\Some\\Count", "12"),
        {"event": "write", "object": "file", "data": {"file": "C:\\a.txt"}},
    ]
    behavior = {"processes": [], "summary": {"read_keys": []}, "enhanced": events}
    assert values(cape(behavior=behavior), "reg_value") == [
        "hkcu\\software\\microsoft\\windows\\currentversion\\run\\updater=%appdata%\\up.exe /s <n>",
        "hklm\\system\\currentcontrolset\\services\\helper\\start=2",
    ]


def test_bytes_behind_the_last_section_are_an_overlay() -> None:
    sizes = {"0x00000305": ["<2^10"], 773: ["<2^10"], "0x0": [], "many": [], None: []}
    for size, expected in sizes.items():
        pe = {"imphash": "ab" * 16, "overlay": {"offset": "0x2400", "size": size}}
        assert values(cape(target={"file": {"pe": pe}}), "overlay") == expected
