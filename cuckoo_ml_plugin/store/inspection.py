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

from sqlalchemy import Connection, Engine, Table, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.store.database import Database, parse_url
from cuckoo_ml_plugin.store.tables import analysis, current_version, finding, stored_version, tables

_LARGEST_COPY: Final = 2**30  # bytes; of a larger store what is in its log is left out
_ATTEMPTS: Final = 5  # at reading a store while others write it
_STATEMENT: Final = 30.0  # seconds that a server may take for one answer
_CANCELLED: Final = "57014"  # PostgreSQL: the statement took longer than its limit
_MOST_NAMED: Final = 3  # damages
_WAYS: Final = (
    "'enable_seqscan', 'enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan', 'enable_sort',"
    " 'enable_incremental_sort'"
)
"""The ways in which PostgreSQL may read a table in order."""


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
                connection.execute(text(f"SET statement_timeout = {int(_STATEMENT * 1000)}"))
                tables = inspect(connection).has_table(analysis.name)
                may = text("SELECT has_table_privilege(:name, 'INSERT')")
                writable = not tables or bool(connection.execute(may, {"name": analysis.name}).scalar())
                return _state(connection, model, writable)
        finally:
            engine.dispose()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{name}: is not an SQLite database, or is damaged ({error}); move it away.") from error
    except SQLAlchemyError as error:
        reason = _reason(error)
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


def damage_of_server(location: str, seconds: float) -> str | None:
    """What is wrong with the tables of a store in PostgreSQL, "" for nothing; None if the time was not enough.

    Tables, columns and indexes are there, each row can be read with all that is in it, each index is valid and leads to
    as many rows as the table has, and the server has met no page with a wrong checksum. Nothing is locked that a writer
    needs. Raises StoreError where the server cannot be asked.
    """
    url, end = parse_url(location), time.monotonic() + seconds
    engine = Database(url).engine
    try:
        with engine.connect() as connection:
            connection.execute(text(f"SET statement_timeout = {int(seconds * 1000)}"))
            if not inspect(connection).has_table(analysis.name):
                return ""
            damages = _missing_parts(connection) if stored_version(connection) == current_version() else []
            present = set(inspect(connection).get_table_names())
            for table in tables.sorted_tables:
                if table.name in present and len(damages) < _MOST_NAMED:
                    damages += _damages_of_table(connection, table, end)
            failures = text(  # a column from PostgreSQL 12 on
                "SELECT CAST(to_jsonb(d) ->> 'checksum_failures' AS bigint) FROM pg_stat_database d"
                " WHERE datname = current_database()"
            )
            if count := connection.execute(failures).scalar():
                damages.append(f"the server met {count:,} pages with a wrong checksum")
            return "; ".join(damages[:_MOST_NAMED])
    except SQLAlchemyError as error:
        if _is_cancelled(error):
            return None
        name = url.render_as_string(hide_password=True)
        raise StoreError(f"The store {name} cannot be read ({_reason(error)}).") from error
    finally:
        engine.dispose()


def _missing_parts(connection: Connection) -> list[str]:
    """The tables, columns and indexes that a store of this version lacks; an index is known by its columns."""
    missing = []
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    for table in tables.sorted_tables:
        if table.name not in present:
            missing.append(f"the table {table.name} is missing")
            continue
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        missing += [
            f"the column {column.name} of {table.name} is missing" for column in table.c if column.name not in columns
        ]
        indexed = {columns for _, columns, _ in _indexes(connection, table)}
        wanted = [index.columns.keys() for index in table.indexes]
        wanted += [[column.name] for column in table.c if column.unique]
        wanted.append(table.primary_key.columns.keys())
        missing += [
            f"the index of {table.name} on {', '.join(columns)} is missing"
            for columns in wanted
            if tuple(columns) not in indexed
        ]
    return missing


def _indexes(connection: Connection, table: Table) -> list[tuple[str, tuple[str, ...], bool]]:
    """Name and columns of each index, and whether the server keeps it and may use it."""
    query = text(
        "SELECT c.relname, ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(number, place)"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place),"
        " i.indisvalid AND i.indisready FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE i.indrelid = CAST(:name AS regclass) ORDER BY c.relname"
    )
    return [(row[0], tuple(row[1]), row[2]) for row in connection.execute(query, {"name": table.name})]


def _damages_of_table(connection: Connection, table: Table, end: float) -> list[str]:
    """What is wrong with the rows of a table, and with its indexes. Raises SQLAlchemyError when the time is over."""
    damages = []
    connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")  # all counts are of one moment
    what = f"the table {table.name} cannot be read"
    try:
        _use(connection, end, seqscan=True)
        read = f"SELECT count(*), count(hashtext(CAST(t.* AS text))) FROM {table.name} t"  # each value is looked at
        rows = connection.exec_driver_sql(read).one()[0]
        _use(connection, end, seqscan=False)
        for name, columns, is_valid in _indexes(connection, table):
            if not is_valid:
                damages.append(f"the index {name} is invalid")
                continue
            what = f"the index {name} cannot be read"
            order = ", ".join(f'"{column}"' for column in columns)
            query = f"SELECT count(*) FROM (SELECT 1 FROM {table.name} ORDER BY {order} OFFSET 0) AS entries"
            plan = connection.exec_driver_sql(f"EXPLAIN {query}").scalars()
            if not any(f" using {name} " in line for line in plan):
                continue
            entries = connection.exec_driver_sql(query).scalar_one()
            if entries != rows:
                damages.append(f"the index {name} leads to {entries:,} of {rows:,} rows")
    except DBAPIError as error:
        if _is_cancelled(error) or error.connection_invalidated:
            raise
        damages.append(f"{what}: {_reason(error)}")
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
    return damages


def _use(connection: Connection, end: float, *, seqscan: bool) -> None:
    """Let the next statements read a table by itself, or by an index, as long as the time is not over."""
    limit = max(int((end - time.monotonic()) * 1000), 1)
    used = "'enable_seqscan'" if seqscan else "'enable_indexscan', 'enable_indexonlyscan'"
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit}")
    connection.exec_driver_sql(
        f"SELECT set_config(name, CASE WHEN name IN ({used}) THEN 'on' ELSE 'off' END, true) FROM pg_settings"
        f" WHERE name IN ({_WAYS})"  # an older server does not have all of them
    )


def _is_cancelled(error: SQLAlchemyError) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) == _CANCELLED


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _may_write(path: Path) -> bool:
    return not path.exists() or os.access(path, os.W_OK, effective_ids=True)
