"""Reports of every kind that users have: URLs, Linux, Android, tasks without a run, packed and joined files."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from support.reports import CAPE_REPORT, CASES, CUCKOO_REPORT, case, written

from cuckoo_ml_plugin.behaviour.absence import reason_for_absence
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.report.files import decode
from cuckoo_ml_plugin.report.report import CAPE, CUCKOO2, Report, read_report, read_reports, report_from_results

PLAIN = json.dumps(CAPE_REPORT).encode()


def read(name: str) -> tuple[Report, Behaviour]:
    report = read_report(CASES / name)
    return report, extract(report)


def test_a_url_task_of_cape_has_the_url_as_its_target() -> None:
    report, behaviour = read("cape_url.json")
    assert (report.host, report.task_id, report.sha256) == (CAPE, "77", None)
    assert report.target == "https://login.bank.example/signin"
    assert behaviour.has_behaviour


def test_the_system_calls_of_a_linux_analysis_give_paths_addresses_commands_and_programs() -> None:
    report, behaviour = read("cape_linux_strace.json")
    assert set(behaviour.tokens) >= {
        "api:openat",
        "ngram:connect unlink",
        "command:/tmp/%sample%",
        "command:sh -c chmod +x /tmp/.k && /tmp/.k",
        "process:%sample%",
        "process:sh",
        "file_opened:/etc/crontab",
        "file_written:/etc/crontab",
        "file_deleted:/tmp/%sample%",
        "host:private 203.0.113.9",  # an address for documentation counts as private
        "port:tcp/4444",
    }
    assert [(process.name, process.path) for process in report.processes] == [
        ("dropper.elf", "/tmp/dropper.elf"),
        ("sh", "/bin/sh"),
    ]
    assert (behaviour.counts["files_written"], behaviour.counts["tcp_hosts"], behaviour.counts["processes"]) == (
        1,
        1,
        2,
    )
    assert "registry_read" not in behaviour.counts


def strace(*calls: tuple[str, dict[str, str], str], name: str | None = "/tmp/x") -> set[str]:
    """The tokens of a process that made these calls: name, arguments, result."""
    listed = [
        {"api": api, "arguments": [{"name": key, "value": value} for key, value in arguments.items()], "return": result}
        for api, arguments, result in (("execve", {}, "-1 ENOENT (No such file or directory)"), *calls)
    ]
    behavior = {"processes": [{"process_id": 1, "process_name": name, "calls": listed}], "processtree": []}
    return set(extract(report_from_results({"info": {"version": "2.4-CAPE"}, "behavior": behavior})).tokens)


def test_files_are_followed_through_their_descriptors() -> None:
    """CAPE writes names beside descriptors only when it is told to; its signatures hold the types of C."""
    tokens = strace(
        ("openat", {"int dfd": "AT_FDCWD", "const char *filename": '"/home/joe/.ssh/id"', "int flags": "O_RDWR"}, "5"),
        ("read", {"unsigned int fd": "5", "char *buf": '"..."'}, "10"),
        ("dup2", {"unsigned int oldfd": "5", "unsigned int newfd": "7"}, "7"),
        ("close", {"unsigned int fd": "5"}, "0"),
        ("write", {"unsigned int fd": "7"}, "3"),
        ("write", {"unsigned int fd": "5"}, "-1 EBADF (Bad file descriptor)"),
        ("openat", {"int dfd": "AT_FDCWD", "const char *filename": '"/etc/none"'}, "-1 ENOENT (No such file)"),
        ("rename", {"const char *oldname": '"/tmp/a"', "const char *newname": '"/tmp/b"'}, "0"),
        ("unlinkat", {"int dfd": "AT_FDCWD", "const char *pathname": '"/var/d"', "int flag": "AT_REMOVEDIR"}, "0"),
        ("access", {"const char *filename": '"/proc/4711/exe"'}, "0"),
        ("mkdir", {"const char *pathname": '"/tmp/\\303\\244"'}, "0"),
        ("socket", {"int family": "AF_INET6", "int type": "SOCK_DGRAM|SOCK_CLOEXEC"}, "9"),
        (
            "connect",
            {
                "int fd": "9",
                "struct sockaddr *uservaddr": "{sa_family=AF_INET6, sin6_port=htons(53), "
                'inet_pton(AF_INET6, "2a00::1", &sin6_addr)}',
            },
            "-1 EINPROGRESS (Operation now in progress)",
        ),
    )
    assert tokens >= {
        "file_opened:/home/%user%/.ssh/id",
        "file_read:/home/%user%/.ssh/id",
        "file_written:/home/%user%/.ssh/id",
        "file_failed:/etc/none",
        "file_moved:/tmp/a",
        "file_moved:/tmp/b",
        "dir_removed:/var/d",
        "file_exists:/proc/<n>/exe",
        "dir_created:/tmp/ä",
        "host:2a00::1",
        "port:udp/53",
    }
    assert "file_opened:/etc/none" not in tokens


def test_systemtaps_log_in_a_report_of_cuckoo_gives_what_strace_gives() -> None:
    """The case is what Cuckoo 2.0.7 makes of tests/support/linux_run.stap; a story in tests/hosts holds that."""
    report, behaviour = read("cuckoo2_linux.json")
    assert (report.host, report.platform) == (CUCKOO2, "linux")
    operations = ("file_", "dir_", "command", "process", "host", "port")
    assert {token for token in behaviour.tokens if token.startswith(operations)} - {
        token for token in behaviour.tokens if token.startswith(("file_type:", "file_size:"))
    } == {
        "command:/tmp/%sample%",
        "command:iptables -a one, two",
        "dir_created:/tmp/ä",
        "dir_removed:/var/lib/x",
        "file_created:/etc/crontab",
        "file_created:/tmp/notes, 2.txt",  # Cuckoo cuts texts at commas
        "file_exists:/root",
        "file_failed:/etc/ld.so.nohwcap",
        "file_moved:/tmp/%sample%",
        "file_moved:/tmp/a",
        "file_moved:/tmp/b",
        "file_moved:/usr/bin/.kworker",
        "file_opened:/etc/crontab",
        "file_opened:/etc/ld.so.cache",
        "file_opened:/home/%user%/.ssh/id_rsa",
        "file_opened:/tmp/notes, 2.txt",
        "file_read:/home/%user%/.ssh/id_rsa",
        "file_written:/etc/crontab",
        "file_written:/tmp/notes, 2.txt",
        "host:2a00::1",
        "host:8.8.8.8",
        "port:tcp/4444",
        "port:udp/53",
        "process:%sample%",
        "process:iptables",
    }
    assert {"api:execve", "ngram:socket connect"} <= set(behaviour.tokens)
    assert [(process.name, process.path, process.command_line) for process in report.processes] == [
        ("dropper.elf", "/tmp/dropper.elf", "/tmp/dropper.elf"),
        ("iptables", "/sbin/iptables", "iptables -A one, two"),
    ]
    counts = ("files_opened", "files_written", "tcp_hosts", "udp_hosts", "api_calls")
    assert [behaviour.counts[name] for name in counts] == [4, 2, 1, 1, 26]


def systemtap(*calls: tuple[str, dict[str, Any], Any]) -> set[str]:
    """The tokens of a Linux program in Cuckoo that made these calls: name, arguments, result."""
    listed = [
        {"api": api, "arguments": arguments, "return_value": result, "pid": 7, "instruction_pointer": "804ef3f"}
        for api, arguments, result in (("brk", {"p0": "0x0"}, "-2128306176"), *calls)
    ]
    process = {"pid": 7, "process_name": "x", "command_line": "", "type": "process", "calls": listed}
    info = {"version": "2.0.7", "platform": "linux"}
    return set(extract(report_from_results({"info": info, "behavior": {"processes": [process]}})).tokens)


def test_what_systemtap_cut_off_or_could_not_read_is_no_path() -> None:
    tokens = systemtap(
        ("open", {"p0": "/tmp/no-result", "p1": "O_RDONLY"}, ""),
        ("read", {"p0": "3", "p1": "0xbf"}, "7"),
        ("access", {"p0": "0xb77c04ac", "p1": "R_OK"}, "0"),
        ("open", {"p0": '"/very/long/na"...', "p1": "O_RDONLY"}, "4"),
        ("open", {"p0": '"/never', "p1": "closed"}, "5"),
        ("connect", {"p0": "3", "p1": ["AF_UNIX", "/dev/log"], "p2": "110"}, "0"),
        ("connect", {"p0": "3", "p1": ["AF_INET"]}, "0"),
        ("execve", {"p0": "/bin/sh", "p1": ["sh", "-c", '"echo a', 'b"']}, ""),
        ("execve", {"p0": "/bin/none", "p1": ["none"]}, "-2"),
        ("open", {"p0": 7, "p1": None}, {}),
        ("open", {"p0": {"a": "b"}}, ["x"]),
    )
    assert {token for token in tokens if token.startswith(("file_", "command", "host", "process"))} == {
        "file_opened:/tmp/no-result",
        "file_opened:/very/long/na",
        "command:sh -c echo a, b",
        "process:sh",
    }


@pytest.mark.parametrize("name", ["(fork)", "clone(child_stack=NULL)", "0x7ffe /* 20 vars */", None, '["sh", "-c"]'])
def test_a_process_without_a_command_line_has_the_program_that_it_ran(name: str | None) -> None:
    arguments = {"const char *filename": '"/bin/sh"', "const char *const *argv": '["sh", "-c", "id"]'}
    tokens = strace(("execve", arguments, "0"), name=name)
    assert {"process:sh", "command:sh -c id"} <= tokens


@pytest.mark.parametrize("damage", [None, 7, "text", ["a"], [None], [{"name": 5, "value": {}}], {"x": []}, [["a"]]])
def test_damaged_arguments_of_system_calls_are_left_out(damage: Any, tmp_path: Path) -> None:
    report = case("cape_linux_strace")
    for process in report["behavior"]["processes"]:
        for call in process["calls"]:
            call["arguments"] = damage
            call["return"] = damage
    tokens = extract(read_report(written(tmp_path, report))).tokens
    assert {"api:openat", "process:sh"} <= set(tokens)


def test_tracees_events_give_tokens() -> None:
    _, behaviour = read("cape_linux_tracee_only.json")
    assert {"api:security_file_open", "file_opened:/etc/crontab", "process:%sample%"} <= set(behaviour.tokens)
    events = [
        {"eventName": "sched_process_exec", "args": [{"name": "argv", "value": ["sh", "-c", "id"]}]},
        {
            "eventName": "security_socket_connect",
            "args": [{"name": "remote_addr", "value": {"sin_addr": "8.8.8.8", "sin_port": "443"}}],
        },
    ]
    tokens = extract(report_from_results({"info": {}, "tracee": {"5": events}})).tokens
    assert {"command:sh -c id", "host:8.8.8.8", "port:tcp/443"} <= set(tokens)


def test_droidmons_log_of_an_android_app_gives_tokens() -> None:
    report, behaviour = read("cuckoo2_android.json")
    assert (report.host, report.platform) == (CUCKOO2, "android")
    assert set(behaviour.tokens) >= {
        "command:su",
        "file_opened:/data/data/com.example.bad/x",
        "api:getDeviceId",
        "api:android.app.x",
        "api:SmsManager.sendTextMessage",
        "http:get /x",
    }
    without_log = case("cuckoo2_android") | {"droidmon": {}}
    assert "without a log of Droidmon" in reason_for_absence(extract(report_from_results(without_log)))


@pytest.mark.parametrize(
    ("results", "token", "sentence"),
    [
        (
            case("cuckoo2_failed"),
            "task:failed",
            "The task failed in the sandbox: The analysis hit the critical timeout, terminating.",
        ),
        (
            case("debug_only"),
            "task:failed",
            "The task failed in the sandbox: The analysis hit the critical timeout, terminating.",
        ),
        (case("cape_static"), "task:static", "A static analysis: the sample was not run."),
        (
            {"info": {"category": "baseline", "started": 1.0}, "behavior": {}},
            "task:baseline",
            "A baseline of the machine: no sample was run.",
        ),
        ({"info": {"id": 1, "started": None}}, "task:failed", "The task failed in the sandbox."),
    ],
    ids=["failed", "debug only", "static", "baseline", "never started"],
)
def test_an_analysis_without_a_run_says_what_it_is(
    results: dict[str, Any], token: str, sentence: str, tmp_path: Path
) -> None:
    for behaviour in (extract(report_from_results(results)), extract(read_report(written(tmp_path, results)))):
        assert not behaviour.has_behaviour
        assert token in behaviour.tokens
        assert list(behaviour.tokens) == sorted(behaviour.tokens)
        assert reason_for_absence(behaviour) == sentence
        stored = Behaviour(behaviour.tokens, behaviour.counts)
        assert reason_for_absence(stored).startswith(sentence.partition(":")[0].rstrip("."))


def test_a_sample_that_ran_and_showed_nothing_says_so() -> None:
    silent = {"info": {"started": 1.0, "category": "file"}, "behavior": {"processes": []}, "debug": {"errors": []}}
    nothing = "The sample showed no behaviour when it ran: there is nothing to compare."
    assert reason_for_absence(extract(report_from_results(silent))) == nothing
    known = extract(report_from_results(silent | {"strings": ["Your files have been encrypted!"]}))
    assert reason_for_absence(known) == "The sample showed no behaviour when it ran."
    matched = extract(report_from_results(silent | {"signatures": [{"name": "creates_exe"}]}))
    assert reason_for_absence(matched) == ""


def test_what_a_machine_does_in_a_baseline_is_no_behaviour_of_a_sample() -> None:
    machine = {"info": {"category": "baseline", "started": 1.0}, "behavior": {"summary": {"mutexes": ["own"]}}}
    behaviour = extract(report_from_results(machine))
    assert behaviour.tokens == ["mutex:own", "task:baseline"]
    assert not behaviour.has_behaviour
    assert reason_for_absence(behaviour) == "A baseline of the machine: no sample was run."


def test_links_of_a_document_are_static_tokens() -> None:
    file = {"type": "PDF document, version 1.7", "urls": ["http://b.example/x?q=1"]}
    cuckoo = {"info": {}, "target": {"file": file}, "static": {"pdf": [{"urls": ["https://a.example/pay/12345678"]}]}}
    cape = {
        "info": {},
        "target": {
            "file": {
                "pdf": {"All_URLs": ["https://a.example/pay/12345678"], "Annot_URLs": ["http://b.example/x?q=1"]},
                "office": {"Macro": {"Analysis": {"IOCs": [["URL", "http://c.example/m"], ["Executable", "x.exe"]]}}},
            }
        },
    }
    of_cuckoo, of_cape = (extract(report_from_results(results)) for results in (cuckoo, cape))
    assert [token for token in of_cuckoo.tokens if token.startswith("link:")] == [
        "link:a.example/pay/<n>",
        "link:b.example/x?q",
    ]
    assert "link:c.example/m" in of_cape.tokens
    assert of_cuckoo.is_static
    program = {"info": {}, "target": {"file": {"type": "PE32 executable", "urls": ["http://b.example/"]}}}
    assert not any(token.startswith("link:") for token in extract(report_from_results(program)).tokens), (
        "Cuckoo lists whatever looks like a URL in the bytes of a program"
    )


# -- forms of files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["api_wrapped.json", "utf16.json", "report.json.zip", "r.json.zst"])
def test_a_report_in_another_form_is_the_same_report(name: str) -> None:
    report, behaviour = read(name)
    plain = next(iter(read_reports(CASES / "mongoexport_array.json"))).report
    assert plain is not None
    assert (report.task_id, report.sha256) == ("31", "ab" * 32)
    assert behaviour == extract(plain)


@pytest.mark.parametrize(
    ("name", "ids"), [("mongoexport_lines.json", ["1", "2", "3"]), ("mongoexport_array.json", ["1", "2"])]
)
def test_a_file_of_several_reports_gives_each(name: str, ids: list[str]) -> None:
    reports = list(read_reports(CASES / name))
    assert [in_file.report.task_id for in_file in reports if in_file.report] == ids
    assert [in_file.place for in_file in reports] == list(range(1, len(ids) + 1))
    with pytest.raises(ReportError, match="holds several reports"):
        read_report(CASES / name)


def test_reports_that_follow_each_other_in_any_layout_are_read_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    pretty, compact = json.dumps(CAPE_REPORT, indent=1), json.dumps(CUCKOO_REPORT)
    path = tmp_path / "several.json"
    path.write_text(f"{pretty}\n{compact}{compact}\n{compact[:90]}\n\n{compact}\n")
    reports = list(read_reports(path))
    assert [in_file.report.task_id if in_file.report else None for in_file in reports] == [
        "7",
        "210",
        "210",
        None,
        "210",
    ]
    assert "not valid JSON" in str(reports[3].error)
    enveloped = tmp_path / "enveloped.json"
    enveloped.write_text(json.dumps({"error": False, "data": [CAPE_REPORT, CUCKOO_REPORT]}))
    assert [in_file.report.task_id for in_file in read_reports(enveloped) if in_file.report] == ["7", "210"]


def test_numbers_and_dates_of_extended_json_are_read() -> None:
    report, _ = read("mongoexport_relaxed.json")
    assert (report.task_id, report.analysed_at, report.file_size) == ("31", "2026-02-03T10:00:00", 12345)
    canonical = {"info": {"id": {"$numberInt": "5"}, "started": {"$date": {"$numberLong": "1770112800000"}}}}
    report = report_from_results(canonical)
    assert (report.task_id, report.analysed_at) == ("5", "2026-02-03T10:00:00")


@pytest.mark.parametrize("name", ["cape_mongo_calls_as_ids.json", "mongoexport_relaxed.json"])
def test_calls_that_are_kept_elsewhere_are_named(name: str) -> None:
    _, behaviour = read(name)
    assert "import --mongodb" in behaviour.remark
    assert {"process:%sample%", "mutex:zbm"} <= set(behaviour.tokens)
    assert not any(token.startswith("api:") for token in behaviour.tokens)


def test_capes_short_report_is_read_as_what_it_is() -> None:
    report, behaviour = read("cape_lite.json")
    assert report.host == CAPE
    assert "short report" in behaviour.remark
    assert {"mutex:m1", "signature:stealth_file"} <= set(behaviour.tokens)
    assert extract(report_from_results(CAPE_REPORT)).remark == ""


def test_a_web_page_is_refused_as_html() -> None:
    with pytest.raises(ReportError, match="is HTML, such as a login page"):
        read_report(CASES / "html_login.json")


def zipped(content: bytes, *names: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in names or ("report.json",):
            archive.writestr(name, content)
    return file.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "zip": zipped,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_reports_are_read_whatever_their_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "anything"
    path.write_bytes(PACKERS[suffix](PLAIN))
    assert extract(read_report(path)) == extract(report_from_results(CAPE_REPORT))
    if suffix != "zip":
        path.write_bytes(PACKERS[suffix](PLAIN[:500]) + PACKERS[suffix](PLAIN[500:]))
        assert extract(read_report(path)) == extract(report_from_results(CAPE_REPORT)), "two streams"
    path.write_bytes(PACKERS[suffix](PLAIN)[:-9])
    with pytest.raises(ReportError, match="copy the file again"):
        read_report(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_bomb_stops_at_the_limit(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_UNPACKED", 2**20)
    path = tmp_path / f"bomb.json.{suffix}"
    path.write_bytes(PACKERS[suffix](b"{" + b" " * 50_000_000 + b"}"))
    assert path.stat().st_size < 100_000
    with pytest.raises(ReportError, match="unpacks to more than 1 MB"):
        read_report(path)


def test_a_zip_file_gives_each_report_in_it_and_what_it_cannot_give_is_said(tmp_path: Path) -> None:
    path = tmp_path / "several.zip"
    path.write_bytes(zipped(PLAIN, "a/1.json", "a/2.json", "a/readme.txt"))
    assert [in_file.name for in_file in read_reports(path)] == ["a/1.json", "a/2.json"]
    path.write_bytes(zipped(b"text", "a.txt", "b.txt"))
    with pytest.raises(ReportError, match=r"without a \.json file"):
        read_report(path)
    path.write_bytes(zipped(PLAIN, "a.json", method=zipfile.ZIP_BZIP2))
    with pytest.raises(ReportError, match="unpack it"):
        read_report(path)
    secret = bytearray(zipped(PLAIN, "a.json"))
    secret[6] |= 1  # the flag of a password, in the file's header and in the directory
    secret[secret.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(secret)
    with pytest.raises(ReportError, match="password"):
        read_report(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_byte_order_marks_are_understood(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes((b"\xfe\xff" if encoding == "utf-16-be" else b"") + PLAIN.decode().encode(encoding))
    assert extract(read_report(path)) == extract(report_from_results(CAPE_REPORT))
