"""The time limit of all that tests wait for: it only bounds hangs, far beyond what a busy machine needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

HANG: Final = 300  # seconds


def wait_until(ready: Callable[[], bool], hang: float = HANG) -> bool:
    """Whether ``ready`` came true before the limit."""
    deadline = time.monotonic() + hang
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
