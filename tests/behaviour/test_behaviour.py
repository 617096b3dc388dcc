"""Reports become tokens on which two runs, two machines and two hosts agree."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from support.paths import REPOSITORY
from support.reports import CAPE_REPORT, CUCKOO_REPORT, real_reports

from cuckoo_ml_plugin.behaviour import extract as extract_module
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour, kind_of, value_of
from cuckoo_ml_plugin.behaviour.extract import EXTRACTION, extract
from cuckoo_ml_plugin.behaviour.kinds import (
    CODES,
    DYNAMIC_KINDS,
    KINDS,
    NETWORK_KINDS,
    STATIC_KINDS,
    TOKEN_KINDS,
    Group,
    kinds_of,
)
from cuckoo_ml_plugin.report.report import read_report, report_from_results
from cuckoo_ml_samples import generate

TEMP = "C:\\Users\\joe\\AppData\\Local\\Temp\\"


def cuckoo(summary: dict[str, Any], **sections: Any) -> Behaviour:
    """A Cuckoo analysis of evil.exe by the user joe with this summary."""
    process = {"process_name": "evil.exe", "process_path": TEMP + "evil.exe", "command_line": f'"{TEMP}evil.exe"'}
    behavior = {"processes": [process], "summary": summary}
    return extract(report_from_results(CUCKOO_REPORT | {"behavior": behavior} | sections))


def values(behaviour: Behaviour, kind: str) -> list[str]:
    return [value_of(token) for token in behaviour.tokens if kind_of(token) == kind]


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        ("C:\\Users\\joe\\AppData\\Local\\Temp\\a.txt", "%temp%\\a.txt"),
        ("C:\\Documents and Settings\\Ann B\\Local Settings\\Temp\\a.txt", "%temp%\\a.txt"),
        ("C:\\DOCUME~1\\ANNB~1\\LOCALS~1\\Temp\\a.txt", "%temp%\\a.txt"),
        ("\\??\\C:\\Windows\\SysWOW64\\NTDLL.dll", "%windir%\\system32\\ntdll.dll"),
        ("\\Device\\HarddiskVolume2\\Windows\\System32\\ntdll.dll", "%windir%\\system32\\ntdll.dll"),
        ("C:\\Program Files (x86)\\App\\x.dll", "%programfiles%\\app\\x.dll"),
        ("c:/program files/App/x.dll", "%programfiles%\\app\\x.dll"),
        ("C:\\Users\\joe\\AppData\\Roaming\\jqxzkvw.exe", "%appdata%\\<rand>.exe"),
        (TEMP + "evil.exe", "%temp%\\%sample%"),
        (TEMP + "~DF3A21.tmp", "%temp%\\<rand>.tmp"),
        (TEMP + "{2B0D2122-7A06-457B-97C6-65EDBF8FE0CE}\\x.dll", "%temp%\\<guid>\\x.dll"),
        (TEMP + "0123456789abcdef0123456789abcdef.bin", "%temp%\\<hex>.bin"),
        ("C:\\Users\\joe\\", "%profile%"),
        ("D:\\data.txt", "%drive%\\data.txt"),
    ],
)
def test_paths_are_normalised(raw: str, normalised: str) -> None:
    assert values(cuckoo({"file_written": [raw]}), "file_written") == [normalised]


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        ("HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet001\\Services\\x", "hklm\\system\\currentcontrolset\\services\\x"),
        ("\\Registry\\Machine\\Software\\Wow6432Node\\Microsoft\\y", "hklm\\software\\microsoft\\y"),
        ("HKEY_USERS\\S-1-5-21-1-2-3-1000\\Software\\Run", "hkcu\\software\\run"),
        ("HKEY_USERS\\S-1-5-21-1-2-3-1000_Classes\\.txt", "hkcr\\.txt"),
        (
            "HKEY_CLASSES_ROOT\\CLSID\\{9BA05972-F6A8-11CF-A442-00A0C90A8F39}\\InProcServer32",
            "hkcr\\clsid\\{9ba05972-f6a8-11cf-a442-00a0c90a8f39}\\inprocserver32",
        ),
        ("HKEY_LOCAL_MACHINE\\SOFTWARE\\X\\{2B0D2122-7A06-457B-97C6-65EDBF8FE0CE}", "hklm\\software\\x\\<guid>"),
    ],
)
def test_registry_keys_are_normalised(raw: str, normalised: str) -> None:
    assert values(cuckoo({"regkey_written": [raw]}), "reg_written") == [normalised]


def test_process_ids_and_sessions_are_removed_from_mutexes() -> None:
    first = cuckoo({"mutex": ["Local\\ab0:5620:168:Staging_02", "\\Sessions\\1\\BaseNamedObjects\\evilness"]})
    second = cuckoo({"mutex": ["ab0:7001:168:Staging_02", "evilness"]})
    assert values(first, "mutex") == values(second, "mutex") == ["ab0:<n>:<n>:staging_02", "evilness"]


def test_two_runs_of_one_sample_on_two_machines_agree() -> None:
    def run(user: str, name: str, process: int) -> list[str]:
        temp = f"C:\\Users\\{user}\\AppData\\Local\\Temp\\"
        summary = {
            "write_files": [temp + name, temp + "settings.ini"],
            "mutexes": [f"Global\\lock{process}00000"],
            "executed_commands": [f'"{temp}{name}" /pid {process}'],
            "read_keys": [],
        }
        first = {
            "process_name": name,
            "module_path": temp + name,
            "environ": {"UserName": user, "CommandLine": f'"{temp}{name}" '},
            "calls": [],
        }
        file = CAPE_REPORT["target"]["file"] | {"name": name}
        results = CAPE_REPORT | {"behavior": {"processes": [first], "summary": summary}, "target": {"file": file}}
        return list(extract(report_from_results(results)).tokens)

    assert run("ann", "invoice.exe", 1208) == run("bob.smith", "b2f7aa9c.exe", 4711)


def test_both_hosts_give_one_sample_the_same_tokens() -> None:
    cuckoo_behaviour, cape_behaviour = (
        extract(report_from_results(results)) for results in (CUCKOO_REPORT, CAPE_REPORT)
    )
    shared = ("api", "ngram", "file_read", "mutex", "process", "host", "domain", "signature", "file_type", "file_size")
    for kind in shared:
        assert values(cuckoo_behaviour, kind) == values(cape_behaviour, kind) != [], kind


def test_pairs_of_calls_ignore_repeats_and_stay_within_a_process() -> None:
    def process(*names: str) -> dict[str, Any]:
        return {"process_name": "p", "calls": [{"api": name} for name in names]}

    behavior = {
        "processes": [process("A", "B", "B", "A"), process("C"), process(), process("D", "D"), process("A", "C")]
    }
    behaviour = extract(report_from_results({"behavior": behavior}))
    assert values(behaviour, "ngram") == ["A B", "A C", "B A"]
    assert values(behaviour, "api") == ["A", "B", "C", "D"]
    assert behaviour.counts["api_calls"] == 9


def test_without_calls_cuckoos_api_counts_are_used() -> None:
    behaviour = extract(report_from_results({"behavior": {"apistats": {"1": {"NtClose": 3}, "2": {"NtClose": 2}}}}))
    assert values(behaviour, "api") == ["NtClose"]
    assert behaviour.counts["api_calls"] == 5


def test_without_a_common_summary_those_of_the_processes_are_joined() -> None:
    generic = [{"summary": {"file_read": ["C:\\a.txt"]}}, {"summary": {"file_read": ["C:\\b.txt"]}}]
    behaviour = extract(report_from_results({"behavior": {"generic": generic}}))
    assert values(behaviour, "file_read") == ["%systemdrive%\\a.txt", "%systemdrive%\\b.txt"]


def test_both_hosts_give_the_same_static_tokens() -> None:
    library = {"dll": "KERNEL32.dll", "imports": [{"name": "CreateFileW"}]}
    resource = {"name": "RT_ICON", "language": "LANG_ENGLISH", "sublanguage": "SUBLANG_ENGLISH_US", "filetype": None}
    common = {
        "versioninfo": [{"name": "CompanyName", "value": "Evil "}],
        "resources": [resource],
        "timestamp": "2016-04-02 1",
    }
    sections = [{"name": "UPX1", "entropy": "7.91"}]
    in_cuckoo = {
        "pe_imports": [library],
        "pe_sections": [{"name": "UPX1", "entropy": 7.91}],
        "signature": [{"common_name": "Joe"}],
    }
    in_cuckoo |= {f"pe_{name}": value for name, value in common.items()}
    results_of_hosts = (
        {"static": in_cuckoo},
        {
            "static": {
                "pe": common
                | {"imports": [library], "sections": sections, "digital_signers": [{"subject_commonName": "Joe"}]}
            }
        },
        {
            "target": {
                "file": {
                    "pe": common
                    | {
                        "imports": {"KERNEL32": library},
                        "sections": sections,
                        "digital_signers": [{"subject_commonName": "Joe"}],
                    }
                }
            }
        },
    )
    expected = [
        "compiled:2016-04",
        "import:kernel32.dll!createfilew",
        "import_dll:kernel32.dll",
        "language:english",
        "language:english_us",
        "resource:rt_icon",
        "section:upx1 packed",
        "signer:joe",
        "version:companyname=evil",
    ]
    for results in results_of_hosts:
        behaviour = extract(report_from_results({"info": {}} | results))
        assert behaviour.tokens == expected
        assert (behaviour.counts["imports"], behaviour.counts["languages"]) == (1, 2)
        assert behaviour.is_static


def test_requests_of_cuckoo_and_of_suricata_give_the_same_tokens() -> None:
    in_cuckoo = {"http": [{"method": "GET", "host": "evil.example", "path": "/a/12345678?id=9", "user-agent": "Bot 1"}]}
    in_cape = {"http": [{"http_method": "GET", "hostname": "evil.example", "uri": "/a/87654321?id=4", "ua": "bot 1"}]}
    first = extract(report_from_results({"network": in_cuckoo, "info": {}}))
    second = extract(report_from_results({"suricata": in_cape, "info": {}}))
    assert first.tokens == second.tokens == ["http:get evil.example/a/<n>?id", "user_agent:bot 1"]
    assert first.has_behaviour
    assert not first.is_static


def test_a_response_whose_request_suricata_did_not_see_is_no_request() -> None:
    unseen = {"hostname": "None", "uri": "/libhtp::request_uri_not_seen", "http_method": "None", "ua": "None"}
    nameless = {"hostname": "None", "uri": "/gate.php", "http_method": "POST", "ua": "None"}
    behaviour = extract(report_from_results({"info": {}, "suricata": {"http": [unseen, nameless]}}))
    assert behaviour.tokens == ["http:post /gate.php"]
    assert behaviour.counts["http_requests"] == 1


def test_private_addresses_are_marked() -> None:
    behaviour = extract(report_from_results({"network": {"hosts": ["10.0.0.5", "8.8.8.8", "224.0.0.252"]}}))
    assert values(behaviour, "host") == ["8.8.8.8", "private 10.0.0.5"], "any machine calls multicast addresses"


def test_strings_of_machine_code_are_left_out() -> None:
    strings = ["d$1PZ9)", "d$PZIs9)x", "]C`YbYO0|H!", "Your files have been encrypted!", "tv@~3$%^&*"]
    behaviour = extract(report_from_results({"info": {}, "strings": strings}))
    assert "string:your files have been encrypted!" in behaviour.tokens
    assert not any(debris in values(behaviour, "string") for debris in ("d$1pz9)", "tv@~3$%^&*", "]c`ybyo0|h!"))
    assert behaviour.counts["strings"] == 5


def test_tokens_are_sorted_unique_and_of_known_kinds_and_counts_are_finite(shared_data: Path) -> None:
    for path in real_reports(shared_data):
        behaviour = extract(read_report(path))
        assert list(behaviour.tokens) == sorted(set(behaviour.tokens)), path.name
        assert {kind_of(token) for token in behaviour.tokens} <= set(KINDS)
        assert all(len(token) <= 330 and token.isprintable() for token in behaviour.tokens)
        json.dumps(behaviour.counts, allow_nan=False)


def test_of_the_two_real_reports_without_a_run_only_static_facts_are_known(shared_data: Path) -> None:
    states = {path.name[:8]: extract(read_report(path)).is_static for path in real_reports(shared_data)}
    assert [name for name, is_static in states.items() if is_static] == ["2ebadd04", "77c96105"]


def test_a_signature_is_behaviour_and_facts_of_the_file_can_be_compared() -> None:
    matched = extract(report_from_results({"info": {}, "signatures": [{"name": "packer_entropy"}]}))
    assert matched.has_behaviour
    assert not matched.is_static
    file = {"size": 4096, "type": "PE32 executable"}
    described = extract(report_from_results({"info": {}, "target": {"file": file | {"pe": {"imphash": "ab" * 16}}}}))
    assert described.has_behaviour
    assert described.is_static
    nothing = extract(report_from_results({"info": {}, "target": {"file": file}}))
    assert not nothing.has_behaviour, "thousands of files have this type and size"


def test_hashes_and_kinds_are_in_the_order_of_the_tokens() -> None:
    behaviour = extract(report_from_results(CAPE_REPORT | {"strings": ["Schöne Grüße aus der Schadsoftware"]}))
    assert behaviour.hashes().dtype == np.uint64
    assert behaviour.hashes().tolist() == [xxhash.xxh3_64_intdigest(token.encode()) for token in behaviour.tokens]
    assert [KINDS[code] for code in behaviour.kind_ids()] == [kind_of(token) for token in behaviour.tokens]
    assert Behaviour([], {}).hashes().shape == (0,)


def test_too_many_tokens_are_bounded_fairly_and_the_counts_stay_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_module, "MAX_TOKENS", 100)
    names = [f"C:\\folder{number % 7}\\name{number}.txt" for number in range(1000)]
    behaviour = cuckoo({"file_written": names, "mutex": ["only"]})
    again = cuckoo({"file_written": names[::-1], "mutex": ["only"]})
    assert len(behaviour.tokens) == 100
    assert "mutex:only" in behaviour.tokens
    assert behaviour.counts["files_written"] == 1000
    assert behaviour.tokens == again.tokens


# The codes of the kinds, by which fitted models and stores keep them. New kinds are appended; nothing else may change.
RECORDED_KINDS = (  # noqa: SIM905
    "file_type file_size compiled import_dll import section resource language version signer packer pdb imphash "
    "api ngram file_opened file_read file_written file_created file_deleted file_moved file_copied file_exists "
    "file_failed dir_created dir_enumerated dir_removed reg_opened reg_read reg_written reg_deleted mutex process "
    "command service_created service_started library resolved_api com_class wmi "
    "host domain port http user_agent tls ja3 "
    "dropped_type dropped_extension dropped_name signature string "
    "link task "
    "child_process payload injection dump_import dump_section dump_imphash dump_fuzzy dump_yara technique mbc "
    "reg_value overlay"
).split()


def test_the_codes_of_kinds_never_change() -> None:
    assert list(KINDS) == RECORDED_KINDS
    assert {kind: code for code, kind in enumerate(RECORDED_KINDS)} == CODES
    assert len(TOKEN_KINDS) == len(set(KINDS)) < 256, "a code is one byte, and the next free one means unknown"
    assert all(kind.isidentifier() for kind in KINDS)


def test_every_kind_is_in_one_group() -> None:
    groups = [STATIC_KINDS, DYNAMIC_KINDS, NETWORK_KINDS, kinds_of(Group.SIGNATURES), kinds_of(Group.STRINGS)]
    assert sum(map(len, groups)) == len(KINDS)
    assert kinds_of(*Group) == set(KINDS)
    assert (len(STATIC_KINDS), len(DYNAMIC_KINDS), len(NETWORK_KINDS)) == (16, 39, 7)
    assert kinds_of(Group.SIGNATURES, Group.STRINGS) == {"signature", "technique", "mbc", "string"}


def test_the_features_document_names_every_kind_and_every_count() -> None:
    document = (REPOSITORY / "docs" / "features.md").read_text(encoding="utf-8")
    counts = {*extract(report_from_results(CUCKOO_REPORT)).counts, *extract(report_from_results(CAPE_REPORT)).counts}
    missing = [name for name in (*KINDS, *counts) if f"`{name}`" not in document]
    assert missing == []


# -- the version of the extraction -------------------------------------------------------------------------------------
# Digests of the demo's reports and of their behaviours, and the version of the extraction that made these.
RECORDED = ("ab1e3190a0422530", "28a39bab8f08e52e", 6)


def test_a_changed_extraction_has_a_new_version(tmp_path: Path) -> None:
    """Without a new version, a store that is kept through an upgrade would mix the behaviours of two extractions."""
    reports, behaviours = hashlib.sha256(), hashlib.sha256()
    for analysis in generate(tmp_path, analyses=60).analyses:
        content = analysis.path.read_bytes()
        reports.update(gzip.decompress(content) if analysis.path.suffix == ".gz" else content)
        behaviour = extract(read_report(analysis.path))
        behaviours.update(json.dumps([list(behaviour.tokens), behaviour.counts], sort_keys=True).encode())
    current = (reports.hexdigest()[:16], behaviours.hexdigest()[:16], EXTRACTION)
    if current[0] == RECORDED[0] and current[1] != RECORDED[1]:
        assert current[2] > RECORDED[2], "the extraction has changed: raise EXTRACTION in behaviour/extract.py"
    assert current == RECORDED, "the samples or the extraction have changed: set RECORDED to the new values"
