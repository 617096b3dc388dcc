"""`cuckoo-ml import`: an analyst points it at whatever reports there are, twice, and among them are bad ones."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from support.command import cuckoo_ml

from cuckoo_ml_plugin.intake import import_reports as intake
from cuckoo_ml_plugin.report import decode as report_file
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import DemoCorpus, generate


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return generate(tmp_path_factory.mktemp("demo"), analyses=60)


@pytest.fixture
def good(corpus: DemoCorpus) -> Path:
    """One good report of the corpus."""
    return next(one.path for one in corpus.analyses if one.role == "member" and one.path.suffix == ".json")


def test_both_hosts_trees_and_loose_files_are_read_and_skipped_the_second_time(
    corpus: DemoCorpus, tmp_path: Path
) -> None:
    first = cuckoo_ml(tmp_path, "import", *corpus.import_paths, "--json")
    assert first.code == 0, first.err
    assert first.json["read"] == first.json["stored"] == len(corpus.fitted)
    assert first.json["unreadable"] == []
    with Store.open(tmp_path / "store.db") as store:
        stored = {one.analysis: one for one in store.analyses_in_order()}
    assert set(stored) == {one.name for one in corpus.fitted}, "known by task id, or by name without extension"
    assert {one.host for one in stored.values()} == {"cuckoo2", "cape"}
    assert {stored[one.name].host for one in corpus.fitted if "/cape/" in str(one.path)} == {"cape"}
    again = cuckoo_ml(tmp_path, "import", *corpus.import_paths, "--json")
    assert (again.json["read"], again.json["skipped"]) == (0, len(corpus.fitted))


def test_it_ends_with_a_table_that_names_what_could_not_be_read(good: Path, tmp_path: Path) -> None:
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
    assert done.code == 0, "what could be read was stored"
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
        assert {one.analysis for one in store.analyses_in_order()} == {"fine", "packed"}


def test_a_gzip_bomb_is_an_error_that_states_the_limit(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_file, "MAX_UNPACKED", 2 * 2**20)
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b'{"info": "' + b"a" * 5_000_000 + b'"}'))
    assert bomb.stat().st_size < 10_000
    done = cuckoo_ml(tmp_path / "home", "import", bomb, good)
    assert done.code == 0
    assert "bomb.json.gz unpacks to more than 2 MB" in done.out


def test_an_import_of_nothing_but_bad_files_fails(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    done = cuckoo_ml(tmp_path / "home", "import", tmp_path / "bad.json", tmp_path / "missing.json", "--json")
    assert done.code == 1
    assert {Path(one["path"]).name for one in done.json["unreadable"]} == {"bad.json", "missing.json"}


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


def test_what_an_earlier_version_of_the_plugin_read_is_read_again_once(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted() -> tuple[int, int]:
        done = cuckoo_ml(tmp_path / "home", "import", good, "--json")
        return done.json["read"], done.json["skipped"]

    assert [counted(), counted()] == [(1, 0), (0, 1)]
    monkeypatch.setattr(intake, "EXTRACTION", intake.EXTRACTION + 1)
    assert [counted(), counted()] == [(1, 0), (0, 1)]
    with sqlite3.connect(tmp_path / "home" / "store.db") as connection:  # as 0.2.0 left it
        connection.execute("DROP TABLE cuckooml_reading")
        connection.execute("UPDATE cuckooml_meta SET value = '2' WHERE key = 'schema'")
    connection.close()
    assert [counted(), counted()] == [(1, 0), (0, 1)]


def test_two_analyses_with_one_name_are_both_kept_and_the_user_is_told(good: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(good, tmp_path / folder / "sample.json")
    done = cuckoo_ml(tmp_path / "home", "import", tmp_path / "one", tmp_path / "two", "--json")
    assert done.json["stored"] == 2
    assert [one["analysis"] for one in done.json["renamed"]] == ["two/sample"]


def test_labels_of_an_analyst_win_and_bad_lines_are_named(corpus: DemoCorpus, tmp_path: Path) -> None:
    labels = tmp_path / "labels.tsv"
    known = corpus.fitted[0].name
    labels.write_text(f"analysis\tlabel\n# a comment\n{known}\tMyFamily\nnobody\tzbot\nno tab here\n{known}\tother\n")
    done = cuckoo_ml(tmp_path / "home", "import", *corpus.import_paths, "--labels", labels, "--json")
    assert done.json["labelled"] == 1
    assert done.json["unknown_labels"] == ["nobody"]
    assert [one["line"] for one in done.json["bad_label_lines"]] == [5, 6]
    with Store.open(tmp_path / "home" / "store.db") as store:
        stored = store.get(known)
        assert stored is not None
        assert stored.label == stored.labels["analyst"] == "myfamily"
    labels.write_text(f"{known}\t\n")
    alone = cuckoo_ml(tmp_path / "home", "import", "--labels", labels)
    assert (alone.code, "No report file" in alone.out) == (0, False)
    with Store.open(tmp_path / "home" / "store.db") as store:
        stored = store.get(known)
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
        hosts = {one.host for one in store.analyses_in_order()}
        assert "cape" in hosts
        for one in store.analyses_in_order():
            assert len(one.blob or b"") < 64 * 1024


def test_a_wrong_path_to_the_home_is_one_sentence(good: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cuckoo_ml(tmp_path / "file" / "home", "import", good)
    assert done.code == 1
    assert done.err.startswith(f"Error: {tmp_path / 'file' / 'home'}")
    assert "Errno" not in done.err
    assert len(done.err.splitlines()) == 1
