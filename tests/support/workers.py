"""The processes of pytest-xdist that run tests beside each other: which tests each runs, and what it can report."""

from __future__ import annotations

from typing import Any, Final

import pytest

TOGETHER: Final = {"tests/hosts/test_cuckoo2_web.py": "tests/hosts/test_cuckoo2.py"}
"""Files that the process of another file runs: both install into the one Cuckoo, which a process has to itself."""


def by_file(config: pytest.Config, log: Any) -> object:
    """A scheduler that deals out whole files, so that what the tests of a file share is made once."""
    from xdist.scheduler import LoadFileScheduling

    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = _work_of
    return scheduling


def _work_of(test: str) -> str:
    file = test.partition("::")[0]
    return TOGETHER.get(file, file)


def transmittable(report: Any) -> Any:
    """A report with every text as UTF-8 can hold it: one lone surrogate of a hostile name would end the whole run."""
    if isinstance(report, str):
        return report.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(report, dict):
        return {transmittable(key): transmittable(value) for key, value in report.items()}
    if isinstance(report, list | tuple):
        return type(report)(map(transmittable, report))
    return report
