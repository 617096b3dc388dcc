"""How the tests are dealt out to the processes of pytest-xdist that run them beside each other."""

from __future__ import annotations

from typing import Any, Final

import pytest

TOGETHER: Final = {"tests/hosts/test_cuckoo2_web.py": "tests/hosts/test_cuckoo2.py"}
"""Files that the process of another file runs: both install into the one Cuckoo, which a process has to itself."""


def by_file(config: pytest.Config, log: Any) -> object:
    """Deals out whole files, so that what the tests of a file share is made once."""
    from xdist.scheduler import LoadFileScheduling

    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = _work_of
    return scheduling


def _work_of(test: str) -> str:
    file = test.partition("::")[0]
    return TOGETHER.get(file, file)
