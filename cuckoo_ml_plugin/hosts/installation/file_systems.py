"""Whether the store lies on a network file system, where SQLite must not keep it.

SQLite's write-ahead log shares memory between the processes that use the store. Over a network they have none, and
their locks may not hold: sqlite.org/wal.html says that it does not work there. A damaged store is how it shows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.settings import Settings

MOUNTS: Final = Path("/proc/self/mounts")
NETWORK: Final = frozenset((
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "orangefs", "9p",
    "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse",
    "fuse.juicefs", "fuse.mfs", "fuse.davfs", "fuse.smbnetfs",
))  # fmt: skip
_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system(path: Path, mounts: str) -> tuple[Path, str]:
    """The mount point on which an absolute path lies, and its type; ``mounts`` is the text of ``/proc/self/mounts``."""
    best = Path("/"), ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[1]))
        if path.is_relative_to(point) and len(point.parts) >= len(best[0].parts):  # a later mount covers an earlier one
            best = point, fields[2]
    return best


def place_of_store(home: Home, settings: Settings, mounts: str | None = None) -> str:
    """Where the store lies, for ``doctor``; ``mounts`` stands in for ``/proc/self/mounts``.

    Raises:
        CuckooMLError: SQLite keeps it on a network file system.
    """
    if settings.store.url and not settings.store.url.startswith("sqlite"):
        return "the store is kept by a database server"
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return f"not known: {MOUNTS} cannot be read ({error.strerror})"
    store = Path(settings.store.url.partition(":///")[2] or home.store_file).resolve()
    point, kind = file_system(store, mounts)
    if kind in NETWORK:
        raise CuckooMLError(
            f"{store}: lies on the network file system {point} ({kind}), where SQLite may damage it; keep the store in"
            f" PostgreSQL ([store] url in {home.settings_file}), or the home on a disk of this machine."
        )
    return f"the store lies on {point} ({kind or 'of unknown type'})"
