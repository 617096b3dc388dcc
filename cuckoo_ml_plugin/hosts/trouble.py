"""The last things that went wrong inside a host, kept in the home for ``cuckoo-ml doctor``."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

FILE = "trouble.log"
_ENOUGH = 64 * 1024  # bytes; then the older half goes


def note(home: Path, what: str) -> None:
    """Add a line; never raises, and makes no home where there is none."""
    path = home / FILE
    line = " ".join(what.split())[:500]
    try:
        if not home.is_dir():
            return
        if path.exists() and path.stat().st_size > _ENOUGH:
            path.write_bytes(path.read_bytes()[-_ENOUGH // 2 :].partition(b"\n")[2])
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {line}\n")
    except OSError:
        pass


def last(home: Path) -> tuple[datetime, str] | None:
    """When something went wrong last, and what; None if nothing did."""
    try:
        lines = (home / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        moment, _, what = lines[-1].partition(" ")
        return datetime.fromisoformat(moment.replace("Z", "+00:00")), what
    except (OSError, IndexError, ValueError):
        return None
