"""The log of what went wrong inside a host, kept in the home for ``cuckoo-ml doctor``."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.plumbing.files import replace_file

FILE: Final = "trouble.log"
_MAX_SIZE: Final = 64 * 1024  # bytes; beyond that the older half is dropped
_MAX_LINE: Final = 500


def record(home: Path, message: str) -> None:
    """Add a line; never raises, and creates no home."""
    path = home / FILE
    line = " ".join(message.split())[:_MAX_LINE]
    try:
        if not home.is_dir():
            return
        if path.exists() and path.stat().st_size > _MAX_SIZE:
            replace_file(path, path.read_bytes()[-_MAX_SIZE // 2 :].partition(b"\n")[2])
        with path.open("a", encoding="utf-8", errors="replace") as file:
            if os.geteuid() == 0:  # the host's user must be able to go on with it
                owner = home.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {line}\n")
    except OSError:
        pass


def latest(home: Path) -> tuple[datetime, str] | None:
    """The time and message of the last line; None where nothing went wrong."""
    try:
        lines = (home / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        time, _, message = lines[-1].partition(" ")
        return datetime.fromisoformat(time.replace("Z", "+00:00")), message
    except (OSError, IndexError, ValueError):
        return None
