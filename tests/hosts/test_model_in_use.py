"""Whatever happens to the files of a model in force, the processes that score by it live and go on answering."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.model_facts import facts_of, write_facts
from support.paths import REPOSITORY

from cuckoo_ml_plugin.store.store import Store

MEMORY = "memfd:cuckoo-ml-model"
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
PROGRAM = "import sys; sys.argv[0] = 'cuckoo-ml'; from cuckoo_ml_plugin.cli import main; main()"


class Worker:
    """A worker process, asked as Cuckoo asks it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def section(self, report: bytes) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        header = {"id": 1, "op": "enrich", "bytes": len(report), "analysis": "9001"}
        self.process.stdin.write(json.dumps(header).encode() + b"\n" + report)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the worker has died: {self.process.wait()}"
        section: dict[str, Any] = json.loads(line)["result"]["section"]
        return section

    def shared_memory(self) -> set[str]:
        """The model's memory by its inode, as it is mapped."""
        lines = Path(f"/proc/{self.process.pid}/maps").read_text(encoding="utf-8").splitlines()
        return {line.split()[4] for line in lines if MEMORY in line}


@contextmanager
def working(home: Path) -> Iterator[Worker]:
    command = [sys.executable, "-c", PROGRAM, "--home", str(home), "worker"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def model_files(home: Path) -> list[Path]:
    return [path for path in (home / "models" / "current").resolve().iterdir() if path.is_file()]


def cut_to_nothing(home: Path) -> None:
    for path in model_files(home):
        os.truncate(path, 0)


def cut_in_half(home: Path) -> None:
    for path in model_files(home):
        os.truncate(path, path.stat().st_size // 2)


def overwrite_with_garbage(home: Path) -> None:
    for path in model_files(home):
        path.write_bytes(os.urandom(path.stat().st_size))


def delete(home: Path) -> None:
    for path in model_files(home):
        path.unlink()


def replace_by_others(home: Path) -> None:
    for path in model_files(home):
        other = path.with_name("other")
        other.write_bytes(b"another file")
        os.replace(other, path)


def copy_the_same_over_it(home: Path) -> None:
    copy = home.parent / "copy"
    shutil.copytree((home / "models" / "current").resolve(), copy)
    for path in model_files(home):
        shutil.copyfile(copy / path.name, path)


CHANGES = [cut_to_nothing, cut_in_half, overwrite_with_garbage, delete, replace_by_others, copy_the_same_over_it]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_workers_score_as_before_whatever_becomes_of_the_models_files(
    own_demo: DemoHome, change: Callable[[Path], None]
) -> None:
    report = own_demo.corpus.new[0].path.read_bytes()
    with ExitStack() as stack:
        first, second = (stack.enter_context(working(own_demo.home)) for _ in range(2))
        first.section(report)
        before = first.section(report)
        assert second.section(report) == before
        assert before["status"] == "scored"
        assert first.shared_memory() == second.shared_memory() != set()
        change(own_demo.home)
        assert first.section(report) == before
        assert second.section(report) == before
        later = stack.enter_context(working(own_demo.home)).section(report)
        if change is copy_the_same_over_it:
            assert later == before
        else:
            assert later["status"] == "failed"
            assert "model.json: cannot be read" in later["message"]


@pytest.mark.parametrize("is_sealed", [True, False], ids=["of other content", "that can be changed"])
def test_memory_of_the_models_name_is_not_used_where_it_is(own_demo: DemoHome, is_sealed: bool) -> None:
    """Whoever runs as the same user may make such memory: with what he likes, or to change it when it is in use."""
    report, folder = own_demo.corpus.new[0].path.read_bytes(), (own_demo.home / "models" / "current").resolve()
    facts = facts_of(folder)
    facts["arrays"]["clustering.labels"]["note"] = str(own_demo.home)  # so that no other process has this model
    write_facts(folder, facts)
    with working(own_demo.home) as worker:
        worker.section(report)
        before = worker.section(report)
        [place] = {path for path in Path(f"/proc/{worker.process.pid}/fd").iterdir() if MEMORY in os.readlink(path)}
        name, content = os.readlink(place).removeprefix("/memfd:").removesuffix(" (deleted)"), place.read_bytes()
    made = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    try:
        os.write(made, bytes(len(content)) if is_sealed else content)
        if is_sealed:
            fcntl.fcntl(made, fcntl.F_ADD_SEALS, SEALS)
        with working(own_demo.home) as worker:
            worker.section(report)
            assert worker.section(report) == before
            assert worker.shared_memory().isdisjoint({str(os.fstat(made).st_ino)})
    finally:
        os.close(made)


def test_workers_go_on_while_a_backup_is_restored_over_their_home(own_demo: DemoHome, tmp_path: Path) -> None:
    report = own_demo.corpus.new[0].path.read_bytes()
    assert cuckoo_ml(own_demo.home, "backup", tmp_path / "home.tar.gz").code == 0
    with working(own_demo.home) as worker:
        worker.section(report)
        before = worker.section(report)
        for _ in range(2):
            done = cuckoo_ml(own_demo.home, "restore", tmp_path / "home.tar.gz", "--force")
            assert done.code == 0, done.err
            worker.section(report)
            assert worker.section(report) == before


def test_a_refit_mends_a_model_under_workers_that_still_have_it(own_demo: DemoHome) -> None:
    report = own_demo.corpus.new[0].path.read_bytes()
    with working(own_demo.home) as worker:
        before = worker.section(report)
        cut_to_nothing(own_demo.home)
        done = cuckoo_ml(own_demo.home, "refit", "--if-needed", "--json")
        assert done.code == 0, done.err
        after = worker.section(report)
        assert after["status"] == "scored"
        assert after["model"]["id"] == done.json["model"]["id"] != before["model"]["id"]


@pytest.mark.parametrize("deletes_all", [True, False])
def test_a_store_that_is_deleted_under_a_worker_is_said_and_the_next_analysis_is_stored(
    own_demo: DemoHome, deletes_all: bool
) -> None:
    home, report = own_demo.home, own_demo.corpus.new[0].path.read_bytes()
    with working(home) as worker:
        assert "store" not in worker.section(report)["message"]
        for path in home.glob("store.db*") if deletes_all else [home / "store.db"]:
            path.unlink()
        section = worker.section(report)
        assert section["status"] == "scored"
        assert "was deleted or moved away while it was in use" in section["message"]
        section = worker.section(report)
        assert section["status"] == "scored"
        assert "the store is gone, with all that was stored, and a new one was begun" in section["message"]
        assert "gone" not in worker.section(report)["message"]
    assert "the store is gone" in (home / "trouble.log").read_text(encoding="utf-8")
    with Store.open(home / "store.db") as store:
        assert store.count() == 1


def test_a_store_that_is_gone_at_the_start_is_said_too(own_demo: DemoHome) -> None:
    (own_demo.home / "store.db").unlink()
    with working(own_demo.home) as worker:
        message = worker.section(own_demo.corpus.new[0].path.read_bytes())["message"]
        assert "the store is gone" in message
