"""The store keeps what was stored, whatever happens around it, on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, inspect
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source, order_key
from cuckoo_ml_plugin.report.threat_scores import ThreatScore
from cuckoo_ml_plugin.store import tables as schema
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord
from cuckoo_ml_plugin.store.overview import Activity
from cuckoo_ml_plugin.store.packed_behaviour import pack, unpack
from cuckoo_ml_plugin.store.store import Store

TOKENS = ("api:NtCreateFile", "file_written:%temp%\\a.exe", "mutex:zebra")
COUNTS = {"api_calls": 7, "highest_section_entropy": 6.5}


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty store."""
    return str(request.getfixturevalue("postgresql_url") if request.param == "postgresql" else tmp_path / "store.db")


def record(name: str, tokens: tuple[str, ...] = TOKENS, path: str = "", **fields: object) -> AnalysisRecord:
    source = Source(path, 1, 1) if path else None
    return AnalysisRecord(name, pack(tokens, COUNTS), True, source=source, **fields)  # type: ignore[arg-type]


LONG_AGO = datetime(2000, 1, 1)


def sizes(activity: Mapping[str | None, Activity]) -> dict[str | None, tuple[int, int]]:
    """The samples and the runs of each group."""
    return {group: (counted.samples, counted.runs) for group, counted in activity.items()}


def test_a_user_who_may_only_read_the_store_can_query_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "host's user" / "store #1?.db"
    Store.open(file).put([record("17")])
    before = file.read_bytes(), list(file.parent.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
    with Store.open(file) as store:
        assert store.get("17") is not None
        with pytest.raises(StoreError, match="cannot be written"):
            store.put([record("18")])
    assert (file.read_bytes(), list(file.parent.iterdir())) == before
    monkeypatch.undo()
    with Store.open(file) as store:
        monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
        assert store.count() == 1
        monkeypatch.undo()
        store.put([record("18")])  # permissions are looked at again for each connection
    with contextlib.closing(sqlite3.connect(file)) as host:  # its latest writes lie in the WAL while it is open
        host.execute("UPDATE cuckooml_analysis SET target = 'new.exe'")
        host.commit()
        monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
        with Store.open(file) as store:
            stored = store.get("17")
            assert stored is not None
            assert stored.target == "new.exe"


def test_an_analysis_comes_out_as_it_was_put_in(location: str) -> None:
    with Store.open(location) as store:
        kept = record("17", host="cape", sha256="ab" * 32, tags=["x64"], labels={"host": "zbot"}, target="a.exe")
        kept.remark = "A static analysis."
        assert store.put([kept]) == ["17"]
    with Store.open(location) as store:
        stored = store.get("17")
        assert stored is not None
        assert stored.unpack() == (list(TOKENS), COUNTS)
        assert (stored.host, stored.sha256, stored.tags, stored.label) == ("cape", "ab" * 32, ["x64"], "zbot")
        assert stored.remark == "A static analysis."
        assert store.get("18") is None


def test_an_analysis_processed_again_replaces_its_record(location: str) -> None:
    with Store.open(location) as store:
        store.put([record("17", labels={"host": "zbot"})])
        store.set_labels({"17": "kovter"})
        store.put([record("17", ("api:NtClose",), labels={"virustotal": "upatre"})])
        assert store.count() == 1
        stored = store.get("17")
        assert stored is not None
        assert stored.unpack()[0] == ["api:NtClose"]
        assert stored.labels == {"analyst": "kovter", "virustotal": "upatre"}, "the host no longer says zbot"
        assert stored.label == "kovter", "the analyst's label wins"
        store.set_labels({"17": ""})
        assert store.labels_of(["17"]) == {"17": {"virustotal": "upatre"}}


def test_two_sources_with_the_same_id_are_both_kept(location: str) -> None:
    with Store.open(location) as store:
        assert store.put([record("report", path="/a/one/report.json")]) == ["report"]
        assert store.put([record("report", path="/a/two/report.json")]) == ["two/report"]
        assert store.put([record("report", path="/a/one/report.json")]) == ["report"], "the same file keeps its id"
        assert store.count() == 2


def test_a_label_file_may_name_a_sample_by_its_hash(location: str) -> None:
    with Store.open(location) as store:
        store.put([record("1", sha256="ab" * 32), record("2", sha256="ab" * 32), record("3")])
        assert store.set_labels({"AB" * 32: "zbot", "nobody": "zbot"}) == ["nobody"]
        assert {name: stored.label for name, stored in store.get_many(["1", "2", "3"]).items()} == {
            "1": "zbot", "2": "zbot", "3": None,
        }  # fmt: skip


def test_a_label_of_nothing_but_control_characters_hides_no_other(location: str) -> None:
    with Store.open(location) as store:
        store.put([record("17", labels={"host": "zbot"})])
        assert store.set_labels({"17": "\x00", "n\x00body": "zbot", "\ud800": "zbot", "1\x007": "upatre"}) == [
            "n\x00body", "\ud800",
        ]  # fmt: skip
        stored = store.get("1\x007")
        assert stored is not None, "an id is what the store makes of it"
        assert stored.label == "upatre"
        assert store.get("\ud800") is None


def test_a_store_that_was_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.put([record(str(number), (f"api:{number}" * 50,)) for number in range(200)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 // 4096 * 4096])
    with pytest.raises(StoreError, match=r"is damaged|is not an SQLite"), Store.open(path) as store:
        list(store.analyses_in_order())


def test_the_corpus_is_read_in_the_order_people_count_whatever_the_database_sorts_by(location: str) -> None:
    names = ["10", "9", "b/x", "B", "a-10", "a-9", "ä", "Z", "1", "_"]
    with Store.open(location) as store:
        store.put([record(name) for name in names])
        expected = sorted(names, key=order_key)
        assert [stored.analysis for stored in store.analyses_in_order(batch=3)] == expected
        assert expected.index("9") < expected.index("10")
        for parts in (1, 2, 3, 20):
            ranges = store.split(parts)
            assert [stored.analysis for part in ranges for stored in store.analyses_in_order(part)] == expected


def test_thousands_of_findings_are_stored_as_one_after_another_would_be(location: str) -> None:
    names = [f"{number}é" for number in range(6_000)]
    first = [FindingRecord(name, "m1", None, None, None, None, False) for name in names]
    later = [
        FindingRecord(
            name,
            "m2\x00\ud800",
            f"c{n % 7}" if n % 3 else None,
            float("nan") if n % 5 == 0 else n / 10,
            float("inf") if n % 6 == 0 else 0.1,
            0.5,
            n % 2 == 0,
            '{"text": "{é} [\\"]"}' if n % 4 else "",
            "2026-01-02T03:04:05Z",
            "k1" if n % 2 else None,
            0.25,
        )
        for n, name in enumerate(names)
    ]
    with Store.open(location) as store:
        store.put([record(name) for name in names[:200]])
        assert store.save_findings(first) == len(names)
        assert store.save_findings(later) == len(names)
        together = store.findings_of(names)
        assert len(together) == len(names)
        for finding in later[:20]:  # one at a time, as a host stores them
            assert store.save_findings([finding]) == 1
        assert store.findings_of(names) == together
        assert {finding.model for finding in together.values()} == {together[names[0]].model}
        assert together[names[0]].probability is None
        assert together[names[1]].probability == 0.1
        assert together[names[1]].section == later[1].section
        assert [listed.finding.analysis for listed in store.anomalies(limit=2)] == [names[0], names[2]]


def test_findings_are_kept_listed_and_counted(location: str) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    with Store.open(location) as store:
        store.put([record(str(number), labels={"host": "zbot"}) for number in range(6)])
        findings = [
            FindingRecord(str(n), "m1", "c1" if n < 4 else None, 0.5 + n / 10, 0.1, n / 5, anomalous=n > 3)
            for n in range(6)
        ]
        for n in (0, 1, 4):
            findings[n].kin, findings[n].kin_probability = "k0", n / 10
        assert store.save_findings(findings) == 6
        assert sizes(store.kin_activity(LONG_AGO)) == {"k0": (3, 3), None: (3, 3)}
        assert store.kin_count("k0") == (3, 3)
        assert [listed.finding.analysis for listed in store.kin_members("k0")] == ["4", "1", "0"]
        assert [listed.finding.analysis for listed in store.kin_members("k0", limit=1, offset=1)] == ["1"]
        assert store.findings_of(["1"])["1"].kin_probability == 0.1
        assert [brief.analysis for brief in store.overview(kin="k0")] == ["0", "1", "4"]
        assert [brief.analysis for brief in store.overview("c1", "k0")] == ["0", "1"]
        assert sum(count for _, count in store.days(kin="k0")) == 3
        assert (store.scored_by_other_models("m1"), store.scored_by_other_models("m2")) == ([], list("012345"))
        silent = AnalysisRecord("6", pack((), {}), False)
        store.put([silent])
        store.save_findings([FindingRecord("6", "m1", None, None, None, None, False)])
        assert sizes(store.cluster_activity(LONG_AGO)) == {"c1": (4, 4), None: (2, 2)}, (
            "without the one that shows no behaviour"
        )
        assert [listed.finding.analysis for listed in store.cluster_members("c1", limit=2)] == ["3", "2"]
        assert [listed.finding.analysis for listed in store.cluster_members("c1", limit=2, offset=2)] == ["1", "0"]
        assert [listed.finding.analysis for listed in store.anomalies()] == ["5", "4"]
        assert [row[2:] for row in store.anomalous_by_source(before)] == [(2, 6)]
        store.put([record("5", ("api:NtClose",))])
        assert "5" not in store.findings_of(["5"]), "a finding of another behaviour is outdated"
        store.put([record("3", remark="The task failed: no disk."), record("2", labels={"host": "zbot"})])
        assert set(store.findings_of(["2", "3"])) == {"2"}, "and one that does not say what the host says now"
        assert store.forget(["4", "nobody"]) == 1
        assert store.anomalies() == []


def test_samples_are_counted_and_listed_once_with_their_runs(location: str) -> None:
    with Store.open(location) as store:
        runs = {str(n): record(str(n), sha256="ab" * 32, analysed_at=f"2020-01-0{n + 1}T10:00:00") for n in range(3)}
        store.put([*runs.values(), record("3"), record("4")])
        store.save_findings([FindingRecord(str(n), "m", "c1", n / 9, 0.1, n / 9, anomalous=True) for n in range(5)])
        assert sizes(store.cluster_activity(LONG_AGO)) == {"c1": (3, 5)}
        assert (store.cluster_count("c1"), store.cluster_count("c2")) == ((3, 5), (0, 0))
        assert [(m.finding.analysis, m.runs) for m in store.cluster_members("c1", once=True)] == [
            ("4", 1), ("3", 1), ("2", 3),
        ]  # fmt: skip
        latest = store.anomalies(order="date", since=datetime(2020, 1, 2), once=True)
        assert [(m.finding.analysis, m.runs) for m in latest] == [("2", 2)], "what has no date is of no period"
        assert (store.anomaly_count(), store.anomaly_count(datetime(2020, 1, 2))) == ((3, 5), (1, 2))
        for since, new in ((datetime(2019, 12, 1), 1), (datetime(2020, 1, 2), 0)):
            activity = store.cluster_activity(since)["c1"]
            assert (activity.samples, activity.runs, activity.new, activity.first) == (3, 5, new, "2020-01-01")
        digest = runs["0"].packed.digest
        shown = store.showing([digest], 2, beside="0", once=True)[digest]
        assert [stored.analysis for stored in shown] == ["1", "3"]
        assert {name: known.runs for name, known in store.runs_beside(["1", "3"], "0").items()} == {
            "0": 2, "1": 2, "3": 1,
        }  # fmt: skip


def test_threat_scores_are_kept_replaced_and_read_in_the_order_of_a_corpus(location: str) -> None:
    score = ThreatScore("virustotal", "file", "ab" * 32, 0.5)
    with Store.open(location) as store:
        store.put([record(name, scores=[score], machine=f"m{name}", tags=["x"]) for name in ("10", "9", "b")])
        store.put([record("9", scores=[score._replace(score=0.25)]), record("c")])
        scored = list(store.all_threat_scores())
        assert [analysis.analysis for analysis in scored] == ["9", "10", "b"], "whatever order they came in"
        assert [analysis.scores[0].score for analysis in scored] == [0.25, 0.5, 0.5]
        assert (scored[1].machine, scored[1].tags) == ("m10", ["x"])


def test_numbers_that_no_json_holds_are_kept_as_none(location: str) -> None:
    with Store.open(location) as store:
        store.put([record("1")])
        store.save_findings([FindingRecord("1", "m", None, float("nan"), float("inf"), 1e308, True, section="x" * 10)])
        kept = store.findings_of(["1"])["1"]
        assert (kept.probability, kept.outlier_score, kept.anomaly_score) == (None, None, 1e308)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), min_size=1, max_size=60))
def test_any_text_can_be_stored(kind: str, text: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    place = request.getfixturevalue("postgresql_url") if kind == "postgresql" else tmp_path / "store.db"
    assert_any_text_can_be_stored(place, text)


@pytest.mark.parametrize("text", ["\x00", "\ud800", "\u2028", "a" * 10_000])
def test_a_text_that_a_database_refuses_is_stored_as_far_as_it_can(location: str, text: str) -> None:
    assert_any_text_can_be_stored(location, text)


def assert_any_text_can_be_stored(place: str | Path, text: str) -> None:
    with Store.open(place) as store:
        hostile = record(text, target=text, tags=[text], machine=text, path=f"/reports/{text}")
        analysis = AnalysisRecord.of(text, _Report(text), _Behaviour(text), [_Label(text)], hostile.source)
        (name,) = store.put([analysis])
        assert [score.score for score in store.threat_scores_of([name])[name]] == [0.75], (
            "one name, however it was written"
        )
        stored = store.get(name)
        assert stored is not None
        assert stored.unpack()[0] == list(TOKENS)
        assert store.put([analysis]) == [name], "the same run is known again, whatever the store made of its texts"


class _Behaviour:
    tokens, counts, has_behaviour = TOKENS, COUNTS, True

    def __init__(self, text: str) -> None:
        self.scores = [ThreatScore("virustotal", "domain", text + end, p) for end, p in (("", 0.5), ("\x00", 0.75))]
        self.remark = text


class _Label:
    source = "host"

    def __init__(self, family: str) -> None:
        self.family = family


class _Report:
    def __init__(self, text: str) -> None:
        self.host = self.host_version = self.sha256 = self.target = self.analysed_at = text
        self.machine = self.submitter = text
        self.tags = [text]
        self.identity = Identity("", text, text, text, text, text)


# -- several processes -------------------------------------------------------------------------------------------------
def _write_many(location: str, first: int, size: int) -> None:
    with Store.open(location) as store:
        for number in range(first, first + size):
            store.put([record(str(number), (f"api:{number}",))])
            store.save_findings([FindingRecord(str(number), "m", None, None, None, 0.5, False)])


def test_several_processes_write_at_once_and_nothing_is_lost(location: str) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(location, 100 * number, 30)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 4
    with Store.open(location) as store:
        assert store.count() == 120
        assert {stored.unpack()[0][0] for stored in store.analyses_in_order()} == {
            f"api:{100 * writer + number}" for writer in range(4) for number in range(30)
        }
        assert [row[2:] for row in store.anomalous_by_source(datetime(2000, 1, 1))] == [(0, 120)]


# -- what may be wrong with a store ------------------------------------------------------------------------------------
def test_a_store_from_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.put([record("1")])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE cuckooml_meta SET value = '99'")
    connection.close()
    with pytest.raises(StoreError, match=r"newer cuckoo-ml-plugin \(schema 99"):
        Store.open(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT value FROM cuckooml_meta").fetchone() == ("99",)
        assert connection.execute("SELECT count(*) FROM cuckooml_analysis").fetchone() == (1,)
    connection.close()


def test_an_older_store_is_brought_up_to_date_once(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version = schema.current_version()
    upgraded: list[object] = []
    with Store.open(location) as store:
        store.put([record("1")])
    monkeypatch.setattr(schema, "UPGRADES", [*schema.UPGRADES, upgraded.append])
    for _ in range(2):
        with Store.open(location) as store:
            assert store.count() == 1
    assert len(upgraded) == 1
    monkeypatch.setattr(schema, "UPGRADES", schema.UPGRADES[:-1])
    with pytest.raises(StoreError, match=rf"schema {version + 1}, this one knows {version}"):
        Store.open(location)


def test_a_store_of_version_6_gets_room_for_kin_and_keeps_its_findings(location: str) -> None:
    with Store.open(location) as store:
        store.put([record("1")])
        store.save_findings([FindingRecord("1", "m1", "c1", 0.9, 0.1, 0.2, False, section="{}")])
        new = tables_of(store)

        def undo(connection: Connection) -> None:
            connection.exec_driver_sql("DROP INDEX ix_cuckooml_finding_kin")
            for name in ("kin", "kin_probability"):
                connection.exec_driver_sql(f"ALTER TABLE cuckooml_finding DROP COLUMN {name}")
            connection.exec_driver_sql("UPDATE cuckooml_meta SET value = '6' WHERE key = 'schema'")

        store._db.write(undo)
    with Store.open(location) as store:
        finding = store.findings_of(["1"])["1"]
        assert (finding.cluster, finding.section, finding.kin, finding.kin_probability) == ("c1", "{}", None, None)
        assert tables_of(store) == new
        store.save_findings([FindingRecord("1", "m2", "c1", 0.9, 0.1, 0.2, False, kin="k7", kin_probability=0.5)])
        assert sizes(store.kin_activity(LONG_AGO)) == {"k7": (1, 1)}


def tables_of(store: Store) -> list[str]:
    """The columns and indexes of the findings."""
    table = "cuckooml_finding"

    def work(connection: Connection) -> list[str]:
        inspector = inspect(connection)
        columns = [f"{column['name']} {column['type']} {column['nullable']}" for column in inspector.get_columns(table)]
        indexes = [f"{index['name']} {index['column_names']}" for index in inspector.get_indexes(table)]
        return [*columns, *sorted(indexes)]

    return store._db.read(work)


def test_a_file_that_is_no_store_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    content = b"no database at all, but long enough to be one" * 40
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is not an SQLite database") as error:
        Store.open(path)
    assert str(path) in str(error.value)
    assert path.read_bytes() == content


def test_a_damaged_behaviour_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store.open(path) as store:
        store.put([record(str(number)) for number in range(5)])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE cuckooml_analysis SET behaviour = x'00ff00ff' WHERE analysis = '3'")
        connection.close()
        damaged: list[str] = []
        readable = store.iter_behaviours(on_damaged=lambda stored, _: damaged.append(stored.analysis))
        assert [stored.analysis for stored, _, _ in readable] == ["0", "1", "2", "4"]
        assert damaged == ["3"]
        with pytest.raises(StoreError, match="analysis 3 is damaged"):
            list(store.iter_behaviours())


def test_a_store_that_another_keeps_locked_says_so(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store.open(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with Store(path, patience=0.2) as store, pytest.raises(StoreError, match="another process kept it locked"):
            store.put([record("1")])
    finally:
        holder.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "would be lost"),
        ("mysql://somebody:secret@host/db", "cannot be kept in mysql|cannot be read"),
        ("postgresql+nosuch://somebody:secret@host/db", "cannot be read"),
        ("sqlite:////tmp/store.db?timeout=soon", "cannot be read|more than a path"),
        ("sqlite+aiosqlite://somebody:secret@/tmp/store.db", "more than a path|cannot be read"),
        ("nonsense://somebody:secret@host/db", "cannot be kept in nonsense"),
        ("postgresql://somebody:secret@127.0.0.1:1/db", "cannot be reached"),
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_without_the_password(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as error:
        Store(url, patience=0.1)
    assert "secret" not in str(error.value)


# -- packing -----------------------------------------------------------------------------------------------------------
@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=40)))
def test_packing_loses_nothing(tokens: list[str]) -> None:
    assert unpack(pack(sorted(set(tokens)), COUNTS).blob) == (sorted(set(tokens)), COUNTS)


@given(st.binary(max_size=300))
def test_a_damaged_record_is_an_error_and_nothing_else(blob: bytes) -> None:
    from cuckoo_ml_plugin.store.packed_behaviour import DamagedBlobError

    with contextlib.suppress(DamagedBlobError):
        unpack(blob)


def test_behaviour_is_packed_small_on_a_real_corpus(shared_data: Path, riss: list[tuple[str, tuple[str, ...]]]) -> None:
    sizes = [len(pack(tokens, COUNTS).blob) for _, tokens in riss]
    assert len(sizes) == 1524
    assert sum(sizes) / len(sizes) < 8 * 1024
