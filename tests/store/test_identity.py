"""An analysis stays itself: nothing stored is replaced by another run or another sample, whatever bears its number."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command import cuckoo_ml
from support.paths import REPOSITORY
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures
from support.time_limits import HANG

from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source
from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_plugin.store import tables as schema
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store

VERSION_3 = Path(__file__).with_name("version_3")
STORAGE = "/opt/CAPEv2/storage/analyses"


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty store."""
    return str(request.getfixturevalue("postgresql_url") if request.param == "postgresql" else tmp_path / "store.db")


def run_of(
    task: str, sample: str = "a", started: str = "2026-02-03T10:00:00", node: str = "", path: str = "", **known: str
) -> AnalysisRecord:
    """A record of a run; ``node``: reported by the host of that node, else read from a file at ``path``."""
    sha256 = sample.encode().hex().ljust(64, "0") if sample else ""
    local = known.get("local_task", task)
    identity = Identity(node, task, local, known.get("job", task), started, sha256)
    place = Source(path or f"{STORAGE}/{local}/reports/report.json", -1 if node else 100, -1 if node else 1)
    name = task if node or not path else Path(path).stem
    tokens = (f"mutex:{sample}",)
    return AnalysisRecord(
        name, pack(tokens, {}), True, sha256=sha256 or None, target=f"{sample}.exe", analysed_at=started or None,
        source=place, identity=identity,
    )  # fmt: skip


def targets(store: Store) -> dict[str, str]:
    return {stored.analysis: stored.target.removesuffix(".exe") for stored in store.analyses_in_order()}


def test_two_nodes_with_the_same_paths_and_ids_keep_their_analyses(location: str) -> None:
    with Store.open(location) as store:
        for node in ("nodeA", "nodeB"):
            for task in ("5", "6", "7"):
                store.put([run_of(task, f"{node}-{task}", node=node)])
        assert targets(store) == {
            "5": "nodeA-5", "6": "nodeA-6", "7": "nodeA-7",
            "nodeB/5": "nodeB-5", "nodeB/6": "nodeB-6", "nodeB/7": "nodeB-7",
        }  # fmt: skip
        again = run_of("5", "nodeB-5", node="nodeB")
        again.packed = pack(("mutex:second",), {})
        assert store.put([again]) == ["nodeB/5"]
        assert store.count() == 6, "processing a run again replaces its record"
        stored = store.get("nodeB/5")
        assert stored is not None
        assert stored.unpack()[0] == ["mutex:second"]


def test_after_ids_began_again_old_analyses_and_their_labels_stay(location: str) -> None:
    with Store.open(location) as store:
        store.put([run_of("1", "old", node="n", started="2026-01-01T08:00:00")])
        store.set_labels({"1": "zeus"})
        store.save_findings([FindingRecord("1", "m", "c1", 0.9, None, 0.5, False)])
        [name] = store.put([run_of("1", "new", node="n", started="2026-03-01T08:00:00")])
        assert name == "1@2026-03-01"
        assert targets(store) == {"1": "old", "1@2026-03-01": "new"}
        assert store.labels_of(["1", name]) == {"1": {"analyst": "zeus"}}
        assert set(store.findings_of(["1", name])) == {"1"}
        more = [run_of("1", str(hour), node="n", started=f"2026-03-01T{hour:02}:30:00") for hour in (9, 10)]
        assert store.put(more) == ["1@2026-03-01T09:30:00", "1@2026-03-01T10:30:00"]
        assert store.put([run_of("1", "new", node="n", started="2026-03-01T08:00:00")]) == [name]
        assert store.put([run_of("1", "B", node="m", started="2026-03-01T08:00:00")]) == ["m/1"]
        assert store.put([run_of("1", "B2", node="m", started="2026-05-01T08:00:00")]) == ["m/1@2026-05-01"]


def test_the_same_sample_in_another_run_is_another_analysis(location: str) -> None:
    with Store.open(location) as store:
        first, second = "2026-01-01T08:00:00", "2026-01-01T09:00:00"
        names = [store.put([run_of("3", "x", node="n", started=started)])[0] for started in (first, second)]
        at_once = store.put([run_of(task, "x", node="n", started=first) for task in ("8", "9")])
        assert len({*names, *at_once}) == store.count() == 4


def test_a_colleagues_file_and_a_hosts_task_with_one_number_are_two_analyses(location: str) -> None:
    with Store.open(location) as store:
        colleague = run_of("17", "theirs", path="/home/ann/from-bob/17.json")
        assert store.put([colleague]) == ["17"]
        assert store.put([run_of("17", "ours", started="2026-02-04T10:00:00", node="n")]) == ["n/17"]
        assert store.put([colleague]) == ["17"]
        assert targets(store) == {"17": "theirs", "n/17": "ours"}


def test_files_of_a_stored_run_are_not_stored_twice(location: str) -> None:
    with Store.open(location) as store:
        assert store.put([run_of("17", node="n")]) == ["17"]
        copy, own = run_of("17", path="/backup/x.json"), run_of("17")
        [claim] = store.put_claims([copy])
        assert (claim.analysis, claim.is_new) == ("17", False)
        assert store.put([own]) == ["17"], "the tree that the host itself stored"
        stored = store.get("17")
        assert stored is not None
        assert (stored.node, stored.task, stored.source_path) == ("n", "17", f"{STORAGE}/17/reports/report.json")
        for file in (copy, own):
            assert file.source is not None
            assert [name for name, was in store.sources([file.source.key])[file.source.key] if was.size == 100] == [
                "17"
            ]
        assert store.count() == 1


def test_two_imported_files_of_one_run_stay_two_analyses(location: str) -> None:
    with Store.open(location) as store:
        files = [run_of("17", path=f"/data/{name}.json") for name in ("report", "lite")]
        assert [store.put([file])[0] for file in files] == ["report", "lite"]
        assert [store.put([file])[0] for file in files] == ["report", "lite"]


def test_a_host_that_reports_an_imported_run_again_takes_its_record_over(location: str) -> None:
    with Store.open(location) as store:
        assert store.put([run_of("17", path="/backup/x.json")]) == ["x"]
        store.set_labels({"x": "zeus"})
        assert store.put([run_of("17", node="n")]) == ["x"]
        stored = store.get("x")
        assert stored is not None
        assert (stored.node, stored.label, store.count()) == ("n", "zeus", 1)


def test_a_file_that_now_holds_another_run_is_a_new_analysis(location: str) -> None:
    path = "/data/sample.json"
    with Store.open(location) as store:
        store.put([run_of("1", "a", path=path)])
        store.set_labels({"sample": "zeus"})
        changed = run_of("2", "b", path=path)
        assert store.put([changed]) == ["data/sample"]
        assert targets(store) == {"sample": "a", "data/sample": "b"}
        assert store.labels_of(["sample", "data/sample"]) == {"sample": {"analyst": "zeus"}}
        assert changed.source is not None
        assert [name for name, _ in store.sources([changed.source.key])[changed.source.key]] == ["data/sample"]


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        (("", ""), ("", ""), True),
        (("", "a"), ("", "a"), True),
        (("", "a"), ("", "b"), False),
        (("", "a"), ("", ""), False),
        (("2026-02-03T10:00:00", ""), ("2026-02-03T10:00:00", "a"), True),
        (("2026-02-03T10:00:00", ""), ("2026-02-04T10:00:00", ""), False),
    ],
)
def test_a_report_that_does_not_tell_its_run_is_known_by_its_file(
    tmp_path: Path, before: tuple[str, str], after: tuple[str, str], is_same: bool
) -> None:
    records = [run_of("", sample, started, path="/riss/x.json") for started, sample in (before, after)]
    records[1].source = Source("/riss/x.json", 200, 2)
    with Store.open(tmp_path / "store.db") as store:
        names = [store.put([record])[0] for record in records]
        assert (names[0] == names[1]) == is_same == (store.count() == 1)
        assert store.put([records[1]]) == names[1:]


def test_an_id_is_never_given_to_another_run_even_in_one_batch(location: str) -> None:
    with Store.open(location) as store:
        records = [run_of("4", f"s{number}", node=f"n{number % 3}", started="") for number in range(9)]
        names = store.put(records)
        assert len(set(names)) == 9 == store.count()
        assert targets(store) == {name: f"s{number}" for number, name in enumerate(names)}


def test_an_id_that_is_not_stored_brings_up_those_that_may_be_meant(location: str) -> None:
    with Store.open(location) as store:
        store.put([run_of("17", "a", node="n"), run_of("17", "b", node="m"), run_of("170", "c", node="n")])
        store.put([run_of("4", "d", path="/mail/x_1.json"), run_of("5", "e", path="/other/x_1.json")])
        store.forget(["17", "x_1"])
        assert (store.like("17"), store.like("x_1"), store.like("x%1"), store.like("\x00")) == (
            ["m/17"], ["other/x_1"], [], [],
        )  # fmt: skip


# -- several nodes at once ---------------------------------------------------------------------------------------------
def _report_many(location: str, node: str, first: int) -> None:
    with Store.open(location) as store:
        for task in range(first, first + 8):
            for _ in range(2):  # each is processed twice
                [name] = store.put([run_of(str(task), f"{node}-{task}", node=node)])
                store.save_findings([FindingRecord(name, "m", None, None, None, 0.5, False, f"{node}-{task}")])


def test_16_writers_of_two_nodes_with_the_same_ids_lose_nothing(location: str) -> None:
    context = multiprocessing.get_context("spawn")
    work = [(location, node, 8 * part) for node in ("nodeA", "nodeB") for part in range(8)]
    writers = [context.Process(target=_report_many, args=arguments) for arguments in work]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(300)
    assert [writer.exitcode for writer in writers] == [0] * 16
    with Store.open(location) as store:
        stored = list(store.analyses_in_order())
        assert {(one.node, one.task): one.target for one in stored} == {
            (node, str(task)): f"{node}-{task}.exe" for node in ("nodeA", "nodeB") for task in range(64)
        }
        assert len(stored) == 128
        for name, finding in store.findings_of(one.analysis for one in stored).items():
            assert f"{finding.section}.exe" == next(one.target for one in stored if one.analysis == name)


# -- stores of version 3 -----------------------------------------------------------------------------------------------
def store_of_version_3(location: str) -> None:
    """Put what a store of version 3 held to a location."""
    lines = (VERSION_3 / "sqlite.sql").read_text(encoding="utf-8")
    if not location.startswith("postgresql"):
        with contextlib.closing(sqlite3.connect(location)) as connection:
            connection.executescript(lines)
        return
    import psycopg

    with contextlib.closing(sqlite3.connect(":memory:")) as old, psycopg.connect(
        location.replace("+psycopg", "")
    ) as new:  # fmt: skip
        old.executescript(lines)
        new.execute((VERSION_3 / "postgresql.sql").read_text(encoding="utf-8").encode())
        tables = [name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            cursor = old.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in cursor.description]
            places = ", ".join(["%s"] * len(columns))
            for row in cursor:
                values = [
                    bool(v) if n in ("has_behaviour", "anomalous") else v for n, v in zip(columns, row, strict=True)
                ]
                statement = f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE VALUES ({places})"
                new.execute(statement.encode(), values)
        new.execute(
            b"SELECT setval(pg_get_serial_sequence('cuckooml_analysis', 'number'), max(number)) FROM cuckooml_analysis"
        )


def test_a_store_of_version_3_is_upgraded_with_all_that_it_holds(location: str) -> None:
    store_of_version_3(location)
    with Store.open(location) as store:
        stored = {one.analysis: one for one in store.analyses_in_order()}
        assert list(stored) == ["17", "18", "19", "riss-1", "sample"]
        assert {name: (one.node, one.task, one.local_task) for name, one in stored.items()} == {
            "17": ("", "17", "17"), "18": ("", "18", "18"), "19": ("", "19", "19"),
            "riss-1": ("", "", ""), "sample": ("", "", ""),
        }  # fmt: skip
        assert stored["17"].sample == "17" * 32
        assert stored["19"].sample == "url:https://login.bank.example/"
        assert stored["17"].labels == {"analyst": "analyst-zeus", "host": "zbot"}
        assert stored["riss-1"].label == "ransom"
        assert stored["17"].unpack() == (["api:NtClose", "mutex:m17"], {"api_calls": 2}) if stored["17"].blob else True
        assert {name: finding.cluster for name, finding in store.findings_of(stored).items()} == {
            "17": "c1",
            "sample": None,
        }
        assert [score.indicator for score in store.threat_scores_of(["17"])["17"]] == ["a.example"]
        # The host processes task 17 again; then its ids begin again.
        again = run_of("17", started="2026-01-17T10:00:00", node="n")
        again.identity = Identity("n", "17", "17", "17", "2026-01-17T10:00:00", "17" * 32)
        assert store.put([again]) == ["17"]
        assert store.put([run_of("17", "new", node="n")]) == ["17@2026-02-03"]
        riss = run_of("", "", "", path="/data/riss/riss-1.json")
        assert store.put([riss]) == ["riss-1"]
        assert store.count() == 6


def test_an_upgraded_store_has_the_tables_of_a_new_one(location: str, tmp_path: Path) -> None:
    store_of_version_3(location)
    Store.open(location).close()
    if location.startswith("postgresql"):
        import psycopg

        query = b"SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"
        with psycopg.connect(location.replace("+psycopg", "")) as connection:
            upgraded = [row[0] for row in connection.execute(query)]
            connection.execute(b"DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        Store.open(location).close()
        with psycopg.connect(location.replace("+psycopg", "")) as connection:
            assert upgraded == [row[0] for row in connection.execute(query)]
        return
    Store.open(tmp_path / "new.db").close()
    contents = []
    for path in (location, tmp_path / "new.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            # the text of a table differs where a column was added to it, its columns do not
            schema = list(connection.execute("SELECT type, name, sql FROM sqlite_master"))
            columns = {name: list(connection.execute(f"PRAGMA table_info({name})")) for kind, name, _ in schema}
            contents.append((columns, {(kind, name, kind == "index" and sql) for kind, name, sql in schema}))
    assert contents[0] == contents[1]


def test_a_store_of_version_4_keeps_what_its_findings_say_of_failed_tasks(location: str) -> None:
    failed = "The task failed in the sandbox: the disk is full."
    messages = {"1": failed, "2": "The task failed in the sandbox.", "3": "", "4": None}
    sections = {
        name: json.dumps({"status": "no_behaviour", "message": message, "model": {"id": "m"}})
        for name, message in messages.items()
    }
    with Store.open(location) as store:
        for name, section in (sections | {"5": "no section", "6": "[]", "7": ""}).items():
            store.put([run_of(name, name, node="n")])
            store.save_findings([FindingRecord(name, "m", None, None, None, None, False, section)])
        downgrade = ("ALTER TABLE cuckooml_analysis DROP COLUMN remark", "UPDATE cuckooml_meta SET value = '4'")
        store._db.write(lambda connection: [connection.exec_driver_sql(line) for line in downgrade])
    with Store.open(location) as store:
        remarks = {stored.analysis: stored.remark for stored in store.analyses_in_order()}
        assert remarks == {"1": failed, **dict.fromkeys("234567", "")}
        assert store.put([run_of("1", "1", node="n")]) == ["1"], "a run that is processed again is the same"


@pytest.fixture
def large_store_of_version_3(tmp_path: Path) -> Path:
    path = tmp_path / "large.db"
    store_of_version_3(str(path))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(cuckooml_analysis)")]
        own = {"number": "NULL", "analysis": "'more-' || n", "order_key": "'more-' || n", "source_key": "'key-' || n"}
        values = ", ".join(own.get(column, column) for column in columns)
        connection.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000)"
            f" INSERT INTO cuckooml_analysis SELECT {values} FROM cuckooml_analysis, numbers WHERE analysis = '17'"
        )
    return path


def test_an_upgrade_killed_at_any_moment_is_done_by_the_next_open(
    large_store_of_version_3: Path, tmp_path: Path
) -> None:
    program = "import sys; from cuckoo_ml_plugin.store.store import Store; print(flush=True); Store.open(sys.argv[1])"

    def opening(path: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", program, path], cwd=REPOSITORY, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # the imports are done
        return process

    measured = opening(Path(shutil.copy(large_store_of_version_3, tmp_path / "measure.db")))
    began = time.monotonic()
    assert measured.wait(HANG) == 0
    whole = time.monotonic() - began
    moments = random.Random(SEED)
    killed = 0
    for number in range(4):
        path = tmp_path / f"{number}.db"
        shutil.copy(large_store_of_version_3, path)
        process = opening(path)
        time.sleep(whole * moments.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        killed += process.wait(60) == -signal.SIGKILL
        with contextlib.closing(sqlite3.connect(path)) as connection:
            [(version,)] = connection.execute("SELECT value FROM cuckooml_meta WHERE key = 'schema'")
            assert int(version) in (3, schema.current_version())
        with Store.open(path) as store:
            assert store.count() == 10_005
            assert store.labels_of(["17", "riss-1"])["17"] == {"analyst": "analyst-zeus", "host": "zbot"}
            stored = store.get("more-10000")
            assert stored is not None
            assert stored.unpack()[0] == ["api:NtClose", "mutex:m17"]
    assert killed, "no upgrade was killed while it ran"


# -- labels of a label file --------------------------------------------------------------------------------------------
def test_a_label_file_names_the_files_that_are_imported_with_it(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "colleague"
    folder.mkdir()
    report = {"info": {"id": 17, "started": "2026-02-03 10:00:00", "version": "2.5-CAPE"}}
    report["target"] = {"category": "file", "file": {"name": "t.exe", "sha256": "ab" * 32}}
    report["behavior"] = {"summary": {"mutexes": ["theirs"]}, "processes": []}
    (folder / "17.json").write_text(json.dumps(report))
    (tmp_path / "labels.tsv").write_text("17.json\tzeus\n")
    with Store.open(home / "store.db") as store:
        store.put([run_of("17", "ours", node="n")])
        done = cuckoo_ml(home, "import", folder, "--labels", tmp_path / "labels.tsv", "--json")
        assert done.code == 0, done.err
        assert [entry["analysis"] for entry in done.json["renamed"]] == ["colleague/17"]
        assert store.labels_of(["17", "colleague/17"]) == {"colleague/17": {"analyst": "zeus"}}
