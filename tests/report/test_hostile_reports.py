"""Malware decides what is in a report. Whatever it is, reading gives a behaviour or an error of one sentence."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.reports import CAPE_REPORT, CUCKOO_REPORT, written

from benchmarks.faults.memory import growth, hostile_report
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import MAX_TOKENS, extract
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.plumbing.text import MAX_VALUE
from cuckoo_ml_plugin.report.files import decode, packing
from cuckoo_ml_plugin.report.labels import labels_of
from cuckoo_ml_plugin.report.report import Report, read_report, read_reports, report_from_results

HOSTILE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(
    ["\ud800", "C:\\Users\\\u202egpj", "\x00", "a\nb", "\\" * 80]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from([10**400, 1e308, -1, 2**64])
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(texts | st.sampled_from(sorted(CAPE_REPORT)), inner, max_size=4)
    ),
    max_leaves=12,
)


def check(behaviour: Behaviour) -> None:
    """Assert what holds for every behaviour, whatever the report."""
    assert list(behaviour.tokens) == sorted(set(behaviour.tokens))
    assert len(behaviour.tokens) <= MAX_TOKENS
    for token in behaviour.tokens:
        value = token.partition(":")[2]
        assert value
        assert len(value) <= MAX_VALUE
        assert token.isprintable()
        token.encode()
    json.dumps(behaviour.counts, allow_nan=False)
    assert len(behaviour.hashes()) == len(behaviour.tokens)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value in a report."""
    paths = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return paths + [place for key, entry in inner for place in places(entry, (*path, key))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a report with ``new`` at ``path``."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def read_or_refuse(path: Path) -> Report | None:
    """The report, or None after an error that is one line and names the file."""
    try:
        report = read_report(path)
    except ReportError as error:
        message = str(error)
    else:
        labels_of(report)
        check(extract(report))
        return report
    assert str(path) in message
    assert "\n" not in message
    return None


@HOSTILE
@given(st.data())
def test_a_file_and_memory_agree_whatever_value_is_in_whatever_place(tmp_path: Path, data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([CAPE_REPORT, CUCKOO_REPORT]))
    results = replaced(whole, data.draw(st.sampled_from(places(whole))), data.draw(anything))
    from_memory = extract(report_from_results(results))
    check(from_memory)
    report = read_or_refuse(written(tmp_path, results))
    if report is not None:
        assert extract(report) == from_memory


@HOSTILE
@given(anything)
def test_any_json_is_a_report_or_is_refused(tmp_path: Path, value: Any) -> None:
    read_or_refuse(written(tmp_path, value))
    if isinstance(value, dict):
        check(extract(report_from_results(value)))


@HOSTILE
@given(st.data())
def test_a_report_that_is_cut_or_overwritten_anywhere_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.dumps(CAPE_REPORT).encode()
    start = data.draw(st.integers(0, len(whole)))
    path = tmp_path / "report.json"
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)))
    read_or_refuse(path)
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=8)) + whole[start + 3 :])
    read_or_refuse(path)
    path.write_bytes(gzip.compress(whole)[:start])
    read_or_refuse(path)


@HOSTILE
@given(
    st.lists(texts, max_size=30),
    st.sampled_from(["read_files", "keys", "mutexes", "executed_commands", "resolved_apis"]),
)
@example(["a long name " * 100], "mutexes")
@example([" begins with a space", "ends with one "], "mutexes")
@example(["breaks\nthe\u2028line"], "mutexes")
def test_any_names_become_presentable_tokens_and_leave_the_others_unchanged(names: list[str], operation: str) -> None:
    summary = {operation: names, "created_services": ["plain"]}
    behaviour = extract(report_from_results({"behavior": {"summary": summary}}))
    check(behaviour)
    assert "service_created:plain" in behaviour.tokens
    if any(name.isalnum() for name in names):
        assert len(behaviour.tokens) > 1


BASE = b'{"info": {"version": "2.4-CAPE", "id": 7}, "signatures": [{"name": "kept"}], %s}'


@pytest.mark.parametrize(
    "section",
    [
        b'"malscore": NaN',
        b'"malscore": -Infinity, "behavior": {"summary": {"mutexes": ["m", NaN]}}',
        b'"network": {"tcp": [{"dst": "1.2.3.4", "dport": 1e308}]}, "x": 1e999',
        b'"network": {"tcp": [{"dst": "1.2.3.4", "dport": 1' + b"0" * 400 + b"}]}",
        b'"x": 1' + b"0" * 5000,
        b'"behavior": {"summary": {"mutexes": ["m\\ud800x"]}}',
        b'"behavior": {"summary": {"mutexes": ["m\xff\xfex"]}}',
        b'"skipped": "\xed\xa0\x80"',
        b'"strings": [' + b",".join([b'"ab"'] * 1_000_000) + b"]",
        b'"behavior": {"summary": {"keys": [' + b",".join([b"7"] * 1_000_000) + b"]}}",
        b'"behavior": {"processes": [{"calls": [' + b",".join([b'{"api": "X"}'] * 1_000_000) + b"]}]}",
        b'"behavior": {"processes": [' + b",".join([b'{"process_name": "a"}'] * 100_000) + b"]}",
        b'"skipped": [' + b",".join([b"7"] * 5_000_000) + b"]",
    ],
    ids=range(13),
)
def test_strange_numbers_texts_and_sizes_leave_the_rest_readable(section: bytes, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(BASE % section)
    report = read_or_refuse(path)
    assert report is not None
    assert "signature:kept" in extract(report).tokens


@pytest.mark.parametrize("place", [b'"skipped": %s', b'"detections": %s', b'"behavior": {"processes": %s}'])
def test_ten_thousand_levels_of_nesting_do_not_crash(place: bytes, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        path.write_bytes(BASE % (place % (opening * 10_000 + b"1" + closing * 10_000)))
        read_or_refuse(path)
    nested: Any = 1
    for _ in range(10_000):
        nested = [nested]
    check(
        extract(
            report_from_results({"behavior": {"processes": nested, "summary": {"keys": nested}}, "detections": nested})
        )
    )


@pytest.mark.parametrize(
    ("section", "element"),
    [
        ("behavior.processes", "{}"),
        ("environ", "[]"),
        ("calls", "a call"),
        ("network.tcp", "{}"),
        ("strings", "short texts"),
        ("virustotal", "[[]]"),
        ("signatures", "4,000 keys"),
    ],
)
def test_tiny_elements_take_at_most_three_times_the_file_or_64_mb(section: str, element: str) -> None:
    size = 6_000_000
    grown, _ = growth(hostile_report(section, element, size))
    assert grown <= max(3 * size, 64 * 2**20)


def test_a_section_too_large_leaves_the_others_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(BASE % (b'"behavior": {"processes": [' + b"{}," * 1_000_000 + b"{}]}"))
    behaviour = extract(read_report(path))
    assert "signature:kept" in behaviour.tokens
    assert "Not all of behavior is read" in behaviour.remark
    assert extract(read_report(path)) == behaviour


def test_a_large_report_with_nan_and_a_lone_surrogate_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(BASE % (b'"malscore": NaN, "virustotal": {"x": "NaN, \\ud800"}, "y": "' + b"y" * 2_000_000 + b'"'))
    assert "signature:kept" in extract(read_report(path)).tokens


def test_who_reads_hears_of_a_large_report_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LARGE", 2**21)
    packed, plain, small = tmp_path / "packed.json.gz", tmp_path / "plain.json", tmp_path / "small.json"
    report = BASE % (b'"y": "' + b"y" * 3_000_000 + b'"')
    packed.write_bytes(gzip.compress(report))
    plain.write_bytes(report)
    small.write_bytes(BASE % b'"y": 1')
    told: list[str] = []
    for path in (packed, plain, small):
        assert [in_file.error for in_file in read_reports(path, lambda: told.append(path.name))] == [None]  # noqa: B023
    assert set(told) == {"packed.json.gz", "plain.json"}


def test_a_gzip_bomb_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_UNPACKED", 2**22)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * 2**26))
    with pytest.raises(ReportError, match="unpacks to more than 4 MB"):
        read_report(path)
    path = tmp_path / "large.json"
    path.write_bytes(b" " * (2**22 + 1))
    with pytest.raises(ReportError, match="more than 4 MB"):
        read_report(path)


def test_thousands_of_empty_gzip_streams_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "members.json.gz"
    path.write_bytes(gzip.compress(b"") * 5000)
    with pytest.raises(ReportError, match="gzip streams"):
        read_report(path)


def test_damage_inside_a_gzip_stream_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(json.dumps(CAPE_REPORT).encode()))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "damaged.json.gz"
    path.write_bytes(packed)
    assert read_or_refuse(path) is None
    with pytest.raises(zlib.error):
        zlib.decompress(bytes(packed), wbits=31)


def test_invalid_json_too_large_to_repair_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_TOLERANT", 1000)
    path = tmp_path / "report.json"
    path.write_bytes(BASE % (b'"malscore": NaN, "x": "' + b"y" * 2_000_000 + b'"'))
    with pytest.raises(ReportError, match="too large to be repaired"):
        read_report(path)


@pytest.mark.parametrize("place", ["sample", "user", "computer", "path", "mutex", "command", "api", "host", "url"])
def test_names_of_several_megabytes_take_no_quadratic_time(place: str) -> None:
    """In a process of its own, which can be stopped: quadratic time would be hours."""
    program = f"""
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.report.report import report_from_results
for unit in ("a", "\\\\", "{{", "0", "a0", "{{0-", "%", "ab.", " ", "\\\\\\\\?\\\\", "<rand>", "@"):
    long = unit * (4_000_000 // len(unit))
    report = {{"info": {{"version": "2.4-CAPE"}}, "target": {{"file": {{"name": "a"}}}}, "network": {{}}, "behavior": {{
        "processes": [{{"environ": {{}}, "calls": []}}], "summary": {{}}}}}}
    environ, summary = report["behavior"]["processes"][0]["environ"], report["behavior"]["summary"]
    if {place!r} == "sample": report["target"]["file"]["name"] = long
    if {place!r} == "user": environ["UserName"] = long
    if {place!r} == "computer": environ["ComputerName"] = long
    if {place!r} == "path": summary["read_files"] = ["C:\\\\" + long, long]
    if {place!r} == "mutex": summary["mutexes"] = [long]
    if {place!r} == "command": summary["executed_commands"] = [long, "c:\\\\" + long]
    if {place!r} == "api": report["behavior"]["processes"][0]["calls"] = [{{"api": long}}, {{"api": "b" + long}}]
    if {place!r} == "host": report["network"]["hosts"] = [long]
    if {place!r} == "url": report["network"]["http"] = [{{"host": "a", "uri": "/" + long, "user-agent": long}}]
    extract(report_from_results(report))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
