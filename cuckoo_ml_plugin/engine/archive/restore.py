"""A home from a backup: unpacked beside the home, checked against its manifest, and put in place in one rename.

A backup may come from a stranger. Only plain files with the names of a home are taken; links, devices, paths that lead
elsewhere, files without end and archives in other forms are refused before anything is changed.

What waits in the spool of a home that is there was never stored, so it waits on in the restored one, too.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from cuckoo_ml_plugin.engine.archive.backup import (
    CHUNK,
    FORMAT,
    HEADER,
    MANIFEST,
    MODELS,
    SPOOL,
    STORE,
    is_file_name,
    staging_folder,
)
from cuckoo_ml_plugin.engine.arrivals.spool import Spool, is_spool_name
from cuckoo_ml_plugin.engine.model_lock import alone, refuse_if_busy
from cuckoo_ml_plugin.errors import CuckooMLError, ModelError, SettingsError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import CURRENT, publish
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.files import exchange_folders, move_folder, sync_folder
from cuckoo_ml_plugin.plumbing.ownership import acting_as, give
from cuckoo_ml_plugin.settings import load_settings
from cuckoo_ml_plugin.store.upkeep import examine_store_file

_INSTALLED: Final = "install.json"
_MOST_FILES: Final = 200_000
_LARGEST_TEXT: Final = 64 * 2**20  # bytes of header and manifest
_LARGEST_RATIO: Final = 200  # of unpacked to packed bytes; a store with many empty pages reaches a tenth of it
_ALWAYS_ALLOWED: Final = 256 * 2**20  # unpacked bytes, whatever the ratio
_ASIDE: Final = "before-restore"
_SPOOL_SECONDS: Final = 10.0  # for another process to end storing what waits; one whose store hangs is not waited for

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Restored:
    """What was restored.

    Attributes:
        waiting: the analyses that wait in it, from the backup and from the home that was there.
        aside: where the home is that was there before.
    """

    made_at: str = ""
    files: int = 0
    current: str | None = None
    waiting: int = 0
    aside: Path | None = None
    notes: list[str] = field(default_factory=list)


class _Listed(msgspec.Struct):
    path: str
    size: int
    sha256: str


class _Header(msgspec.Struct):
    format: int
    version: str
    made_at: str
    store: str


class _Manifest(msgspec.Struct):
    current: str | None
    files: list[_Listed]


def restore(home: Home, file: Path, *, force: bool = False, progress: Progress | None = None) -> Restored:
    """Put the home of a backup in place. A crash at any moment leaves the home as it was, or the restored one.

    Args:
        force: a home that is there is set aside under another name; otherwise it is an error.

    Raises:
        CuckooMLError: the file is no backup, damaged or hostile; or there is a home and no ``force``.
        BusyError: a refit is running.
    """
    target = home.path.resolve()
    _refuse_home_in_the_way(target, force)
    try:
        packed = file.open("rb")
    except OSError as error:
        raise CuckooMLError(f"{file}: the backup cannot be read ({error.strerror}).") from error
    beside = next(path for path in target.parents if path.exists()).stat()
    owner = target.stat() if target.exists() and target.stat().st_uid != 0 else beside
    try:
        refuse_if_busy(home)  # before a large file is unpacked, and again at the end
        with packed, acting_as(beside.st_uid, beside.st_gid):
            target.parent.mkdir(parents=True, exist_ok=True)
            with staging_folder(target.parent, "restore-") as staging:
                give(staging, owner.st_uid, owner.st_gid)
                with acting_as(owner.st_uid, owner.st_gid):
                    restored = _unpack(file, packed, staging, progress)
                    _examine(file, staging, restored)
                _put_in_place(home, target, staging, restored, owner)
                restored.waiting = Spool(home).count()
    except OSError as error:
        raise CuckooMLError(
            f"{error.filename or target}: the backup cannot be restored ({error.strerror or error}); the home is as it"
            " was."
        ) from error
    return restored


def _refuse_home_in_the_way(target: Path, force: bool) -> None:
    if target.exists() and not target.is_dir():
        raise CuckooMLError(f"{target}: this is a file; --home must name a folder.")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise CuckooMLError(f"{target}: this folder is not empty; name another --home, or set it aside with --force.")


def _free(path: Path) -> Path:
    """The path, or one with a number, where nothing is."""
    candidates = chain([path], (path.with_name(f"{path.name}-{number}") for number in count(2)))
    return next(candidate for candidate in candidates if not os.path.lexists(candidate))


# -- unpacking ---------------------------------------------------------------------------------------------------------
def _unpack(file: Path, packed: BinaryIO, staging: Path, progress: Progress | None) -> Restored:
    """Unpack into an empty folder, and check every byte against the manifest. Raises CuckooMLError, OSError."""
    size = os.fstat(packed.fileno()).st_size
    most = max(size * _LARGEST_RATIO, _ALWAYS_ALLOWED)
    told = (lambda: progress(packed.tell(), size)) if progress is not None else (lambda: None)
    unpacked: dict[str, tuple[int, str]] = {}
    header: _Header | None = None
    manifest: _Manifest | None = None
    try:
        with gzip.GzipFile(fileobj=packed, mode="rb") as content:
            stream = _Bounded(content, most)
            archive = tarfile.open(fileobj=stream, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
            while (member := archive.next()) is not None:
                archive.members.clear()  # tarfile would keep them all
                if len(unpacked) >= _MOST_FILES:
                    raise _HostileError("it holds too many files")
                _refuse_member(member, unpacked, manifest)
                part = archive.extractfile(member)
                if part is None:
                    raise _HostileError(f"{member.name} is no file")
                if header is None:
                    header = _read_text(member, part, HEADER, _Header)
                    if header.format > FORMAT:
                        raise CuckooMLError(
                            f"{file}: it was written by a newer cuckoo-ml-plugin ({header.version}); upgrade"
                            " cuckoo-ml-plugin."
                        )
                elif member.name == MANIFEST:
                    manifest = _read_text(member, part, MANIFEST, _Manifest)
                else:
                    unpacked[member.name] = _write(staging / member.name, part, told)
    except _HostileError as error:
        raise CuckooMLError(f"{file}: this backup is not restored, because {error}.") from error
    except _DAMAGED as error:
        why = "no backup of cuckoo-ml" if header is None else "incomplete or damaged"
        raise CuckooMLError(f"{file}: this is {why} ({str(error)[:200]}); use another one.") from error
    if header is None or manifest is None:
        why = "no backup of cuckoo-ml" if header is None else "incomplete: its manifest is missing"
        raise CuckooMLError(f"{file}: this is {why}; use another one.")
    listed = {entry.path: (entry.size, entry.sha256) for entry in manifest.files}
    if listed != unpacked:
        wrong = sorted(name for name in {*listed, *unpacked} if listed.get(name) != unpacked.get(name))
        raise CuckooMLError(f"{file}: {wrong[0]} in it is missing or differs from the manifest; use another backup.")
    restored = Restored(header.made_at, len(unpacked), manifest.current)
    if header.store != "sqlite":
        restored.notes.append(
            "The rows of the store are not in this backup, because they are in PostgreSQL: see [store] url in the"
            " settings, and restore them there."
        )
    return restored


_DAMAGED: Final = (
    EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile, ValueError, OverflowError, LookupError, RecursionError,
    msgspec.MsgspecError,
)  # fmt: skip


class _HostileError(Exception):
    """A backup that no backup command has written."""


class _Bounded:
    """What tarfile reads the archive through: forwards, in steps that fit into memory, and not without end."""

    def __init__(self, content: gzip.GzipFile, most: int) -> None:
        self._content = content
        self._most = most

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes. Raises _HostileError."""
        if not 0 <= size <= 4 * CHUNK:
            raise _HostileError("it has a part that is too large to be read")
        content = self._content.read(size)
        self._check()
        return content

    def seek(self, position: int) -> int:
        """Go forwards. Raises _HostileError, also for a step that would read for too long."""
        if position > self._most or position < self._content.tell():
            raise _HostileError("it unpacks to far more than a home")
        return self._content.seek(position)

    def tell(self) -> int:
        """The place in the unpacked archive."""
        return self._content.tell()

    def _check(self) -> None:
        if self._content.tell() > self._most:
            raise _HostileError("it unpacks to far more than a home")


def _refuse_member(member: tarfile.TarInfo, unpacked: dict[str, tuple[int, str]], manifest: _Manifest | None) -> None:
    parts = member.name.split("/")
    is_loose = len(parts) == 1
    of_model = len(parts) == 3 and parts[0] == MODELS and parts[1] != CURRENT
    of_spool = len(parts) == 2 and parts[0] == SPOOL and is_spool_name(parts[1])
    if member.issparse() or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise _HostileError(f"{member.name[:100]!r} in it is a link, a device or another thing that is no plain file")
    known = (is_loose and member.name not in (MODELS, SPOOL)) or of_model or of_spool
    if not known or not all(map(is_file_name, parts)):
        raise _HostileError(f"{member.name[:100]!r} in it is no file of a home")
    if member.name in unpacked or manifest is not None:
        raise _HostileError(f"{member.name[:100]!r} in it comes twice, or after the manifest")


def _read_text(member: tarfile.TarInfo, part: Any, name: str, kind: Any) -> Any:
    if member.name != name or member.size > _LARGEST_TEXT:
        raise ValueError(f"it begins with {member.name[:100]!r}")
    content = b"".join(iter(lambda: part.read(CHUNK), b""))
    return msgspec.json.decode(content, type=kind)


def _write(path: Path, part: Any, told: Callable[[], None]) -> tuple[int, str]:
    """Write one file, which must not be there; its size and SHA-256."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    mode = 0o600 if path.parent.name == SPOOL else 0o640
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
        while chunk := part.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
            told()
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


# -- checking and putting in place -------------------------------------------------------------------------------------
def _examine(file: Path, staging: Path, restored: Restored) -> None:
    """Check that this version can use what was unpacked. Raises CuckooMLError."""
    home = Home(staging)
    try:
        load_settings(home.settings_file)
    except SettingsError as error:
        restored.notes.append(f"The restored settings need a change: {str(error).replace(str(staging), '')}")
    if home.store_file.exists():
        examine_store_file(home.store_file, f"{file}: {STORE}")
    home.models.mkdir(exist_ok=True)
    if restored.current is None:
        return
    if not (home.models / restored.current / "model.json").is_file() or not is_file_name(restored.current):
        raise CuckooMLError(f"{file}: the model in force, {restored.current[:100]}, is not in it; use another backup.")
    publish(home.models, restored.current)
    try:
        Model.load(home.models / restored.current)
    except ModelError as error:
        restored.notes.append(f"The restored model cannot be used ({str(error)[-300:]})")


def _put_in_place(home: Home, target: Path, staging: Path, restored: Restored, owner: os.stat_result) -> None:
    with acting_as(owner.st_uid, owner.st_gid):
        for folder in (staging / MODELS, staging):
            sync_folder(folder)
        is_free = not target.exists() or not any(target.iterdir())
        if is_free:
            staging.chmod(0o750)
    if is_free:
        move_folder(staging, target)
        return
    with ExitStack() as stack:
        with acting_as(owner.st_uid, owner.st_gid):
            stack.enter_context(alone(home))
            installed = target / _INSTALLED
            if installed.is_file() and not installed.is_symlink():  # what is installed on this machine now
                (staging / _INSTALLED).unlink(missing_ok=True)
                shutil.copyfile(installed, staging / _INSTALLED)
            staging.chmod(target.stat().st_mode & 0o7777)
            waiting = Spool(Home(target))
            stack.enter_context(waiting.alone(_SPOOL_SECONDS))  # else one might be stored there and removed here
            Spool(Home(staging)).take_over(waiting)
        aside = _free(target.with_name(f"{target.name}.{_ASIDE}"))
        move_folder(staging, aside)
        exchange_folders(aside, target)
        restored.aside = aside
    late = Spool(Home(aside))
    try:
        with acting_as(owner.st_uid, owner.st_gid):
            Spool(Home(target)).take_over(late)  # what came to wait until the exchange
    except OSError as error:
        restored.notes.append(
            f"What waits in {late.folder} could not be copied into the restored home ({error.strerror}): copy its files"
            f" into {home.spool}."
        )
