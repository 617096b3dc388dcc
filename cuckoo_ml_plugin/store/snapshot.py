"""A copy of the store as it is at one moment, for a backup, taken while other processes read and write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.store.database import Database
from cuckoo_ml_plugin.store.tables import current_version, meta


class SnapshotStore:
    """The part of the store that copies itself."""

    _db: Database

    @property
    def is_in_home(self) -> bool:
        """Whether the store is an SQLite file; otherwise its rows are in PostgreSQL."""
        return self._db.is_sqlite

    def snapshot(self, target: Path) -> None:
        """Copy an SQLite store into a new file, by SQLite's backup API in one step, so that writers never restart it.

        Raises StoreError when the store cannot be read, is damaged, or its copy cannot be written.
        """
        try:
            with self._db.engine.connect() as connection, closing(sqlite3.connect(target)) as copy:
                source = connection.connection.dbapi_connection
                assert source is not None
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, without the log that WAL keeps beside it
        except sqlite3.Error as error:
            raise StoreError(f"The store {self._db.name} could not be copied to {target} ({error}).") from error
        examine_store_file(target, self._db.name)


def examine_store_file(file: Path, name: str) -> None:
    """Raises StoreError, with ``name`` in it, unless a file is an undamaged store that this version can open."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            row = connection.execute(f"SELECT value FROM {meta.name} WHERE key = 'schema'").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{name}: it is damaged or no store of cuckoo-ml ({error}).") from error
    if problem != "ok":
        raise StoreError(f"{name}: it is damaged ({problem}); move it away and import the reports again.")
    if row is None or not str(row[0]).isdecimal() or int(row[0]) > current_version():
        version = "no version" if row is None else f"version {row[0]}"
        raise StoreError(f"{name}: it has {version}, and this one knows {current_version()}; upgrade cuckoo-ml-plugin.")
