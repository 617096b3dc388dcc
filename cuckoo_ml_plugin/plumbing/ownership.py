"""Root acts as the owner of what it changes, so that its files belong to that owner and no link leads it elsewhere.

Admins type ``sudo``. Files that root leaves in a home stop the host's user, and a link that the host's user plants in a
folder of his makes root write where he may not. Both end where root takes on the owner's identity: the kernel then
allows what the owner may do, and new files are his.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from cuckoo_ml_plugin.plumbing.commands import shell_command

_PR_SET_KEEPCAPS: Final = 8  # of Linux: prctl(2), capabilities(7)
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_CAPABILITIES_VERSION_3: Final = 0x20080522
_CAP_DAC_READ_SEARCH: Final = 2


def owner_on_the_way(base: Path, path: Path) -> tuple[int, int]:
    """User and group of the first part of ``path``, from ``base`` on, that is not root's; root's if all are.

    A link counts as itself, so whoever may have made it is the one who follows it.
    """
    inner = path.relative_to(base).parts if path.is_relative_to(base) else ()
    part = base if path.is_relative_to(base) else path.parent
    for name in (None, *inner):
        part = part if name is None else part / name
        try:
            status = part.lstat()
        except OSError:
            break
        is_file = part == path and not part.is_symlink() and not part.is_dir()
        if status.st_uid != 0 and not is_file:  # a file is replaced in its folder, whoever owns it
            return status.st_uid, status.st_gid
    return 0, 0


def only_root_changes(folder: Path) -> bool:
    """Whether a folder and all above it are root's, so that nobody else can put anything there."""
    try:
        status, *above = [path.lstat() for path in (folder, *folder.parents)]
    except OSError:
        return False
    is_kept = all(part.st_uid == 0 and (not part.st_mode & 0o022 or part.st_mode & stat.S_ISVTX) for part in above)
    return is_kept and status.st_uid == 0 and stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Do the block with the rights of a user, if this process is root's.

    Blocks may be nested, each for another user; each ends with the rights of the block around it. For root it changes
    nothing: inside another user's block, whose folders that user can rearrange, root's rights do not come back.
    """
    if os.getuid() != 0 or uid in (0, os.geteuid()):
        yield
        return
    with _having_rights(uid, gid, groups_of(uid, gid)):
        yield


@contextmanager
def acting_as_root() -> Iterator[None]:
    """Do the block as root inside :func:`acting_as`, for what leads nowhere, such as giving a file away."""
    if os.getuid() != 0 or os.geteuid() == 0:
        yield
        return
    with _having_rights(0, 0, []):
        yield


@contextmanager
def _having_rights(uid: int, gid: int, groups: list[int]) -> Iterator[None]:
    before = os.geteuid(), os.getegid(), os.getgroups()
    _take_on(uid, gid, groups)
    try:
        yield
    finally:
        _take_on(*before)


def _take_on(uid: int, gid: int, groups: list[int]) -> None:
    os.seteuid(0)  # only root may choose
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)


def give(folder: Path, uid: int, gid: int) -> None:
    """Give a folder to another user, if this process is root's; a link is not followed. Raises OSError."""
    if os.getuid() == 0 and folder.lstat().st_uid != uid:
        with acting_as_root():
            os.chown(folder, uid, gid, follow_symlinks=False)


def groups_of(uid: int, gid: int) -> list[int]:
    """The groups of a user, also of one without a name."""
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def user_name(uid: int) -> str:
    """The name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def mending(path: Path) -> str:
    """The end of a sentence on a file that another user left where this user works, such as one of root's."""
    for part in (path, *path.parents):
        owner = part.lstat().st_uid
        if owner != os.geteuid() and part.parent.stat().st_uid == os.geteuid():
            command = shell_command("sudo", "chown", "-hR", f"{os.geteuid()}:{os.getegid()}", part)
            return f"; {part} belongs to {user_name(owner)}, so run {command}"
    return ""


def identity_of(folder: Path | None) -> dict[str, Any]:
    """The arguments with which ``subprocess`` runs a program as the owner of a folder, if this is root."""
    if folder is None or os.geteuid() != 0 or folder.stat().st_uid == 0:
        return {}
    status = folder.stat()
    return {
        "user": status.st_uid,
        "group": status.st_gid,
        "extra_groups": groups_of(status.st_uid, status.st_gid),
    }


def become_owner(folder: Path) -> None:
    """From here on be the owner of a folder, or of the one in which it will be, if this is root.

    What root alone may read, such as reports in its own folders or its Python, can still be read where the system
    grants that (CAP_DAC_READ_SEARCH). Nothing else of root's rights is left.
    """
    if os.geteuid() != 0:
        return
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    status = folder.stat()
    if status.st_uid == 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups(groups_of(status.st_uid, status.st_gid))
    os.setresgid(status.st_gid, status.st_gid, status.st_gid)
    os.setresuid(status.st_uid, status.st_uid, status.st_uid)
    header = struct.pack("=Ii", _CAPABILITIES_VERSION_3, 0)
    reading = 1 << _CAP_DAC_READ_SEARCH
    for permitted in (reading, 0):  # none where the system does not grant it
        if libc.capset(header, struct.pack("=6I", permitted, permitted, permitted, 0, 0, 0)) == 0:
            libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)  # for worker processes
            break
    with suppress(KeyError):
        os.environ["HOME"] = pwd.getpwuid(status.st_uid).pw_dir
