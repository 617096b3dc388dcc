"""A backup of a home as one file: a gzipped tar of settings, store, models and what waits to be stored.

It is taken while the host works. The first member says what the file is, the last one is the manifest: size and SHA-256
of every other member. A file that was cut off therefore has no manifest. The store is a copy as of one moment. What
waits in the spool is copied before it: an analysis that is stored meanwhile is then in both, and storing it again
changes nothing, while the other order could miss it. A model is never changed once it is written, so its files need no
lock, and one that a refit removes meanwhile is left out whole.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, Final

from cuckoo_ml_plugin.engine.arrivals.spool import Spool
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import CURRENT, current_id, folder_in_force
from cuckoo_ml_plugin.plumbing.files import UNFINISHED, replacing
from cuckoo_ml_plugin.version import __version__

FORMAT: Final = 2
_WITHOUT_SPOOL: Final = 1
"""The format of a file in which nothing waits: versions before the spool was kept restore it, too."""
HEADER: Final = "cuckoo-ml-backup.json"
MANIFEST: Final = "manifest.json"
STORE: Final = "store.db"
MODELS: Final = "models"
SPOOL: Final = "spool"
CHUNK: Final = 2**20
_LEVEL: Final = 3  # most of a model does not shrink at any level
_LARGEST_LOOSE_FILE: Final = 64 * 2**20  # settings, install.json and logs are small; a larger file is not ours
_MODE: Final = 0o600  # settings may hold the password of a database

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Backup:
    """What a backup holds.

    Attributes:
        waiting: the analyses that wait to be stored.
        store: sqlite, or postgresql for one whose rows it does not hold.
    """

    files: int = 0
    size: int = 0
    models: int = 0
    waiting: int = 0
    current: str | None = None
    store: str = "sqlite"
    notes: list[str] = field(default_factory=list)


def back_up(home: Home, file: Path, progress: Progress | None = None) -> Backup:
    """Write the home into a file, whole or not at all; only its owner may read it.

    Raises:
        CuckooMLError: something that is no backup is in the way, or the file cannot be written.
        SettingsError, StoreError: the settings or the store cannot be read.
    """
    _refuse_other_files(file)
    made = Backup()
    store = Engine(home).store
    try:
        with (
            staging_folder(file.absolute().parent, "backup-") as staging,
            replacing(file, mode=_MODE) as target,
            gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=_LEVEL, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            fcntl.flock(target, fcntl.LOCK_EX)  # says that this unfinished file is no leftover
            writer = _Writer(archive, made, progress)
            made_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
            made.store = "sqlite" if store.is_in_home else "postgresql"
            spool = Spool(home)
            waiting = [*spool.waiting(), *spool.unreadable()]
            number = FORMAT if waiting else _WITHOUT_SPOOL
            header = {"format": number, "version": __version__, "made_at": made_at, "store": made.store}
            writer.add_text(HEADER, header)
            _add_spool(spool, waiting, writer)
            copy = staging / STORE
            if store.is_in_home:
                store.snapshot(copy)
                writer.plan(copy.stat().st_size)
                with copy.open("rb") as content:
                    writer.add(STORE, content)
                copy.unlink()
            else:
                made.notes.append(
                    f"The rows of the store are not in this file, because they are in PostgreSQL ({store.name}): back"
                    " them up with pg_dump, and restore them there before this file."
                )
            _add_loose_files(home, writer, file)
            _add_models(home, writer)
            writer.add_text(MANIFEST, {**header, "current": made.current, "files": writer.listing})
    except OSError as error:
        where = error.filename or file
        raise CuckooMLError(
            f"{where}: the backup cannot be written ({error.strerror or error}); {file} is as it was."
        ) from error
    return made


@contextmanager
def staging_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """A folder of our own, removed at the end; first those are removed that a kill left. Raises OSError."""
    for leftover in parent.glob(f"{UNFINISHED}*"):
        with suppress(OSError):
            _remove_leftover(leftover, leftover.name.startswith(f"{UNFINISHED}{purpose}"))
    folder = Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{purpose}", dir=parent))
    made = folder.stat()
    with ExitStack() as stack:
        fcntl.flock(_opened_folder(folder, stack), fcntl.LOCK_EX)
        try:
            yield folder
        finally:  # the folder may have taken the place of another, which must stay
            if folder.exists() and os.path.samestat(folder.lstat(), made):
                shutil.rmtree(folder, ignore_errors=True)


def _remove_leftover(path: Path, is_ours: bool) -> None:
    """Remove an unfinished folder or backup that no process works on, which would hold its lock."""
    if path.lstat().st_uid != os.geteuid() or path.is_symlink() or not (is_ours or is_backup(path)):
        return
    with ExitStack() as stack:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def is_backup(file: Path) -> bool:
    """Whether a file begins as a backup does."""
    try:
        with gzip.open(file) as packed:
            return packed.read(len(HEADER) + 1) == HEADER.encode() + b"\0"
    except (OSError, EOFError, ValueError):
        return False


def _refuse_other_files(file: Path) -> None:
    if not file.absolute().parent.is_dir():
        raise CuckooMLError(f"{file}: there is no folder {file.absolute().parent}; name another file.")
    if file.is_dir():
        raise CuckooMLError(f"{file}: this is a folder; name a file for the backup.")
    if os.path.lexists(file) and not is_backup(file):
        raise CuckooMLError(f"{file}: this is no backup of cuckoo-ml, and is left alone; name another file.")


def _add_loose_files(home: Home, writer: _Writer, file: Path) -> None:
    """The settings, ``install.json`` and whatever small file lies beside them."""
    with ExitStack() as stack:
        folder = _opened_folder(home.path, stack, follow=True)
        for name in sorted(os.listdir(folder)):
            if name.startswith((".", STORE)) or name in (HEADER, MANIFEST, MODELS, SPOOL) or not is_file_name(name):
                continue
            content = _opened_file(name, folder)
            if content is None:
                continue
            with content:
                beside = home.path / name
                if os.fstat(content.fileno()).st_size <= _LARGEST_LOOSE_FILE and not is_backup(beside):
                    writer.add(name, content)


def _add_spool(spool: Spool, files: list[Path], writer: _Writer) -> None:
    """What waits to be stored, and what nobody could read; a file that is gone meanwhile is in the store."""
    if not files:
        return
    with ExitStack() as stack:
        folder = _opened_folder(spool.folder, stack)
        for file in files:
            content = _opened_file(file.name, folder)
            if content is not None:
                with content:
                    writer.plan(os.fstat(content.fileno()).st_size)
                    writer.add(f"{SPOOL}/{file.name}", content)
                    writer.made.waiting += not spool.is_unreadable(file)


def _add_models(home: Home, writer: _Writer) -> None:
    """All models that are there, and the one in force, also when it was published only while this runs."""
    written: set[str] = set()
    current = current_id(home.models)
    folders = [path for path in home.models.glob("[!.]*") if path.is_dir() and not path.is_symlink()]
    names = sorted(path.name for path in folders if path.name != CURRENT)
    for name in sorted(names, key=lambda name: name != current):
        if _add_model(home, name, writer):
            written.add(name)
    while (current := current_id(home.models)) is not None and current not in written:
        if not _add_model(home, current, writer) and current == current_id(home.models):
            writer.made.notes.append(f"{home.models / current}: the model in force cannot be read and is left out.")
            return
        written.add(current)
    writer.made.current = current


def _add_model(home: Home, name: str, writer: _Writer) -> bool:
    """Add all files of a model; False, and nothing is added, if it is being removed. Its open files stay readable."""
    if not is_file_name(name):
        return False
    with ExitStack() as stack:
        try:
            models = _opened_folder(home.models, stack, follow=os.geteuid() != 0)
            folder = _opened_folder(folder_in_force(home.models, name).name, stack, parent=models)
            names = sorted(filter(is_file_name, os.listdir(folder)))
            contents = [(member, _opened_file(member, folder)) for member in names]
        except OSError:
            return False
        for _, content in contents:
            if content is not None:
                stack.enter_context(content)
        if any(content is None for _, content in contents) or "model.json" not in names:
            return False
        writer.plan(sum(os.fstat(content.fileno()).st_size for _, content in contents if content is not None))
        for member, content in contents:
            if content is not None:
                writer.add(f"{MODELS}/{name}/{member}", content)
    writer.made.models += 1
    return True


def is_file_name(name: str) -> bool:
    """Whether a name may stand in a backup: no path, not hidden, plain characters."""
    plain = name.replace("-", "").replace("_", "").replace(".", "").replace("~", "")
    return plain.isascii() and plain.isalnum() and not name.startswith(".") and len(name) <= 200


def _opened_folder(path: Path | str, stack: ExitStack, *, parent: int | None = None, follow: bool = False) -> int:
    """A folder, opened; a link in its place is not followed, so that a host's user cannot lead root elsewhere."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=parent)
    stack.callback(os.close, descriptor)
    return descriptor


def _opened_file(name: str, folder: int) -> BinaryIO | None:
    """A regular file in an opened folder; None for anything else."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


class _Writer:
    """The archive, with the listing of what it holds, and the progress in bytes."""

    def __init__(self, archive: tarfile.TarFile, made: Backup, progress: Progress | None) -> None:
        self.listing: list[dict[str, Any]] = []
        self.made = made
        self._archive = archive
        self._progress = progress
        self._planned = 0

    def plan(self, size: int) -> None:
        """Note that so many more bytes will come."""
        self._planned += size

    def add_text(self, name: str, value: Any) -> None:
        """Add a JSON file of our own, which the listing leaves out."""
        content = json.dumps(value, indent=1).encode()
        self._archive.addfile(_member(name, len(content)), io.BytesIO(content))

    def add(self, name: str, content: BinaryIO) -> None:
        """Add a file; one that grows meanwhile is taken as long as it is now. Raises OSError for one that shrinks."""
        size = os.fstat(content.fileno()).st_size
        hashed = _Hashed(content, size, self._told)
        self._archive.addfile(_member(name, size), hashed)  # type: ignore[arg-type]
        self.listing.append({"path": name, "size": size, "sha256": hashed.digest.hexdigest()})
        self.made.files += 1

    def _told(self, size: int) -> None:
        self.made.size += size
        if self._progress is not None:
            self._progress(self.made.size, max(self._planned, self.made.size))


class _Hashed:
    """What tarfile reads a file through."""

    def __init__(self, content: BinaryIO, size: int, told: Callable[[int], None]) -> None:
        self.digest = hashlib.sha256()
        self._parts = _parts(content, size)
        self._told = told
        self._rest = b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes."""
        if not self._rest:
            self._rest = next(self._parts, b"")
        part, self._rest = self._rest[:size], self._rest[size:]
        while len(part) < size and (more := next(self._parts, b"")):
            part, self._rest = part + more[: size - len(part)], more[size - len(part) :]
        self.digest.update(part)
        self._told(len(part))
        return part


def _parts(content: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        part = content.read(min(size, CHUNK))
        if not part:
            return
        size -= len(part)
        yield part


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, _MODE
    return member
