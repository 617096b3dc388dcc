"""The time limit of all that tests wait for: it only bounds hangs, far beyond what a busy machine needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

HANG: Final = 300  # seconds


def unhurried(settings: str) -> str:
    """Settings with a time limit for an analysis and a page that only bounds hangs."""
    return re.sub(r"(?m)^time_limit = .*", f"time_limit = {HANG}", settings)


def wait_until(ready: Callable[[], bool], hang: float = HANG) -> bool:
    """Whether ``ready`` came true before the limit."""
    deadline = time.monotonic() + hang
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
