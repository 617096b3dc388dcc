"""Reports of both hosts are read from a file and from memory; damage in one place leaves the rest readable."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.reports import CAPE_REPORT, CUCKOO_REPORT, SHA256, real_reports, written

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.report.report import CAPE, CUCKOO2, read_report, report_from_results


def test_the_facts_of_a_cuckoo_report(tmp_path: Path) -> None:
    report = read_report(written(tmp_path, CUCKOO_REPORT))
    assert (report.host, report.host_version, report.task_id) == (CUCKOO2, "2.0.7", "210")
    assert (report.sha256, report.target, report.file_size) == (SHA256, "evil.exe", 4096)
    assert (report.analysed_at, report.machine, report.submitter) == ("2023-05-25T00:45:32", "win10", "soc")


def test_the_facts_of_a_cape_report(tmp_path: Path) -> None:
    report = read_report(written(tmp_path, CAPE_REPORT))
    assert (report.host, report.host_version, report.task_id) == (CAPE, "2.4-CAPE", "7")
    assert (report.analysed_at, report.machine, report.submitter) == ("2023-07-22T10:59:27", "win7", "3")


def test_cape_is_recognised_by_content_if_its_version_does_not_name_it(tmp_path: Path) -> None:
    report = CAPE_REPORT | {"info": {"version": "2.5", "id": 8}}
    assert read_report(written(tmp_path, report)).host == CAPE


def test_gzip_is_recognised_by_content_and_not_by_name(tmp_path: Path) -> None:
    plain = read_report(written(tmp_path, CAPE_REPORT))
    packed = tmp_path / "odd.name"
    packed.write_bytes(gzip.compress(json.dumps(CAPE_REPORT).encode()))
    assert extract(read_report(packed)) == extract(plain)


def test_the_target_of_a_url_analysis_is_the_url(tmp_path: Path) -> None:
    report = read_report(
        written(tmp_path, {"info": {"id": 1}, "target": {"category": "url", "url": "http://evil.example/"}})
    )
    assert (report.sha256, report.target) == (None, "http://evil.example/")


@pytest.mark.parametrize("results", [CUCKOO_REPORT, CAPE_REPORT], ids=["cuckoo2", "cape"])
def test_the_same_analysis_gives_the_same_behaviour_from_a_file_and_from_memory(results: Any, tmp_path: Path) -> None:
    from_file = extract(read_report(written(tmp_path, results)))
    from_memory = extract(report_from_results(results))
    assert from_file == from_memory
    assert from_file.has_behaviour


def test_real_reports_give_the_same_behaviour_from_a_file_and_from_memory(shared_data: Path) -> None:
    for path in real_reports(shared_data):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert extract(read_report(path)) == extract(report_from_results(json.loads(data))), path.name


class LazyCalls(list[Any]):
    """A list of calls as CAPE's processing modules have it: its length is 0, and each iteration parses the log."""

    def __init__(self, calls: list[Any], breaks_off: bool = False) -> None:
        super().__init__()
        self.calls, self.breaks_off, self.iterations = calls, breaks_off, 0

    def __iter__(self) -> Iterator[Any]:
        self.iterations += 1
        yield from self.calls
        if self.breaks_off:
            raise EOFError


def with_calls(calls: Any) -> dict[str, Any]:
    process = CAPE_REPORT["behavior"]["processes"][0] | {"calls": calls}
    return CAPE_REPORT | {"behavior": CAPE_REPORT["behavior"] | {"processes": [process]}}


def test_calls_that_a_host_parses_lazily_are_iterated_once() -> None:
    plain = CAPE_REPORT["behavior"]["processes"][0]["calls"]
    lazy = LazyCalls(plain)
    assert extract(report_from_results(with_calls(lazy))) == extract(report_from_results(CAPE_REPORT))
    assert lazy.iterations == 1


def test_a_log_of_calls_that_breaks_off_gives_the_calls_before_that() -> None:
    tokens = extract(report_from_results(with_calls(LazyCalls([{"api": "NtOpenFile"}], breaks_off=True)))).tokens
    assert "api:NtOpenFile" in tokens


def test_a_start_time_in_memory_is_the_one_in_the_file(tmp_path: Path) -> None:
    results = CUCKOO_REPORT | {"info": CUCKOO_REPORT["info"] | {"started": datetime(2023, 5, 25, 0, 45, 32, 150)}}
    assert report_from_results(results).analysed_at == read_report(written(tmp_path, CUCKOO_REPORT)).analysed_at


@pytest.mark.parametrize("year", [1, 999, 1969, 2100, 9999])
def test_an_impossible_start_time_is_none(year: int) -> None:
    for started in (f"{year:04d}-12-31 23:59:59", datetime(year, 12, 31), (year - 1970) * 31_556_952.0 + 10**6):
        results = CUCKOO_REPORT | {"info": CUCKOO_REPORT["info"] | {"started": started}}
        assert report_from_results(results).analysed_at is None


@pytest.mark.parametrize("section", sorted(CAPE_REPORT))
@pytest.mark.parametrize("damage", [None, 7, "text", [], {}, [[1]], {"a": [None]}, [{"name": {}}]], ids=repr)
def test_a_damaged_section_leaves_the_others_readable(section: str, damage: Any, tmp_path: Path) -> None:
    whole = extract(read_report(written(tmp_path, CAPE_REPORT)))
    damaged = extract(read_report(written(tmp_path, CAPE_REPORT | {section: damage}, "damaged.json")))
    elsewhere = {
        "behavior": ("host:", "domain:", "signature:", "file_type:"),
        "network": ("api:", "file_read:", "signature:", "file_type:"),
        "target": ("api:", "host:", "signature:"),
    }.get(section, ("api:", "file_read:", "host:", "file_type:"))
    kept = {token for token in whole.tokens if token.startswith(elsewhere)}
    assert kept
    assert kept <= set(damaged.tokens)


def test_errors_name_the_file_and_say_what_to_do(tmp_path: Path) -> None:
    cases = {
        "missing.json": (None, "cannot be read"),
        "empty.json": (b"", "is empty"),
        "cut.json": (json.dumps(CAPE_REPORT).encode()[:200], "cut short"),
        "other.json": (b'{"hello": 1}', "not a report of Cuckoo or CAPE"),
        "list.json": (b"[1, 2]", "not a report of Cuckoo or CAPE"),
        "half.json.gz": (gzip.compress(json.dumps(CAPE_REPORT).encode())[:-20], "copy the file again"),
        "program.exe": (b"MZ\x90\x00" * 20, "not valid JSON"),
    }
    for name, (content, reason) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ReportError, match=reason) as caught:
            read_report(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"directory|not a regular file"):
        read_report(tmp_path)
