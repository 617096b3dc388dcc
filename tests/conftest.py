"""Fixtures that several stories share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from needs import skip_or_fail

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real reports beside the checkout; skips, with a reason, where it is missing."""
    folder = Path(os.environ.get("CUCKOO_ML_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        skip_or_fail(f"no real reports: {folder} is missing")
    return folder
