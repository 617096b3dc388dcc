"""Fixtures that several stories share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from needs import skip_or_fail

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.append(str(REPOSITORY / "benchmarks"))  # the reader of a research corpus is theirs


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real reports beside the checkout; skips, with a reason, where it is missing."""
    folder = Path(os.environ.get("CUCKOO_ML_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        skip_or_fail(f"no real reports: {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def riss(shared_data: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Family and tokens of the 1,524 samples of the RISS corpus."""
    from riss import read_riss

    from cuckoo_ml_plugin.behaviour import extract
    from cuckoo_ml_plugin.report import report_from_results

    samples = read_riss(shared_data / "riss")
    return [(sample.family, tuple(extract(report_from_results(sample.report)).tokens)) for sample in samples]
