"""Moving a home while the host's processes store: they have its old path, and open the store by it for each analysis.

The old path becomes a link to the new place, in one step that no process can come between. In one file system the
store stays the same file for those who have it open. Into another one it is copied while nobody can write; then the old
store refuses what comes late, so that such an analysis is reported as not stored. A kill at any moment leaves a whole
home, to which the old path leads, and repeating the move completes it. A file system that cannot exchange two names
needs two steps: there, the old path leads nowhere between them.
"""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.engine.arrivals.spool import Spool
from cuckoo_ml_plugin.engine.model_lock import alone
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts import error_log
from cuckoo_ml_plugin.plumbing.files import UNFINISHED, exchange, move_folder, replace_link, sync_folder

_PATIENCE: Final = 30.0  # seconds to wait for a writer of the store
_OPENING: Final = 1.0  # seconds in which a process that has opened a store has opened its log, too
_REFUSAL: Final = "cuckooml_moved"  # how the names of the triggers begin that refuse changes


def move(source: Path, target: Path) -> None:
    """Move a home to a place where nothing is, or an empty folder. Of a home that is a link, only the link goes there.

    Raises OSError; the home is then where it was. Raises BusyError while a refit is running.
    """
    if source.is_symlink():
        _make_room(source, target)
        target.symlink_to(source.resolve())
        return
    store = Home(source).store_file
    with alone(Home(source)), _as_os_error(store), _only_writer(store) as writer:
        _make_room(source, target)
        try:
            _replace_by_link(source, target, _link(source, target))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(source, target, writer)
            _leave(source, target)


def finish(home: Path, earlier: Iterable[Path]) -> None:
    """Complete a move that was killed after the home was whole at one place. Raises OSError."""
    with _as_os_error(Home(home).store_file):
        _accept(Home(home).store_file)
        for place in earlier:
            _remove_unfinished(place)
            store, known = Home(place).store_file, Home(place).id()
            is_left = leads_to(store, Home(home).store_file) or bool(_refuses(store))
            if is_left and not place.is_symlink() and known is not None and known == Home(home).id():
                _leave(place, home)


def leads_to(path: Path, target: Path) -> bool:
    """Whether a path is a link to another one, such as a move leaves."""
    try:
        return path.is_symlink() and path.resolve() == target.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return False


def _make_room(source: Path, target: Path) -> None:
    _remove_unfinished(target)
    if target.is_symlink() and os.readlink(target) == _link(source, target):
        target.unlink()  # a move was killed before the names were exchanged
    if target.is_dir():
        target.rmdir()


def _link(source: Path, target: Path) -> str:
    """The text of the link from the old place to the new one: in one host's folder it is right in copies of it, too."""
    old, new = source.parent.resolve(), target.parent.resolve() / target.name
    return os.path.relpath(new, old) if new.is_relative_to(old.parent) else str(new)


def _replace_by_link(folder: Path, place: Path, link: str) -> None:
    """Rename a folder to ``place``, where nothing is, and put a link where it was: at once if the system can do that.

    Raises OSError, with EXDEV where ``place`` lies in another file system; both are then as they were.
    """
    place.symlink_to(link)
    try:
        if exchange(place, folder):
            return
    except OSError:
        place.unlink()
        raise
    place.unlink()
    move_folder(folder, place)
    folder.symlink_to(link)
    sync_folder(folder.parent)


def _unfinished(path: Path) -> Path:
    """Where an incomplete copy of a home lies, or what is left of one that was moved."""
    return path.with_name(f"{UNFINISHED}{path.name}")


def _remove_unfinished(path: Path) -> None:
    leftover = _unfinished(path)
    if leftover.is_symlink():
        leftover.unlink()
    elif leftover.is_dir():
        if path.is_dir():
            Spool(Home(path)).take_over(Spool(Home(leftover)))  # what was refused while the home was copied
        shutil.rmtree(leftover)


# -- into another file system ------------------------------------------------------------------------------------------
def _copy(source: Path, target: Path, writer: sqlite3.Connection | None) -> None:
    """Copy a home, and let its store refuse changes before the copy is in its place.

    ``writer``: a connection that keeps others from writing to the store, None where there is no SQLite store.
    """
    copy, store = _unfinished(target), Home(source).store_file
    Home(source).ensure_id()  # by which the copy is known
    try:
        of_store = () if writer is None else (f"{store.name}{end}" for end in ("", "-wal", "-shm", "-journal"))
        ignore = shutil.ignore_patterns(*of_store)
        shutil.copytree(source, copy, symlinks=True, ignore=ignore, copy_function=_copy_file)
        if writer is not None:
            _copy_store(store, Home(copy).store_file)
        for folder, _, _ in os.walk(copy):
            sync_folder(Path(folder))
        if writer is not None:
            _refuse(writer, target)
        move_folder(copy, target)
    except BaseException as error:
        shutil.rmtree(copy, ignore_errors=True)
        if writer is not None and not Home(target).exists:
            writer.close()
            _accept(store)
        if isinstance(error, shutil.Error):
            name, _, reason = error.args[0][0]
            raise OSError(errno.EIO, str(reason), str(name)) from error
        raise


def _leave(source: Path, target: Path) -> None:
    """Let the old path of a home that was copied lead to the new place, and remove what lies there."""
    store = Home(source).store_file
    if store.exists() and not leads_to(store, Home(target).store_file):
        # A process that has just opened the old store, and its log not yet, must not find the new store's log. So new
        # processes get the new store first, and the old log keeps its path for a moment.
        replace_link(store, str(Home(target).store_file))
        time.sleep(_OPENING)
    _replace_by_link(source, _unfinished(source), _link(source, target))
    _remove_unfinished(source)


def _copy_file(source: str, target: str) -> str:
    shutil.copy2(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
    if Path(source).name != error_log.FILE and not filecmp.cmp(source, target, shallow=False):  # others write the log
        raise OSError(errno.EIO, "the copy differs", target)
    return target


def _copy_store(store: Path, target: Path) -> None:
    """Copy what is committed, by another connection than the one that keeps writers away."""
    with closing(sqlite3.connect(store)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        for connection in (original, copy):
            connection.text_factory = bytes
        for table in _tables(original):
            rows = [connection.execute(f'SELECT * FROM "{table}"') for connection in (original, copy)]
            if any(one != other for one, other in zip_longest(*rows)):
                raise OSError(errno.EIO, "the copy differs", str(target))
    _accept(target)  # a copy of a store whose move was killed
    shutil.copymode(store, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


# -- who may change a store --------------------------------------------------------------------------------------------
@contextmanager
def _as_os_error(store: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), str(store)) from error


@contextmanager
def _only_writer(store: Path) -> Iterator[sqlite3.Connection | None]:
    """Keep others from writing to an SQLite store; None where there is none, or a file that SQLite cannot read."""
    if not store.exists():
        yield None
        return
    with closing(sqlite3.connect(store, timeout=_PATIENCE, isolation_level=None)) as connection:
        writer: sqlite3.Connection | None = connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # it is busy, or may not be written
            raise
        except sqlite3.DatabaseError:
            writer = None
        yield writer


def _refuse(writer: sqlite3.Connection, place: Path) -> None:
    """Let a store refuse every change from now on, also by processes that wait for it; closes the connection."""
    why = f"the home has moved to {place}; if it is not there, another install completes the move".replace("'", "''")
    for table in _tables(writer):
        for change in ("INSERT", "UPDATE", "DELETE"):
            writer.execute(
                f'CREATE TRIGGER IF NOT EXISTS "{_REFUSAL}_{change}_{table}" BEFORE {change} ON "{table}"'
                f" BEGIN SELECT RAISE(ABORT, '{why}'); END"
            )
    writer.execute("COMMIT")
    writer.close()  # while its path leads to its own files


def _accept(store: Path) -> None:
    """Let a store be changed again after a move that made it refuse, if there was one."""
    for trigger in _refuses(store):
        with closing(sqlite3.connect(store, timeout=_PATIENCE, isolation_level=None)) as connection:
            connection.execute(f'DROP TRIGGER IF EXISTS "{trigger}"')


def _refuses(store: Path) -> list[str]:
    """The triggers by which a store refuses changes; none where there is no store that can be read."""
    if not store.exists():
        return []
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(store, timeout=_PATIENCE)) as connection:
        return _names(connection, "trigger", f"{_REFUSAL}%")
    return []


def _tables(connection: sqlite3.Connection) -> list[str]:
    return [name for name in _names(connection, "table", "%") if not name.startswith("sqlite_")]


def _names(connection: sqlite3.Connection, kind: str, like: str) -> list[str]:
    query = "SELECT CAST(name AS BLOB) FROM sqlite_master WHERE type = ? AND name LIKE ?"
    return [bytes(name).decode() for (name,) in connection.execute(query, (kind, like))]
