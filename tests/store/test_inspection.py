"""What a store holds is found out beside its writers: without a lock, without a trace, and right."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.demo_home import DemoHome

from cuckoo_ml_plugin.store.inspection import inspect_store


def test_a_store_that_is_written_while_it_is_read_is_read_again(
    own_demo: DemoHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the copies of the store and of its log, the log begins anew: the two do not belong together."""
    file = own_demo.home / "store.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE of_a_writer (number INTEGER)")
        original = shutil.copyfile

        def disturbed(source: Path, target: Path) -> Path:
            done = original(source, target)
            if Path(source) == file:
                monkeypatch.setattr(shutil, "copyfile", original)
                writer.execute("DELETE FROM cuckooml_analysis WHERE number > 3")
                writer.execute("PRAGMA wal_checkpoint(RESTART)")
                writer.execute("INSERT INTO of_a_writer VALUES (1)")
            return done

        monkeypatch.setattr(shutil, "copyfile", disturbed)
        assert inspect_store(f"sqlite:///{file}", None).analyses == 3
