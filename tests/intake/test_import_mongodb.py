"""`cuckoo-ml import --mongodb` reads a host's past analyses from its database, with their calls, and resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import mongomock
import pytest
from bson import ObjectId
from support.command import Done, cuckoo_ml
from support.reports import CAPE_REPORT, case, real_reports

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.store.store import Store

URL = "mongodb://admin:secret@localhost:27017/cuckoo"


@pytest.fixture
def database() -> Iterator[Any]:
    """A host's database, in memory."""
    client: Any = mongomock.MongoClient(URL)
    with mock.patch("pymongo.MongoClient", return_value=client):
        yield client.get_default_database("cuckoo")


def insert(database: Any, report: dict[str, Any], size: int = 2, **info: Any) -> dict[str, Any]:
    """Store a report as both hosts do: the calls of each process in chunks of ``size`` calls."""
    document = report | {"info": report["info"] | info, "_id": ObjectId()}
    processes = []
    for process in report["behavior"]["processes"]:
        calls = process["calls"]
        keys = [
            database["calls"].insert_one({"pid": 1, "calls": calls[start : start + size]}).inserted_id
            for start in range(0, len(calls), size)
        ]
        processes.append(process | {"calls": keys})
    document["behavior"] = report["behavior"] | {"processes": processes}
    database["analysis"].insert_one(document)
    return document


def import_from(home: Path, *options: object) -> Done:
    return cuckoo_ml(home, "import", "--mongodb", URL, *options)


@pytest.mark.parametrize("name", ["cape_linux_strace", "cape_url", ""])
def test_a_document_and_its_calls_give_the_behaviour_of_the_report(name: str, database: Any, tmp_path: Path) -> None:
    report = case(name) if name else CAPE_REPORT
    insert(database, report, id=5)
    done = import_from(tmp_path, "--json")
    assert done.code == 0, done.err
    assert (done.json["stored"], done.json["remarks"]) == (1, [])
    with Store.open(tmp_path / "store.db") as store:
        stored = store.get("5")
        assert stored is not None
        assert stored.unpack()[0] == list(extract(report_from_results(report)).tokens)
        assert "secret" not in str(stored.source_path)


def test_an_import_is_resumed_and_reads_what_was_analysed_again(database: Any, tmp_path: Path) -> None:
    documents = [
        insert(database, CAPE_REPORT, id=number, started=f"2026-01-01 10:{number:02d}:00", ended="x")
        for number in range(1, 6)
    ]
    reads: list[Any] = []
    find_one = database["analysis"].find_one

    def interrupted(query: Any, *rest: Any) -> Any:
        reads.append(query)
        if len(reads) == 5:  # the first is the probe
            raise KeyboardInterrupt
        return find_one(query, *rest)

    with mock.patch.object(type(database["analysis"]), "find_one", lambda _self, *rest: interrupted(*rest)):
        assert import_from(tmp_path).code != 0
    resumed = import_from(tmp_path, "--json")
    assert (resumed.json["skipped"], resumed.json["stored"]) == (3, 2)
    assert import_from(tmp_path, "--json").json["skipped"] == 5
    database["analysis"].update_one({"_id": documents[0]["_id"]}, {"$set": {"info.ended": "later"}})
    again = import_from(tmp_path, "--json")
    assert (again.json["skipped"], again.json["stored"]) == (4, 1)
    with Store.open(tmp_path / "store.db") as store:
        assert store.count() == 5


def test_calls_that_the_database_lost_and_damaged_documents_do_not_stop_the_import(
    database: Any, tmp_path: Path
) -> None:
    insert(database, CAPE_REPORT, id=1)
    database["calls"].delete_many({})
    database["analysis"].insert_many([{"info": 7}, {"behavior": {"processes": [7, {"calls": [None]}]}}, {}])
    done = import_from(tmp_path, "--json")
    assert done.code == 0, done.err
    assert done.json["read"] == 4
    with Store.open(tmp_path / "store.db") as store:
        stored = store.get("1")
        assert stored is not None
        assert "mutex:m" in stored.unpack()[0]


def test_a_database_that_cannot_be_reached_and_a_wrong_use_are_said(tmp_path: Path) -> None:
    import pymongo.errors

    with mock.patch("pymongo.MongoClient", side_effect=pymongo.errors.ServerSelectionTimeoutError("no server")):
        done = import_from(tmp_path)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "MongoDB cannot be reached" in done.err
    assert cuckoo_ml(tmp_path, "import", "--mongodb", URL, tmp_path).code == 2


def test_real_reports_come_back_from_the_database_as_they_are_in_files(
    database: Any, shared_data: Path, tmp_path: Path
) -> None:
    import gzip
    import json

    path = real_reports(shared_data)[0]
    report = json.loads(gzip.decompress(path.read_bytes()))
    insert(database, report, size=100, id=9)
    import_from(tmp_path)
    with Store.open(tmp_path / "store.db") as store:
        stored = store.get("9")
        assert stored is not None
        assert stored.unpack()[0] == list(extract(report_from_results(report)).tokens)
