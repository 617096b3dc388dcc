"""`cuckoo-ml import` stores reports of every kind, skips them the second time, and names those that it cannot read."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

import pytest
from support.command import cuckoo_ml
from support.time_limits import wait_until

from cuckoo_ml_plugin.behaviour.extract import EXTRACTION
from cuckoo_ml_plugin.intake import import_reports as import_reports_module
from cuckoo_ml_plugin.report.files import decode
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import DemoCorpus, generate


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return generate(tmp_path_factory.mktemp("demo"), analyses=60)


@pytest.fixture
def good(corpus: DemoCorpus) -> Path:
    """A readable report of the corpus."""
    return next(
        analysis.path for analysis in corpus.analyses if analysis.role == "member" and analysis.path.suffix == ".json"
    )


def test_hosts_folders_and_single_files_are_read_and_skipped_the_second_time(
    corpus: DemoCorpus, tmp_path: Path
) -> None:
    first = cuckoo_ml(tmp_path, "import", *corpus.import_paths, "--json")
    assert first.code == 0, first.err
    assert first.json["read"] == first.json["stored"] == len(corpus.fitted)
    assert first.json["unreadable"] == []
    with Store.open(tmp_path / "store.db") as store:
        stored = {analysis.analysis: analysis for analysis in store.analyses_in_order()}
    assert set(stored) == {analysis.name for analysis in corpus.fitted}, (
        "the id is the task id, or the name without its extension"
    )
    assert {analysis.host for analysis in stored.values()} == {"cuckoo2", "cape"}
    assert {stored[analysis.name].host for analysis in corpus.fitted if "/cape/" in str(analysis.path)} == {"cape"}
    again = cuckoo_ml(tmp_path, "import", *corpus.import_paths, "--json")
    assert (again.json["read"], again.json["skipped"]) == (0, len(corpus.fitted))


def test_the_result_counts_and_names_the_unreadable_files(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "deep" / "deeper"
    folder.mkdir(parents=True)
    shutil.copy(good, folder / "fine.json")
    (folder / "packed.json.gz").write_bytes(gzip.compress(good.read_bytes()))
    (folder / "cut.json").write_bytes(good.read_bytes()[:-100])
    (folder / "list.json").write_text("[" + "0," * 5_000_000 + "0]")
    (folder / "deep.json").write_text("[" * 10_000 + "]" * 10_000)
    (folder / "section.json").write_text('{"info": {"id": 5}, "behavior": ' + "[" * 10_000 + "]" * 10_000 + "}")
    (folder / "empty.json").write_bytes(b"")
    (folder / "other.json").write_text('{"hello": "world"}')
    (folder / "notes.txt").write_text("no report")
    (folder / "cut.json.gz").write_bytes(gzip.compress(good.read_bytes())[:-100])
    os.mkfifo(folder / "pipe.json")
    (folder / "link.json").symlink_to(tmp_path / "moved away.json")
    done = cuckoo_ml(tmp_path / "home", "import", tmp_path / "reports")
    assert done.code == 0, "the readable reports were stored"
    rows = [line.split("│") for line in done.out.splitlines() if line.count("│") == 3]
    table = {row[1].strip(): row[2].strip() for row in rows}
    assert table["read"] == table["stored"] == "2"
    named = [line for line in done.out.splitlines() if line.startswith("unreadable: ")]
    assert table["unreadable"] == str(len(named))
    bad = ("cut", "list", "deep", "section", "empty", "other", "pipe", "link")
    for name in (*(f"{stem}.json" for stem in bad), "cut.json.gz"):
        assert any(f"{folder}/{name}" in line for line in named), f"{name} is not named"
    assert not any("notes.txt" in line or "Traceback" in line for line in named)
    with Store.open(tmp_path / "home" / "store.db") as store:
        assert {analysis.analysis for analysis in store.analyses_in_order()} == {"fine", "packed"}


def test_the_error_for_a_gzip_bomb_states_the_limit(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MAX_UNPACKED", 2 * 2**20)
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b'{"info": "' + b"a" * 5_000_000 + b'"}'))
    assert bomb.stat().st_size < 10_000
    done = cuckoo_ml(tmp_path / "home", "import", bomb, good)
    assert done.code == 0
    assert "bomb.json.gz unpacks to more than 2 MB" in done.out


def is_waited_for(lock: IO[bytes]) -> bool:
    """Whether a process waits for the lock of a file."""
    number = os.fstat(lock.fileno()).st_ino
    lines = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    return any("->" in line and f":{number} " in line for line in lines)


def test_a_worker_reads_what_is_large_only_while_no_other_worker_does(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another has the turn from the beginning, and gives it back only once a worker of the import waits for it."""
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "small.json").write_bytes(good.read_bytes())
    (reports / "large.json").write_bytes(good.read_bytes() + b" " * 65 * 2**20)
    make, has_ended = tempfile.NamedTemporaryFile, threading.Event()
    others: list[threading.Thread] = []
    waited: list[bool] = []

    def hold(turn: IO[bytes]) -> None:
        with turn:
            assert wait_until(lambda: is_waited_for(turn) or has_ended.is_set())
            waited.append(not has_ended.is_set())

    def made(*args: Any, **options: Any) -> Any:
        file = make(*args, **options)
        if options.get("prefix") == "cuckoo-ml-import-":
            turn = open(file.name, "rb")  # noqa: SIM115  # the thread closes it
            fcntl.flock(turn, fcntl.LOCK_EX)
            others.append(threading.Thread(target=hold, args=(turn,), daemon=True))
            others[0].start()
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", made)
    done = cuckoo_ml(tmp_path / "home", "import", reports, "--jobs", 2, "--json")
    has_ended.set()
    for other in others:
        other.join()
    assert waited == [True]
    assert done.json["read"] == 2, done.err


def test_an_import_without_any_readable_file_fails(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    done = cuckoo_ml(tmp_path / "home", "import", tmp_path / "bad.json", tmp_path / "missing.json", "--json")
    assert done.code == 1
    assert {Path(failure["path"]).name for failure in done.json["unreadable"]} == {"bad.json", "missing.json"}


def test_a_report_that_has_changed_replaces_what_was_stored(good: Path, tmp_path: Path) -> None:
    report = json.loads(good.read_bytes())
    path = tmp_path / "5" / "reports" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(report))
    cuckoo_ml(tmp_path / "home", "import", path)
    report["signatures"] = [{"name": "entirely_new", "description": "", "severity": 1, "marks": []}]
    path.write_text(json.dumps(report))
    done = cuckoo_ml(tmp_path / "home", "import", tmp_path, "--json")
    assert (done.json["read"], done.json["skipped"]) == (1, 0)
    with Store.open(tmp_path / "home" / "store.db") as store:
        (stored,) = store.analyses_in_order()
        assert stored.analysis == "5"
        assert "signature:entirely_new" in stored.unpack()[0]


def test_reports_are_read_again_once_after_the_extraction_has_changed(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_skipped() -> tuple[int, int]:
        done = cuckoo_ml(tmp_path / "home", "import", good, "--json")
        return done.json["read"], done.json["skipped"]

    assert [read_and_skipped(), read_and_skipped()] == [(1, 0), (0, 1)]
    monkeypatch.setattr(import_reports_module, "EXTRACTION", EXTRACTION + 1)
    assert [read_and_skipped(), read_and_skipped()] == [(1, 0), (0, 1)]
    with sqlite3.connect(tmp_path / "home" / "store.db") as connection:  # a store of version 0.2.0
        connection.execute("DROP TABLE cuckooml_reading")
        connection.execute("UPDATE cuckooml_meta SET value = '2' WHERE key = 'schema'")
    connection.close()
    assert [read_and_skipped(), read_and_skipped()] == [(1, 0), (0, 1)]


def test_two_analyses_with_one_name_are_both_stored_and_the_new_name_is_reported(good: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(good, tmp_path / folder / "sample.json")
    done = cuckoo_ml(tmp_path / "home", "import", tmp_path / "one", tmp_path / "two", "--json")
    assert done.json["stored"] == 2
    assert [renaming["analysis"] for renaming in done.json["renamed"]] == ["two/sample"]


def test_an_analysts_labels_take_precedence_and_bad_lines_are_named(corpus: DemoCorpus, tmp_path: Path) -> None:
    labels = tmp_path / "labels.tsv"
    labelled = corpus.fitted[0].name
    labels.write_text(
        f"analysis\tlabel\n# a comment\n{labelled}\tMyFamily\nnobody\tzbot\nno tab here\n{labelled}\tother\n"
    )
    done = cuckoo_ml(tmp_path / "home", "import", *corpus.import_paths, "--labels", labels, "--json")
    assert done.json["labelled"] == 1
    assert done.json["unknown_labels"] == ["nobody"]
    assert [bad_line["line"] for bad_line in done.json["bad_label_lines"]] == [5, 6]
    with Store.open(tmp_path / "home" / "store.db") as store:
        stored = store.get(labelled)
        assert stored is not None
        assert stored.label == stored.labels["analyst"] == "myfamily"
    labels.write_text(f"{labelled}\t\n")
    labels_only = cuckoo_ml(tmp_path / "home", "import", "--labels", labels)
    assert (labels_only.code, "No report file" in labels_only.out) == (0, False)
    with Store.open(tmp_path / "home" / "store.db") as store:
        stored = store.get(labelled)
        assert stored is not None
        assert "analyst" not in stored.labels
    assert cuckoo_ml(tmp_path / "home", "import").code == 2
    assert "there is no home" in cuckoo_ml(tmp_path / "elsewhere", "import", "--labels", labels).err
    assert not (tmp_path / "elsewhere").exists()
    missing = cuckoo_ml(tmp_path / "home", "import", *corpus.import_paths, "--labels", tmp_path / "none.tsv")
    assert missing.code in (1, 2)
    assert "none.tsv" in missing.err


def test_real_reports_of_both_hosts_are_read(shared_data: Path, tmp_path: Path) -> None:
    done = cuckoo_ml(tmp_path, "import", shared_data / "cape", shared_data / "cuckoo2", "--json")
    assert done.code == 0
    assert done.json["unreadable"] == []
    assert done.json["read"] == done.json["stored"] >= 8
    with Store.open(tmp_path / "store.db") as store:
        hosts = {analysis.host for analysis in store.analyses_in_order()}
        assert "cape" in hosts
        for analysis in store.analyses_in_order():
            assert len(analysis.blob or b"") < 64 * 1024


def test_the_error_for_a_wrong_home_is_one_sentence(good: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cuckoo_ml(tmp_path / "file" / "home", "import", good)
    assert done.code == 1
    assert done.err.startswith(f"Error: {tmp_path / 'file' / 'home'}")
    assert "Errno" not in done.err
    assert len(done.err.splitlines()) == 1
