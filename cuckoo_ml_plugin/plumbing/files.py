"""Replacing a file whole: a reader, and a crash at any moment, finds the old file or the new one, never a part.

The content is written into a new file in the same folder, synced to disk and renamed onto the old one; then the folder
is synced. The temporary file has a unique name and is removed if anything fails. The new file keeps the mode of the one
that it replaces, and its owner and group as far as this user may set them. A symbolic link stays a link: the file it
leads to is replaced.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from cuckoo_ml_plugin.plumbing.ownership import acting_as_root

_AT_FDCWD: Final = -100  # of Linux
_RENAME_EXCHANGE: Final = 2
UNFINISHED: Final = ".unfinished-"  # how the names of temporary files begin
_TOKEN: Final = 8  # random bytes in the name of a temporary file


@contextmanager
def replacing(path: Path, *, owner_of_folder: bool = False, mode: int | None = None) -> Iterator[BinaryIO]:
    """A binary file to write into, which takes the place of ``path`` when the block ends without an error.

    A new file gets the mode that the umask leaves; with ``owner_of_folder``, one that root writes gets the owner and
    group of its folder. With ``mode``, the file has that mode, whether it is new or not. Raises OSError; ``path`` is
    then as it was.
    """
    try:
        target = path.resolve()
    except RuntimeError as error:  # how Python before 3.13 reports a loop of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    try:
        replaced = target.stat()
    except FileNotFoundError:
        replaced = None
    if replaced is not None and not stat.S_ISREG(replaced.st_mode):
        code = errno.EISDIR if stat.S_ISDIR(replaced.st_mode) else errno.EINVAL
        raise OSError(code, os.strerror(code), str(path))  # a device such as /dev/null must not become a file
    remove_dead_files(target.parent)
    unfinished, descriptor = _create(target.parent, 0o666 if replaced is None and mode is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if replaced is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(replaced.st_mode) if mode is None else mode)
                _set_owner(file.fileno(), replaced)
            elif owner_of_folder and os.geteuid() == 0:
                _set_owner(file.fileno(), target.parent.stat())
            if replaced is None and mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            os.replace(unfinished, target)  # before its lock ends
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    sync_folder(target.parent)


def _create(folder: Path, mode: int) -> tuple[Path, int]:
    """A new file of a temporary name, locked for as long as it is open: so nobody takes it for a leftover."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        path = _unfinished(folder)
        descriptor = os.open(path, flags, mode)
        with suppress(OSError):  # a file system that cannot lock; nobody removes leftovers there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(path):  # else another process came between
            return path, descriptor
        os.close(descriptor)


def remove_dead_files(folder: Path) -> None:
    """Remove the temporary files that killed processes of this user left in a folder; never raises.

    Whoever writes one holds its lock, which ends with the process. Files that are not ours have other names.
    """
    try:
        names = [name for name in os.listdir(folder) if name.startswith(UNFINISHED) and _is_token(name)]
    except OSError:
        return
    for name in names:
        with suppress(OSError):
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(folder / name)
            finally:
                os.close(descriptor)


def _is_token(name: str) -> bool:
    token = name.removeprefix(UNFINISHED)
    return len(token) == 2 * _TOKEN and all(letter in "0123456789abcdef" for letter in token)


def replace_file(path: Path, content: bytes, *, owner_of_folder: bool = False, mode: int | None = None) -> None:
    """Make ``content`` the whole of a file, as :func:`replacing` does. Raises OSError; the file is then as it was."""
    with replacing(path, owner_of_folder=owner_of_folder, mode=mode) as file:
        file.write(content)


def replace_link(link: Path, target: str) -> None:
    """Make ``link`` lead to ``target``, in one rename. Raises OSError; the link is then as it was."""
    unfinished = _unfinished(link.parent)
    try:
        unfinished.symlink_to(target)
        os.replace(unfinished, link)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    sync_folder(link.parent)


def move_folder(folder: Path, target: Path) -> None:
    """Rename a folder to a name where nothing is, or an empty folder. Raises OSError; both are then as they were."""
    os.rename(folder, target)
    sync_folder(target.parent)


def exchange(path: Path, other: Path) -> bool:
    """Let two names change places at once, whatever they name; False where kernel or file system cannot do that.

    Raises OSError; both are then as they were.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(path.absolute()), os.fsencode(other.absolute())
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        sync_folder(path.parent)
        sync_folder(other.parent)
        return True
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(other))
    return False


def exchange_folders(folder: Path, other: Path) -> None:
    """Let two folders change their names, at once where kernel and file system can do that. Raises OSError.

    Elsewhere it takes three renames; a crash between them leaves one of the folders under an unfinished name.
    """
    if exchange(folder, other):
        return
    between = _unfinished(other.parent)
    os.rename(other, between)
    try:
        os.rename(folder, other)
    except BaseException:
        os.rename(between, other)
        raise
    os.rename(between, folder)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk, where its file system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unfinished(folder: Path) -> Path:
    return folder / f"{UNFINISHED}{secrets.token_hex(_TOKEN)}"


def _set_owner(descriptor: int, like: os.stat_result) -> None:
    """Owner and group of another file; a user who is not root may only set some groups, or nothing."""
    ours = os.fstat(descriptor)
    if (ours.st_uid, ours.st_gid) == (like.st_uid, like.st_gid):
        return
    with acting_as_root():
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except OSError:
            with suppress(OSError):
                os.fchown(descriptor, -1, like.st_gid)
