"""What a test needs and a machine may lack, such as real reports, a PostgreSQL server or Python 2.7."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test for ``reason``; where ``CUCKOO_ML_REQUIRE=1`` says that nothing may be lacking (CI), fail it."""
    if os.environ.get("CUCKOO_ML_REQUIRE") == "1":
        pytest.fail(f"CUCKOO_ML_REQUIRE=1, but {reason}", pytrace=False)
    pytest.skip(reason)
