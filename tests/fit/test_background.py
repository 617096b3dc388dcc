"""What a machine does by itself is no evidence and has no weight, on real reports and on machines of a corpus."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command import cuckoo_ml
from support.reports import CAPE_REPORT, written

from cuckoo_ml_plugin import Desk
from cuckoo_ml_plugin.behaviour.behaviour import kind_of, value_of
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.finding.section import Evidence
from cuckoo_ml_plugin.fit.corpus import machine_background
from cuckoo_ml_plugin.plumbing.sources import voices_of
from cuckoo_ml_plugin.report.report import report_from_results

SMALLEST = """
[vectors]
min_document_frequency = 1
[clustering]
min_cluster_size = 2
certainty = 0.1
[refit]
min_analyses = 2
"""
# An analyst's list of what is Windows' own, made without a look at the plugin's.
WINDOWS_HOSTS = re.compile(
    r"(?:^|[ .])(?:microsoft|windows|windowsupdate|msftncsi|msftconnecttest|msn|bing|live|skype|office|digicert"
    r"|verisign|globalsign|usertrust|sectigo|lencr)\.(?:com|org)(?:/|$)|\.arpa$|(?:^|[ .])(?:ocsp|crl)\d?\."
    r"|sfx\.ms|msn-com|scorecardresearch|^multicast$|\.255$|^(?:193\.138\.218\.74|1\.1\.1\.1|8\.8\.8\.8)$"
)
WINDOWS_PROGRAMS = re.compile(
    r"^(?:.*\\)?(?:services|svchost|lsass|csrss|wininit|winlogon|spoolsv|dwm|wmiprvse|wmiadap|taskhostw?|taskeng|dllhost"
    r"|conhost|sppsvc|searchindexer|securityhealthhost|werfault|wermgr|wuauclt|microsoftedgeupdate|googleupdate|msoia)"
    r"\.exe(?: |$)"
)
UPDATES_AND_CACHES = re.compile(
    r"edgeupdate|\\google\\update|softwaredistribution|prefetch|cryptneturlcache|psscriptpolicytest"
    r"|internet settings\\wpad|defaultconnectionsettings|\\zonemap\\(?:proxybypass|autodetect)"
    r"|userassist|openwithprogids|serviceprofiles"
    r"|cryptography\\rng|clienttelemetry|desktop\.ini$|customdestinations|device\\(?:cng|ksecdd|rasacd)"
)
WINDOWS_PLACES = re.compile(
    r"^(?:%windir%|%systemdrive%$|hklm\\system\\|hklm\\software\\(?:microsoft|policies|clients)|hkcr|hku\\"
    r"|hkcu\\control panel|hkcu\\software\\(?:microsoft|policies))"
)
WINDOWS_LIBRARIES = re.compile(
    r"^(?:api-ms-|ext-ms-|kernel|ntdll|user32|advapi32|combase|ole|comctl32|rpc|shell32|wldp)"
)
LOOKS = ("file_opened", "file_read", "file_exists", "file_failed", "dir_enumerated", "reg_opened", "reg_read")
SERVICES = {"dosvc", "bits", "wuauserv", "edgeupdate", "gupdate", "troubleshootingsvc"}
MUTEXES = re.compile(r"^sm0:|edgeupdate|^msctf\.|^zones|__omadm|^cicloadwinsta|^iesqm")
PORTS = {"udp/53", "udp/123", "udp/137", "udp/138", "udp/1900", "udp/3702", "udp/5353", "udp/5355"}


def is_windows_own(piece: Evidence) -> bool:
    kind, value = piece.kind, piece.value
    if kind in ("domain", "host", "http", "tls"):
        return WINDOWS_HOSTS.search(value) is not None
    if kind in ("process", "command"):
        return WINDOWS_PROGRAMS.search(value) is not None
    if kind in LOOKS and WINDOWS_PLACES.match(value):
        return True
    if kind == "library":
        return WINDOWS_LIBRARIES.match(value) is not None
    if kind.startswith(("file_", "dir_", "reg_", "dropped_name")):
        return UPDATES_AND_CACHES.search(value) is not None
    return (
        (kind == "service_started" and value in SERVICES)
        or (kind == "mutex" and MUTEXES.search(value) is not None)
        or (kind == "port" and value in PORTS)
        or (kind == "user_agent" and value.startswith(("microsoft", "windows-update")))
    )


def test_no_evidence_of_a_cluster_of_real_reports_is_windows_own(shared_data: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "cuckooml.conf").write_text(SMALLEST, encoding="utf-8")
    for arguments in (("import", shared_data / "cape"), ("refit",)):
        done = cuckoo_ml(home, *arguments)
        assert done.code == 0, done.err
    desk = Desk(home)
    pieces = [(cluster.id, piece) for cluster in desk.engine.require_model().clusters for piece in cluster.evidence]
    pieces += [(name, piece) for name in desk.analyses().index for piece in desk.score(name).evidence]
    assert len({name for name, _ in pieces}) >= 3 + 8, "each cluster and each analysis has evidence"
    assert [(name, piece.kind, piece.value) for name, piece in pieces if is_windows_own(piece)] == []


# -- in an analysis ----------------------------------------------------------------------------------------------------
def tokens_of(**sections: Any) -> list[str]:
    return list(extract(report_from_results(CAPE_REPORT | {"static": {}, "signatures": []} | sections)).tokens)


def values(tokens: list[str], *kinds: str) -> list[str]:
    return [value_of(token) for token in tokens if kind_of(token) in kinds]


def process(pid: int, parent: int, path: str, line: str, *calls: str) -> dict[str, Any]:
    return {
        "process_id": pid, "parent_id": parent, "process_name": path.rpartition("\\")[2], "module_path": path,
        "environ": {"CommandLine": line}, "calls": [{"api": name} for name in calls],
    }  # fmt: skip


def test_services_that_the_host_watches_are_not_the_sample_unless_it_started_them() -> None:
    system = "C:\\Windows\\System32\\"
    watched = [
        process(10, 1, "C:\\Temp\\evil.exe", "evil.exe", "NtOpenFile", "NtClose"),
        process(20, 2, system + "services.exe", system + "services.exe", "RpcServerListen", "NtWait"),
        process(21, 20, system + "svchost.exe", system + "svchost.exe -k netsvcs", "RpcAsync", "NtWait"),
        process(11, 10, system + "svchost.exe", system + "svchost.exe", "NtHollowed", "NtResume"),
        process(12, 21, "C:\\Temp\\late.exe", "late.exe", "NtLate", "NtResume"),
        process(13, 1, "C:\\Temp\\svchost.exe", "C:\\Temp\\svchost.exe", "NtDisguised", "NtResume"),
    ]
    tokens = tokens_of(behavior={"processes": watched, "summary": {"read_keys": []}})
    assert values(tokens, "process") == ["%sample%", "late.exe", "svchost.exe"]
    assert not {"RpcServerListen", "RpcAsync", "NtWait"} & set(values(tokens, "api"))
    assert {"NtHollowed", "NtLate", "NtDisguised"} <= set(values(tokens, "api"))
    assert not any("-k netsvcs" in line for line in values(tokens, "command"))


def test_what_the_hosts_allow_list_left_out_stays_out() -> None:
    network = {
        "hosts": [{"ip": "45.33.32.9"}, {"ip": "45.33.33.53"}],
        "domains": [{"domain": "evil.example"}],
        "dns": [{"request": "evil.example", "answers": [{"type": "A", "data": "45.33.32.9"}]}],
        "tcp": [{"dst": "45.33.32.9", "dport": 443}, {"dst": "45.33.33.7", "dport": 8443}],
        "udp": [{"dst": "45.33.33.53", "dport": 53}, {"dst": "10.0.0.255", "dport": 137}],
    }
    suricata = {
        "dns": [{"dns": {"rrname": name}} for name in ("evil.example", "intranet.example")],
        "tls": [
            {"sni": "evil.example", "ja3": {"hash": "ef" * 16}},
            {"sni": "intranet.example", "ja3": {"hash": "ab"}},
        ],
        "http": [{"hostname": "intranet.example", "uri": "/a"}, {"hostname": "never-looked-up.example", "uri": "/b"}],
    }
    tokens = tokens_of(network=network, suricata=suricata)
    assert values(tokens, "host", "domain", "port", "tls") == ["evil.example", "45.33.32.9", "tcp/443", "evil.example"]
    assert values(tokens, "http", "ja3") == ["never-looked-up.example/b", "ef" * 16]


@pytest.mark.parametrize(
    ("network", "left"),
    [
        (
            {"domains": ["www.msftncsi.com", "7.0.0.10.in-addr.arpa", "wpad.corp.example", "notmicrosoft.com"]},
            ["notmicrosoft.com"],
        ),
        (
            {"http": [{"host": "ocsp.digicert.com", "path": "/ME"}, {"host": "evil.example", "path": "/"}]},
            ["evil.example/"],
        ),
        (
            {
                "http": [
                    {"host": "crl.own.example", "path": "/root.crl", "user-agent": "Microsoft-CryptoAPI/10.0"},
                    {"method": "GET", "host": "evil.example", "path": "/a", "user-agent": "Microsoft BITS/7.8"},
                ]
            },
            ["get evil.example/a"],
        ),
        (
            {
                "dns": [
                    {"request": "www.msftncsi.com", "answers": [{"type": "A", "data": "45.33.33.1"}]},
                    {"request": "evil.example", "answers": [{"type": "A", "data": "45.33.33.2"}]},
                ],
                "tcp": [{"dst": "45.33.33.1", "dport": 80}, {"dst": "45.33.33.2", "dport": 81}],
            },
            ["evil.example", "45.33.33.2", "tcp/81"],
        ),
    ],
    ids=["names", "certificates", "agents", "addresses"],
)
def test_what_any_machine_sends_is_no_token(network: dict[str, Any], left: list[str]) -> None:
    tokens = list(extract(report_from_results({"info": {}, "network": network})).tokens)
    assert [value_of(token) for token in tokens] == left


# -- of a machine ------------------------------------------------------------------------------------------------------
def test_the_background_of_a_machine_is_learnt_from_its_analyses_and_from_its_baseline(tmp_path: Path) -> None:
    """Twenty-four samples of four groups, on an image with an agent of its own; a baseline shows its heartbeat, too."""
    folder = tmp_path / "reports"
    folder.mkdir()
    for number in range(24):
        group = number % 4
        own = [f"mutex {group} {word}" for word in ("alpha", "beta", "gamma", "delta")] + [f"of sample {number}"]
        image = ["inventory agent", "agent heartbeat"] if number != 5 else ["inventory agent"]
        summary = {"mutexes": own + image, "read_keys": []}
        info = CAPE_REPORT["info"] | {"id": number, "machine": {"label": "win10-a"}}
        report = {"info": info, "behavior": {"summary": summary}, "signatures": [{"name": f"group_{group}"}]}
        written(folder, report, f"{number}.json")
    baseline = {"info": CAPE_REPORT["info"] | {"id": 99, "category": "baseline"}}
    written(folder, baseline | {"network": {"domains": ["heartbeat.lab.example"]}}, "99.json")
    beacon = {"info": CAPE_REPORT["info"] | {"id": 98}, "network": {"domains": ["heartbeat.lab.example"]}}
    written(folder, beacon | {"signatures": [{"name": "group_1"}]}, "98.json")
    home = tmp_path / "home"
    home.mkdir()
    (home / "cuckooml.conf").write_text(SMALLEST, encoding="utf-8")
    for arguments in (("import", folder), ("refit",)):
        done = cuckoo_ml(home, *arguments)
        assert done.code == 0, done.err
    [answer] = cuckoo_ml(home, "score", folder / "98.json", "--json").json
    assert [piece["value"] for piece in answer["evidence"]] == ["group_1"]
    [member] = cuckoo_ml(home, "score", folder / "4.json", "--json").json
    assert member["evidence"]
    assert not {"inventory agent", "agent heartbeat"} & {piece["value"] for piece in member["evidence"]}
    both = Desk(home).compare("1", "2").set_index("value")
    assert both[both["background"]].index.tolist() == ["agent heartbeat", "inventory agent"]
    assert not both.loc["mutex 1 alpha", "background"]
    assert [neighbour for neighbour in member["similar"] if neighbour["similarity"] < 0.3] == [], "only its own group"
    [silent] = cuckoo_ml(home, "score", folder / "99.json", "--json").json
    assert silent["status"] == "no_behaviour"


def test_nothing_is_learnt_from_a_machine_that_ran_one_family() -> None:
    from scipy.sparse import csr_matrix

    family = np.hstack([np.ones((30, 40)), np.eye(30)])
    point_of, files = np.arange(30), [str(number) for number in range(30)]

    def learnt(rows: Any, submitters: list[str] | None = None) -> list[bool]:
        count = len(rows)
        voices = voices_of(files[:count], submitters or [""] * count, [""] * count)
        found: list[bool] = machine_background(csr_matrix(rows), point_of[:count], ["one"] * count, voices).tolist()
        return found

    assert not any(learnt(family))
    assert not any(learnt(family[:10])), "too few analyses"
    mixed = np.hstack([np.ones((30, 5)), np.eye(30), np.ones((30, 8)) * (np.arange(30)[:, None] % 2)])
    assert learnt(mixed) == [True] * 5 + [False] * 38


def test_one_submitter_cannot_make_behaviour_the_background_of_a_machine() -> None:
    from scipy.sparse import csr_matrix

    mine = 38  # of 40 analyses on a machine that others hardly use, in a corpus of 440
    hidden = np.zeros((440, 1))
    hidden[:mine] = 1
    rows = csr_matrix(np.hstack([hidden, np.eye(440)]))
    machines = ["rare"] * 40 + ["usual"] * 400
    files = [str(number) for number in range(440)]
    sent = ["mallory"] * mine + [""] * (440 - mine)
    one = machine_background(rows, np.arange(440), machines, voices_of(files, sent, [""] * 440))
    assert not one.any()
    many = machine_background(rows, np.arange(440), machines, voices_of(files, [""] * 440, [""] * 440))
    assert many.tolist() == [True] + [False] * 440
