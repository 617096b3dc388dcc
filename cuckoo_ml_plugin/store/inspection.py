"""What a store holds, found out without writing anything: no table, no file beside the database, no lock.

An SQLite store whose last changes are still in its log is copied to a temporary folder and read there.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.store.database import Database, parse_url
from cuckoo_ml_plugin.store.tables import analysis, finding

_LARGEST_COPY: Final = 2**30  # bytes; of a larger store what is in its log is left out
_ATTEMPTS: Final = 5  # at reading a store while others write it


@dataclass(frozen=True, slots=True)
class StoreState:
    """What a store holds: analyses, those with behaviour, and those of each cluster in the model's findings."""

    exists: bool = False
    writable: bool = True
    analyses: int = 0
    with_behaviour: int = 0
    clusters: dict[str | None, int] = field(default_factory=dict)


def inspect_store(location: str, model: str | None) -> StoreState:
    """The state of a store at a URL; one that does not exist is empty. Raises StoreError where it cannot be read."""
    url = parse_url(location)
    name = str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    try:
        if url.get_backend_name() == "sqlite":
            file = Path(name).resolve()
            if not file.exists() or file.stat().st_size == 0:
                return StoreState(writable=_may_write(file.parent))
            return _state_of_file(file, model)
        engine = Database(url).engine
        try:
            with engine.connect() as connection:
                connection.execute(text("SET default_transaction_read_only = on"))
                tables = inspect(connection).has_table(analysis.name)
                may = text("SELECT has_table_privilege(:name, 'INSERT')")
                writable = not tables or bool(connection.execute(may, {"name": analysis.name}).scalar())
                return _state(connection, model, writable)
        finally:
            engine.dispose()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{name}: is not an SQLite database, or is damaged ({error}); move it away.") from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        if "not a database" in reason:
            raise StoreError(
                f"{name}: is not an SQLite database; move it away and import the reports again."
            ) from error
        raise StoreError(f"The store {name} cannot be read ({reason}).") from error
    except OSError as error:
        raise StoreError(f"{name}: cannot be read ({error.strerror}).") from error


def _state_of_file(file: Path, model: str | None) -> StoreState:
    """The state of an SQLite store. It is read without a lock, and again if a writer has changed it meanwhile."""
    attempt = 1
    while True:
        before = _version(file)
        try:
            with _reader(file) as engine, engine.connect() as connection:
                state = _state(connection, model, _may_write(file) and _may_write(file.parent))
            if attempt == _ATTEMPTS or _version(file) == before:
                return state
        except (sqlite3.DatabaseError, SQLAlchemyError, OSError):
            if attempt == _ATTEMPTS or _version(file) == before:
                raise
        time.sleep(0.1 * attempt)
        attempt += 1


def _version(file: Path) -> list[tuple[int, int, int]]:
    """What each change of the store or of its log changes."""
    statuses = []
    for path in (file, _log_of(file)):
        with suppress(FileNotFoundError):
            status = path.stat()
            statuses.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return statuses


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _state(connection: Connection, model: str | None, writable: bool) -> StoreState:
    if not inspect(connection).has_table(analysis.name):
        return StoreState(writable=writable)
    stored = connection.execute(select(func.count()).select_from(analysis)).scalar_one()
    behaving = connection.execute(select(func.count()).where(analysis.c.has_behaviour)).scalar_one()
    clusters: dict[str | None, int] = {}
    if model is not None and inspect(connection).has_table(finding.name):
        query = (
            select(finding.c.cluster, func.count())
            .where(finding.c.analysis == analysis.c.analysis, analysis.c.has_behaviour, finding.c.model == model)
            .group_by(finding.c.cluster)
        )
        clusters = {row[0]: row[1] for row in connection.execute(query)}
    return StoreState(True, writable, stored, behaving, clusters)


@contextmanager
def _reader(file: Path) -> Iterator[Engine]:
    log = _log_of(file)
    logged = log.stat().st_size if log.exists() else 0
    with ExitStack() as stack:
        if logged and file.stat().st_size + logged <= _LARGEST_COPY:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cuckoo-ml-"))
            copy = Path(shutil.copyfile(file, Path(folder) / file.name))
            shutil.copyfile(log, _log_of(copy))
            uri = copy.as_uri()
        else:
            uri = f"{file.as_uri()}?mode=ro&immutable=1"
        engine = create_engine(
            "sqlite://", poolclass=StaticPool, creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False)
        )
        stack.callback(engine.dispose)
        yield engine


def _may_write(path: Path) -> bool:
    return not path.exists() or os.access(path, os.W_OK, effective_ids=True)
