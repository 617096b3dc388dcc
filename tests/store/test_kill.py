"""A kill, Ctrl-C or a full disk ends an import or a refit: nothing that was stored is lost."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from support.command import cuckoo_ml
from support.paths import REPOSITORY

from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import DemoCorpus, generate

KILLS = 4


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return generate(tmp_path_factory.mktemp("demo"), analyses=120)


@pytest.fixture(scope="module")
def fitted(corpus: DemoCorpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a model."""
    home = tmp_path_factory.mktemp("home")
    assert cuckoo_ml(home, "import", *corpus.import_paths).code == 0
    assert cuckoo_ml(home, "refit").code == 0
    return home


def start(home: Path, *arguments: object, limit_files_to: int | None = None) -> subprocess.Popen[str]:
    """A ``cuckoo-ml`` process in a group of its own, its workers in it."""
    program = (  # a shell makes tests in the background ignore Ctrl-C, and their children with them
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from cuckoo_ml_plugin.cli import main; main()"
    )
    if limit_files_to is not None:  # bytes of any file: acts like a full disk
        program = (
            f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_files_to}, {limit_files_to})); {program}"
        )
    environment = dict(os.environ)
    if limit_files_to is not None:  # what coverage measures is a file, too
        environment = {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program, "--home", str(home), *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def seconds_of(home: Path, *arguments: object) -> float:
    began = time.monotonic()
    process = start(home, *arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return time.monotonic() - began


def kill_after(process: subprocess.Popen[str], seconds: float) -> None:
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def stored_ids(home: Path) -> set[str]:
    with Store.open(home / "store.db") as store:
        return {stored.analysis for stored in store.analyses_in_order() if stored.unpack()}


def test_an_import_killed_at_any_moment_is_resumed_by_repeating_it(corpus: DemoCorpus, tmp_path: Path) -> None:
    whole = seconds_of(tmp_path / "measure", "import", *corpus.import_paths)
    moments = random.Random(SEED)
    for number in range(KILLS):
        home = tmp_path / str(number)
        stored: set[str] = set()
        for share in (moments.uniform(0.2, 0.6), moments.uniform(0.5, 1.0)):
            kill_after(start(home, "import", *corpus.import_paths), whole * share)
            now = stored_ids(home)
            assert stored <= now, "what was stored is lost"
            stored = now
        done = cuckoo_ml(home, "import", *corpus.import_paths, "--json")
        assert done.code == 0
        assert done.json["skipped"] == len(stored)
        assert stored_ids(home) == {analysis.name for analysis in corpus.fitted}


def test_a_refit_killed_at_any_moment_leaves_the_old_model_in_force(
    corpus: DemoCorpus, fitted: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(fitted, home, symlinks=True)
    before, ids = current_id(home.joinpath("models")), stored_ids(home)
    whole = seconds_of(fitted, "refit")
    moments = random.Random(SEED)
    for number in range(KILLS):
        kill_after(start(home, "refit"), whole * (number + moments.random()) / KILLS)
        in_force = current_id(home / "models")
        assert in_force is not None
        assert Model.load(home / "models" / "current").id == in_force
        assert stored_ids(home) == ids
    assert before is not None
    assert (home / "models" / before).is_dir(), "a model for rollback is gone"
    done = cuckoo_ml(home, "refit", "--json")
    assert done.code == 0, done.err
    assert current_id(home / "models") == done.json["model"]["id"]
    cuckoo_ml(home, "models", "prune")
    names = {path.name for path in (home / "models").iterdir()}
    listed = {model["id"] for model in cuckoo_ml(home, "models", "list", "--json").json}
    assert names - listed <= {"current", ".refit.lock"}, "a killed refit left files behind"


@pytest.mark.parametrize("size", [20_000, 200_000])
def test_a_refit_on_a_full_disk_says_so_and_leaves_the_old_model(fitted: Path, tmp_path: Path, size: int) -> None:
    home = tmp_path / "home"
    shutil.copytree(fitted, home, symlinks=True)
    before = current_id(home / "models")
    process = start(home, "refit", limit_files_to=size)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    sentences = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert len(sentences) == 1
    assert "None" not in sentences[0]
    assert "Traceback" not in errors
    assert current_id(home / "models") == before
    assert Model.load(home / "models" / "current").id == before
    assert cuckoo_ml(home, "refit").code == 0


def test_ctrl_c_ends_an_import_with_a_message_and_without_a_traceback(corpus: DemoCorpus, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    for number in range(12):  # so many that it cannot be done before it is interrupted
        for analysis in corpus.fitted:
            suffix = ".".join(analysis.path.name.split(".")[1:])
            os.link(analysis.path, reports / f"{analysis.name}-{number}.{suffix}")
    process = start(tmp_path / "home", "import", reports)
    deadline = time.monotonic() + 120
    while not stored_count(tmp_path / "home") and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # to the whole group, as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert "Warning" not in errors
    assert 0 < len(stored_ids(tmp_path / "home")) < 12 * len(corpus.fitted)


def test_ctrl_c_while_a_connection_is_closed_is_raised_and_logs_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    store = Store(tmp_path / "store.db")
    assert store.count() == 0
    monkeypatch.setattr(SQLiteDialect_pysqlite, "do_close", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.close()
    assert not caplog.records


@pytest.mark.parametrize("after", [0.05, 0.15, 0.3, 0.6])
def test_ctrl_c_while_python_still_imports_gives_no_traceback(fitted: Path, after: float) -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from cuckoo_ml_plugin.cli import main; print('begins', flush=True); main()"
    )
    command = [sys.executable, "-c", program, "--home", str(fitted), "refit"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupted" in errors
    assert "Traceback" not in errors


def stored_count(home: Path) -> int:
    """How many analyses are stored, read without taking a lock."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{home / 'store.db'}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM cuckooml_analysis").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
