"""The database behind the store: how to connect, how to write beside other writers, and the errors that users see.

Both SQLite and PostgreSQL admit one writer at a time (``BEGIN IMMEDIATE``, an advisory lock). What is checked inside a
write therefore stays true until it commits. Writers wait for each other, up to a limit: the patience of the database,
and the time that the work of the thread has left (``plumbing/time_limit.py``).

A process keeps its connections. SQLite's are closed before a fork, because a child must not inherit them, and are
opened anew where the file at the path is another one. With WAL and ``synchronous=NORMAL``, in PostgreSQL with a host's
``synchronous_commit=off``, a commit waits for no disk: a process that is killed loses nothing, and a machine that loses
its power may lose the last analyses, never the consistency of the store. Their reports, which the host wrote without
waiting for the disk either, bring them back by an import.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import socket
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count, islice
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Table,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    literal,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing.commands import shell_command
from cuckoo_ml_plugin.plumbing.extras import missing_package
from cuckoo_ml_plugin.plumbing.time_limit import ends_at, time_left

T = TypeVar("T")

PATIENCE = 120.0  # seconds that a write waits for other writers before it gives up
_LOCK_KEY = 0x0CC00C0031  # names our advisory lock among those of other programs in the same PostgreSQL database
_WRITES = "cuckooml_writes"
_MODE = 0o640  # of a new SQLite file: it holds what customers sent
_RETRIED_STATES = {"40001", "40P01", "55P03"}  # PostgreSQL: serialization failure, deadlock, lock not available
_LOCK_WAIT: Final = 30.0  # seconds of one wait for a lock, after which the patience is looked at
_SHARE: Final = 0.8  # of the time that the thread's work has left, so that there is time to say what was waited for
_KEPT: Final = 2  # connections that a process keeps; more are opened where more threads work, and closed again
_LIBPQ: Final = {"psycopg", "psycopg2"}  # drivers that take the parameters of PostgreSQL's own library
_IN_LIMIT = 500  # values in one IN (...): SQLite allows 999 variables in old builds


class StoreGoneError(StoreError):
    """The file of the store was deleted or moved away while it was in use."""


def parse_url(location: str | os.PathLike[str]) -> URL:
    """A database URL, or the path of an SQLite file. Raises StoreError for a URL that cannot be used."""
    text = os.fspath(location)
    if "://" not in text:
        return URL.create("sqlite", database=str(Path(text).absolute()))
    try:
        url = make_url(text)
        if url.drivername in ("postgres", "postgresql"):
            url = url.set(drivername="postgresql+psycopg")
        backend = url.get_backend_name()
        if backend == "postgresql":
            url.get_dialect()  # raises NoSuchModuleError for an unknown driver
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise StoreError(f"The store URL {_without_password(text)} cannot be read: write it as {_EXAMPLE}.") from error
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise StoreError(f"The store {text} would be lost when it is closed: name a file, sqlite:///path/to/store.db.")
    if backend == "sqlite" and (url.query or url.drivername not in ("sqlite", "sqlite+pysqlite")):
        raise StoreError(
            f"The store {_without_password(text)} holds more than a path: write it as sqlite:///path/to/store.db."
        )
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"The store cannot be kept in {backend}: use an SQLite file or PostgreSQL, {_EXAMPLE}.")
    return url


_EXAMPLE = "postgresql+psycopg://user:password@host/database"


def _without_password(text: str) -> str:
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def chunks(values: Sequence[T], size: int = _IN_LIMIT) -> Iterator[list[T]]:
    """The values in lists that are short enough for one ``IN (...)``."""
    rest = iter(values)
    while chunk := list(islice(rest, size)):
        yield chunk


def one_of(column: ColumnElement[Any], parameter: str = "values") -> ColumnElement[bool]:
    """That a column has one of the values of a parameter.

    It is for queries that are built once: building one takes several times as long as the database takes to answer it.
    """
    return column.in_(bindparam(parameter, expanding=True))


def execute_for(connection: Connection, statement: Any, rows: Sequence[Mapping[str, object]]) -> None:
    """Execute a statement for each row; drivers take longer for many than for one, also where there is one of many."""
    if rows:
        connection.execute(statement, rows[0] if len(rows) == 1 else rows)


class Database:
    """Transactions on one database. It pickles as its URL and may be used on both sides of a fork.

    Attributes:
        prepare: called, where the SQLite file was replaced by another, before that is used.
    """

    def __init__(self, url: URL, patience: float = PATIENCE) -> None:
        self.url = url
        self.patience = patience
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.name = str(url.database) if self.is_sqlite else url.render_as_string(hide_password=True)
        self.prepare: Callable[[Database], None] | None = None
        self._file: tuple[int, int] | None = None  # device and inode of the SQLite file in use
        self._in_use: list[tuple[Any, float]] = []  # the driver's connections, and when the time of each is over
        self._joined = threading.local()
        if self.is_sqlite:
            self._make_folder()
        try:
            self.engine = create_engine(url, **self._engine_options())
        except ImportError as error:
            raise StoreError(str(missing_package("psycopg", "Stores in PostgreSQL", error))) from error
        logging.getLogger(f"{QueuePool.__module__}.{type(self.engine.pool).__name__}").addFilter(_is_no_interrupt)
        if self.is_sqlite:
            event.listen(self.engine, "connect", self._prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        elif patience < PATIENCE:
            event.listen(self.engine, "connect", self._limit_statements)
        _databases.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Database, (self.url, self.patience)

    def _make_folder(self) -> None:
        try:
            Path(self.name).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The store {self.name} cannot be created: its folder {Path(self.name).parent} could not be created"
                f" ({error.strerror})."
            ) from error

    def _engine_options(self) -> dict[str, Any]:
        pool = {"poolclass": QueuePool, "pool_size": _KEPT, "max_overflow": -1}
        if self.is_sqlite:
            return {**pool, "creator": self._open_sqlite}
        # The driver commits each statement, and a write sends BEGIN itself, together with all that comes before its
        # first statement. A read of several statements sees in each what is committed by then, as it would in
        # PostgreSQL's own transactions.
        return {**pool, "isolation_level": "AUTOCOMMIT", "connect_args": self._connect_arguments()}

    def _connect_arguments(self) -> dict[str, object]:
        """What ends the wait for a server that does not answer; what the URL says of it counts instead."""
        arguments: dict[str, object] = {"connect_timeout": max(2, min(10, int(self.patience)))}
        if self.url.get_driver_name() in _LIBPQ:
            silent = int(min(self.patience, _LOCK_WAIT) * 1000)
            arguments |= {
                "keepalives": 1,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": silent,
            }
        return {name: value for name, value in arguments.items() if name not in self.url.query}

    def _open_sqlite(self) -> sqlite3.Connection:
        file = Path(self.name).resolve()  # SQLite puts its other files beside the real file, not beside a link
        if not file.exists() and file.parent.is_dir():
            _make_file(file)
        timeout = min(self.patience, _LOCK_WAIT)
        if _may_only_be_read(file):
            return _reader(file, timeout)
        return sqlite3.connect(file, timeout=timeout, check_same_thread=False)

    def _prepare_sqlite(self, connection: Any, record: Any) -> None:
        connection.isolation_level = None  # as SQLAlchemy recommends: this class sends BEGIN, not the driver
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=NORMAL")  # see above
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()
        file = Path(self.name).resolve()
        record.info["file"] = _file_key(file)
        record.info["fleeting"] = _may_only_be_read(file)  # it may be one that sees no later change

    def _limit_statements(self, connection: Any, _record: object) -> None:
        """Let the server itself end what a host's process no longer waits for, and no analysis wait for its disk.

        A server that dies may lose the analyses of its last half second, as with SQLite; see above.
        """
        limit = int(self.patience * 1000)
        cursor = connection.cursor()
        cursor.execute(f"SET statement_timeout = {limit}; SET lock_timeout = {limit}; SET synchronous_commit = off")
        cursor.close()

    def use_wal(self) -> None:
        """Let readers read while another process writes. SQLite keeps this as a property of the file."""
        if self.is_sqlite:
            self._retried(self._switch_to_wal)

    def _switch_to_wal(self) -> None:
        with self.raw_connection() as raw:
            mode = raw.execute("PRAGMA journal_mode").fetchone()
            if mode[0] != "wal":
                raw.execute("PRAGMA journal_mode=WAL")

    @contextmanager
    def raw_connection(self) -> Iterator[Any]:
        """The driver's own connection, outside of a transaction."""
        with self._connection() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            yield raw

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction while nobody else writes; repeat it while the database is locked.

        Raises StoreError when the database refuses.
        """
        joined: Connection | None = getattr(self._joined, "connection", None)
        return work(joined) if joined is not None else self._retried(lambda: self._transaction(work, writes=True))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do the work on one consistent view of the database. Raises StoreError when the database refuses."""
        joined: Connection | None = getattr(self._joined, "connection", None) or getattr(self._joined, "reader", None)
        return work(joined) if joined is not None else self._retried(lambda: self._transaction(work, writes=False))

    def reading(self, work: Callable[[], T]) -> T:
        """Do all that the work reads on one connection, in SQLite on one consistent view; it may be repeated.

        What it writes, it writes as without this, and may not read again before its end. Raises StoreError.
        """

        def joined(connection: Connection) -> T:
            self._joined.reader = connection
            try:
                return work()
            finally:
                self._joined.reader = None

        is_joined = getattr(self._joined, "connection", None) or getattr(self._joined, "reader", None)
        return work() if is_joined else self.read(joined)

    def together(self, work: Callable[[], T]) -> T:
        """Do all that the work writes and reads in one transaction; it may be repeated, as in :meth:`write`.

        Raises StoreError; nothing is then written.
        """

        def joined(connection: Connection) -> T:
            self._joined.connection = connection
            try:
                return work()
            finally:
                self._joined.connection = None

        return self.write(joined) if getattr(self._joined, "connection", None) is None else work()

    def cut(self) -> None:
        """End what threads wait for here whose time is over: they get StoreError."""
        now = time.monotonic()
        for raw in [raw for raw, until in list(self._in_use) if until <= now]:
            with suppress(Exception):
                if self.is_sqlite:
                    raw.interrupt()
                else:  # closing it would not wake who waits for it
                    with socket.socket(fileno=os.dup(raw.fileno())) as shared:
                        shared.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _connection(self, *, writes: bool = False) -> Iterator[Connection]:
        self._raise_if_late()
        if self.is_sqlite:
            self._notice_other_file()
        with self.engine.connect().execution_options(**{_WRITES: writes}) as connection:
            raw = connection.connection.dbapi_connection
            if self.is_sqlite and self._file is None:
                self._file = connection.info["file"]
            use, is_fleeting = (raw, ends_at()), connection.info.get("fleeting", False)
            self._in_use.append(use)
            try:
                yield connection
            finally:
                self._in_use.remove(use)
                if (not time_left() or is_fleeting) and not connection.invalidated:
                    connection.invalidate()

    def _raise_if_late(self) -> None:
        if not time_left():
            raise StoreError(f"The store {self.name} did not answer in time.")

    def _notice_other_file(self) -> None:
        """Raises StoreError where the file in use is gone; where another one has its place, that is used."""
        now = _file_key(Path(self.name))
        if self._file is None or now == self._file:
            return
        self.engine.dispose()
        if now is None:
            raise StoreGoneError(
                f"The store {self.name} was deleted or moved away while it was in use: put it back or restore a backup;"
                " what is analysed later begins a new store."
            )
        self._file = now
        if self.prepare is not None:
            self.prepare(self)

    def _transaction(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        with self._connection(writes=writes) as connection:
            if self.is_sqlite:
                if isfinite(left := time_left()):
                    raw = connection.connection.dbapi_connection
                    assert raw is not None
                    wait = min(_SHARE * left, self.patience, _LOCK_WAIT)
                    raw.execute(f"PRAGMA busy_timeout={int(wait * 1000)}")
                with connection.begin():
                    return work(connection)
            if not writes:
                return work(connection)
            connection.exec_driver_sql(self._begin_of_write())
            try:
                result = work(connection)
            except BaseException:
                if not connection.invalidated:
                    with suppress(SQLAlchemyError):
                        connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")  # if the server is lost here, the work is done again: it replaces rows
            return result

    def _begin_of_write(self) -> str:
        wait = min(self.patience, _LOCK_WAIT, _SHARE * time_left())
        limits = f"SET LOCAL lock_timeout = {max(int(wait * 1000), 1)};"
        if isfinite(left := time_left()):
            limits += f" SET LOCAL statement_timeout = {max(int(left * 1000), 1)};"
        return f"BEGIN; {limits} SELECT pg_advisory_xact_lock({_LOCK_KEY})"

    def _retried(self, work: Callable[[], T]) -> T:
        deadline = time.monotonic() + min(self.patience, _SHARE * time_left())
        lost = 0  # connections that turned out to be dead
        for attempt in count():
            try:
                return work()
            except DBAPIError as error:
                self._raise_if_late()
                lost += error.connection_invalidated
                is_worth_it = _is_transient(error) or (error.connection_invalidated and lost <= 1)
                if not is_worth_it or time.monotonic() > deadline:
                    raise StoreError(self._sentence(error)) from error
                if error.connection_invalidated:  # the server was restarted, and a new connection is at hand
                    continue
            except SQLAlchemyError as error:
                raise StoreError(f"The store {self.name} failed: {_first_line(error)}.") from error
            except Exception as error:
                if type(error).__module__ != "sqlite3":  # a PRAGMA raises the driver's own errors
                    raise
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise StoreError(self._sentence(error)) from error
            time.sleep(random.uniform(0.0, min(1.0, 0.01 * 2 ** min(attempt, 10))))
        raise AssertionError("unreachable")

    def _sentence(self, error: BaseException) -> str:
        cause = str(getattr(error, "orig", None) or error).lower()
        for symptom, sentence in _SENTENCES.items():
            if symptom in cause:
                return f"The store {self.name} {sentence}{self._mending() if 'writable' in sentence else ''}."
        return f"The store {self.name} failed: {_first_line(getattr(error, 'orig', None) or error)}."

    def _mending(self) -> str:
        """The end of a sentence on a store that cannot be written: the command that gives its files to this user."""
        if not self.is_sqlite or os.geteuid() == 0:
            return ""
        file = Path(self.name)
        files = (file.parent, *file.parent.glob(f"{file.name}*"))
        foreign = [path for path in files if path.stat().st_uid != os.geteuid()]
        command = shell_command("sudo", "chown", "-h", f"{os.geteuid()}:{os.getegid()}", *foreign)
        return f"; another user owns some, so run {command}" if foreign else ""

    def upsert(self, table: Table, keys: list[str]) -> Any:
        """An INSERT that replaces the row with the same keys."""
        return _upsert(self.is_sqlite, table, tuple(keys))

    def upsert_many(
        self, connection: Connection, table: Table, keys: list[str], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Insert many rows, of all columns each, or replace those with the same keys: a few statements for all.

        PostgreSQL gets each column as one array. SQLite's driver gets the values as they are, which must be of types
        that it knows: preparing each row takes SQLAlchemy longer than it takes SQLite to write it.
        """
        names = [column.name for column in table.columns]
        columns = [[row[name] for row in rows] for name in names]
        if self.is_sqlite:
            compiled = self.upsert(table, keys).compile(dialect=connection.dialect)
            places = [names.index(name) for name in compiled.positiontup]
            connection.exec_driver_sql(str(compiled), list(zip(*(columns[place] for place in places), strict=True)))
            return
        arrays = [
            literal(values, postgresql.ARRAY(Text() if isinstance(column.type, Text) else column.type))
            for column, values in zip(table.columns, columns, strict=True)
        ]
        incoming = func.unnest(*arrays).table_valued(*names).render_derived()
        statement = postgresql.insert(table).from_select(names, select(*(incoming.c[name] for name in names)))
        changed = {name: statement.excluded[name] for name in names if name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self.engine.dispose()

    def before_fork(self) -> None:
        """A child must neither use nor close SQLite's connections of its parent."""
        if self.is_sqlite:
            self.engine.dispose()

    def after_fork_in_child(self) -> None:
        """The connections belong to the parent; those of SQLite that were in use are never closed here."""
        _of_parents.extend(raw for raw, _ in self._in_use)
        self._in_use = []
        self.engine.dispose(close=False)


@cache
def _upsert(is_sqlite: bool, table: Table, keys: tuple[str, ...]) -> Any:
    insert: Any = sqlite.insert if is_sqlite else postgresql.insert
    statement = insert(table)
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys and not c.identity}
    return statement.on_conflict_do_update(index_elements=list(keys), set_=changed)


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_of_parents: list[Any] = []


def _for_each(method: Callable[[Database], None]) -> None:
    for database in list(_databases):
        with suppress(Exception):
            method(database)


os.register_at_fork(
    before=lambda: _for_each(Database.before_fork),
    after_in_child=lambda: _for_each(Database.after_fork_in_child),
)
atexit.register(_for_each, Database.close)  # SQLite then leaves one file, without its log beside it


_SENTENCES = {
    "locked": "is busy: another process kept it locked; try again when it is done",
    "lock timeout": "is busy: another process kept it locked; try again when it is done",
    "statement timeout": "did not answer in time: it is busy, or another program keeps its tables locked",
    "disk is full": "has no room left on its disk: free some space and run again; what was stored is safe",
    "no space left": "has no room left on its disk: free some space and run again; what was stored is safe",
    "readonly": "cannot be written: make the file and its folder writable for this user",
    "read-only": "cannot be written: make the database writable for this user",
    "unable to open": "cannot be opened: check that the folder exists and that this user may write in it",
    "not a database": "is not an SQLite database: move the file away or name another one",
    "malformed": "is damaged: put back a copy, or move the file away and import again",
    "disk i/o": "cannot be read or written: its disk reports an error or is full",
    "connection": "cannot be reached: check that the server runs and that the URL's host, user and password are right",
    "authentication": "refused the user: check the URL's user and password",
}


def _make_file(file: Path) -> None:
    """An empty store for its owner and group only, that of the folder's owner if this is root.

    SQLite gives mode and owner to the files that it puts beside it.
    """
    with suppress(FileExistsError, PermissionError):  # another process made it; SQLite says what is not permitted
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            if os.geteuid() == 0:
                folder = file.parent.stat()
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
            os.fchmod(descriptor, _MODE)
        finally:
            os.close(descriptor)


def _may_only_be_read(file: Path) -> bool:
    """Whether this user may read the file but not write it, such as an analyst who opens the home of a host's user."""
    return file.exists() and not all(os.access(path, os.W_OK, effective_ids=True) for path in (file, file.parent))


def _reader(file: Path, timeout: float) -> sqlite3.Connection:
    """A connection that never writes, not even the files that SQLite keeps beside a database in WAL mode.

    Without these files nobody is writing, and SQLite has to be told that the file will not change.
    """
    log = file.with_name(f"{file.name}-wal")
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"{file.as_uri()}?mode=ro{immutable}", timeout=timeout, uri=True, check_same_thread=False)


def _file_key(file: Path) -> tuple[int, int] | None:
    """What tells a file from another at the same path; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    """Keep SQLAlchemy's pool from printing a traceback when Ctrl-C comes while a connection is closed.

    The pool raises the interrupt once it has logged it, and the command answers it with one sentence.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt))


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_transient(error: DBAPIError) -> bool:
    """Whether the same work may succeed a moment later."""
    if getattr(error.orig, "sqlstate", None) in _RETRIED_STATES:
        return True
    return "database is locked" in str(error.orig) or "database table is locked" in str(error.orig)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
