"""Making a home for a host, moving one that an earlier version put where the host deletes it, and purging it.

Root does all of this with the rights of the owner of the host's folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.engine.model_lock import alone
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts import error_log
from cuckoo_ml_plugin.hosts.installation.installer import InstallError, Site, Step
from cuckoo_ml_plugin.hosts.installation.notes import OLD_NAME
from cuckoo_ml_plugin.plumbing.files import UNFINISHED, move_folder

_FILES: Final = (
    "cuckooml.conf", "home.id", error_log.FILE, OLD_NAME,
    *(f"store.db{end}" for end in ("", "-wal", "-shm", "-journal")),
)  # fmt: skip
_FOLDERS: Final = ("models", "demo")
_PRIVATE: Final = 0o027  # what others, and the group when it writes, may not do with a home


def plan_move(site: Site) -> list[Step]:
    """The step that moves an earlier home to its place now; none where there is none, or where a home is already."""
    source = _earlier_home(site)
    note = f"the home goes to {site.home}, where the host's clean-up deletes nothing"
    return [] if source is None else [Step("move", source, note)]


def make_home(site: Site) -> str:
    """Move an earlier home to its place, or make one; returns its id. Raises InstallError and CuckooMLError."""
    source, home = _earlier_home(site), Home(site.home)
    with site.files.acting(site.home):
        try:
            if source is not None:
                site.home.parent.mkdir(parents=True, exist_ok=True)
                _move(source, site.home)
            home.create()
            _keep_private(home)
            return home.ensure_id()
        except OSError as error:
            mend = f"; run: chown -R --no-dereference --reference={site.root} {error.filename or site.home}"
            why = f"{error.strerror}{mend if error.errno in (errno.EACCES, errno.EPERM) else ''}"
            raise InstallError(f"{error.filename or site.home}: the home cannot be made or moved ({why}).") from error


def purge(site: Site) -> None:
    """Remove the files of the home that are ours; what else lies in its folder stays. Raises InstallError."""
    with site.files.acting(site.home):
        try:
            folder = site.home.resolve()
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
            for path in folder.glob(f"{UNFINISHED}*") if folder.is_dir() else ():
                if path.is_file() and not path.is_symlink():
                    path.unlink()
            for name in _FOLDERS:
                if (folder / name).is_symlink():
                    (folder / name).unlink()
                elif (folder / name).is_dir():
                    shutil.rmtree(folder / name)  # follows no link
            with suppress(FileNotFoundError):
                if not any(folder.iterdir()):
                    folder.rmdir()
                    site.home.unlink(missing_ok=True)  # the home may be a link
        except OSError as error:
            raise InstallError(f"{error.filename}: cannot be removed ({error.strerror}).") from error


def _earlier_home(site: Site) -> Path | None:
    if Home(site.home).exists:
        return None
    with site.files.acting(site.home):
        return next((home for home in site.older if home != site.home and Home(home).exists), None)


def _keep_private(home: Home) -> None:
    """Let only the owner and the group read what the home holds."""
    for path in (home.path, home.models, home.settings_file, *(home.path / name for name in _FILES)):
        if path.exists():
            mode = path.stat().st_mode
            if mode & _PRIVATE:
                path.chmod(mode & ~_PRIVATE & 0o7777)


def _move(source: Path, target: Path) -> None:
    """Move a home; across file systems it is copied, compared and only then removed. Raises OSError."""
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if source.is_symlink():
        target.symlink_to(source.resolve())
        source.unlink()
        return
    try:
        move_folder(source, target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    unfinished = target.with_name(f"{UNFINISHED}{target.name}-{os.getpid()}")
    try:
        with alone(Home(source)), _nobody_writes(Home(source).store_file):
            shutil.copytree(source, unfinished, symlinks=True, ignore=shutil.ignore_patterns("*-shm"))
            _compare(source, unfinished)
            move_folder(unfinished, target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(source)


@contextmanager
def _nobody_writes(store: Path) -> Iterator[None]:
    """Keep other processes from writing to an SQLite store; a home on PostgreSQL has none."""
    if not store.exists():
        yield
        return
    connection = sqlite3.connect(store, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EBUSY, str(error), str(store)) from error
    finally:
        connection.close()


def _compare(source: Path, copy: Path) -> None:
    for folder, _, names in os.walk(source):
        for name in names:
            original = Path(folder) / name
            same = copy / original.relative_to(source)
            if name.endswith("-shm") or original.is_symlink():
                continue
            with original.open("rb") as one, same.open("rb") as other:
                while block := one.read(2**20):
                    if other.read(2**20) != block:
                        raise OSError(errno.EIO, "the copy differs", str(same))
