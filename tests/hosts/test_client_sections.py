"""What the Python 2.7 client sends of a report is what the schema of report files reads."""

from __future__ import annotations

import json
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from support.cuckoo2_client import client
from support.reports import CASES, case

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.report.files.request import results_of_request
from cuckoo_ml_plugin.report.files.schema import ReportSections
from cuckoo_ml_plugin.report.report import read_report, report_from_results

IN_THE_HEADER = {("behavior", "processes", "calls")}  # the call logs are sent as names and numbers


def fields(annotation: Any) -> dict[str, Any]:
    """The keys that a type of the schema names, with their types; none for Any, texts and numbers."""
    if is_typeddict(annotation):
        return get_type_hints(annotation)
    if get_origin(annotation) in (list, Union, UnionType):
        return {key: kind for part in get_args(annotation) for key, kind in fields(part).items()}
    return {}


def differences(sent: Any, read: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The keys that only one of the client and the schema names; where the client sends all of a value, none."""
    if sent is None:
        return []
    keys: dict[str, Any] = dict(key if isinstance(key, tuple) else (key, None) for key in sent)
    fields_read = {key: kind for key, kind in fields(read).items() if (*path, key) not in IN_THE_HEADER}
    both = keys.keys() & fields_read.keys()
    return [(*path, key) for key in keys.keys() ^ fields_read.keys()] + [
        difference for key in both for difference in differences(keys[key], fields_read[key], (*path, key))
    ]


def test_the_client_sends_the_keys_that_the_schema_reads() -> None:
    assert differences(client().SECTIONS.items(), ReportSections) == []


@pytest.mark.parametrize("path", [("url",), ("network", "dns"), ("behavior", "processes", "environ")])
def test_a_key_that_is_not_sent_is_noticed(path: tuple[str, ...]) -> None:
    def without(keys: Any, name: str, *rest: str) -> Any:
        pairs = [key if isinstance(key, tuple) else (key, None) for key in keys]
        return [(key, without(below, *rest) if key == name else below) for key, below in pairs if key != name or rest]

    assert differences(without(client().SECTIONS.items(), *path), ReportSections) == [path]


def test_sections_reach_the_worker_whole() -> None:
    """Each named section is sent; of a list of tables only the named keys of each."""
    module = client()
    dropped = [{"name": "a.exe", "virustotal": {"positives": 1, "scans": {}}, "yara": []}]
    only = module._only({"dropped": dropped, "url": {"virustotal": {}}, "memory": {}}, list(module.SECTIONS.items()))
    assert only == {"dropped": [{"name": "a.exe", "virustotal": {"positives": 1}}], "url": {"virustotal": {}}}


class JsonOfPython2:
    """The module as Python 2.7 has it, as far as a request needs it."""

    @staticmethod
    def dumps(value: Any, default: Any, encoding: str, skipkeys: bool) -> str:
        assert encoding == "latin-1"
        return json.dumps(value, default=default, skipkeys=skipkeys)


@pytest.mark.parametrize("most", [100_000, 12])
def test_calls_on_linux_reach_the_worker_with_their_arguments(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Of a longer log, the calls beyond the limit come with their names alone."""
    module, results = client(), case("cuckoo2_linux")
    monkeypatch.setattr(module, "MAX_TRACED", most)
    monkeypatch.setattr(module, "json", JsonOfPython2)
    header, body = module._request("enrich", results, calls=True)
    sent = extract(report_from_results(results_of_request(header, body.encode())))
    of_file = extract(read_report(CASES / "cuckoo2_linux.json"))
    if most > 12:
        assert sent == of_file
    else:
        assert {"file_written:/etc/crontab", "file_read:/home/%user%/.ssh/id_rsa"} <= set(sent.tokens)
        assert "dir_created:/tmp/ä" not in sent.tokens
        assert [token for token in sent.tokens if token.startswith(("api:", "ngram:"))] == [
            token for token in of_file.tokens if token.startswith(("api:", "ngram:"))
        ]
