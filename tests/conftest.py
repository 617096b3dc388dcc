"""Fixtures that several stories share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from support.browser import browser
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.missing_packages import missing
from support.needs import skip_or_fail
from support.paths import REPOSITORY
from support.time_limits import unhurried
from support.workers import by_file, transmittable

from cuckoo_ml_plugin.settings import documented_settings
from cuckoo_ml_samples import DemoCorpus, generate

__all__ = ["browser", "missing"]  # here, so that all stories share one: two cannot run in a process


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    return by_file(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    report = yield
    return transmittable(report)


@pytest.fixture(scope="session", autouse=True)
def unhurried_homes() -> Iterator[None]:
    """Homes that the tests make give a host's analysis and page the time that they take on a busy machine."""
    settings = unhurried(documented_settings())
    with mock.patch("cuckoo_ml_plugin.home.documented_settings", return_value=settings):
        yield


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
    from benchmarks.support.riss import read_riss
    from cuckoo_ml_plugin.behaviour.extract import extract
    from cuckoo_ml_plugin.report.report import report_from_results

    samples = read_riss(shared_data / "riss")
    return [(sample.family, tuple(extract(report_from_results(sample.report)).tokens)) for sample in samples]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoHome:
    """A home that several stories ask; none may change it."""
    folder = tmp_path_factory.mktemp("demo")
    return fitted(folder, generate(folder / "samples"))  # as the demo command makes it


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> DemoHome:
    """As ``demo`` with a fifth of the analyses, for stories that score all of them again; none may change it."""
    folder = tmp_path_factory.mktemp("small")
    return fitted(folder, generate(folder / "samples", analyses=60))


def fitted(folder: Path, corpus: DemoCorpus) -> DemoHome:
    """A home in the folder, with the corpus imported and a model fitted on it."""
    labels = folder / "labels.tsv"
    labels.write_text("".join(f"{name}\t{label}\n" for name, label in corpus.labels.items()), encoding="utf-8")
    for arguments in (("import", *corpus.import_paths, "--labels", labels), ("refit",)):
        done = cuckoo_ml(folder / "home", *arguments)
        assert done.code == 0, done.err
    return DemoHome(corpus, folder / "home")


@pytest.fixture
def own_demo(demo: DemoHome, tmp_path: Path) -> DemoHome:
    """A copy that a story may change."""
    shutil.copytree(demo.home, tmp_path / "home", symlinks=True)
    return DemoHome(demo.corpus, tmp_path / "home")


@pytest.fixture
def unfitted_home(demo: DemoHome, tmp_path: Path) -> Path:
    """A home with an analysis and no model yet."""
    done = cuckoo_ml(tmp_path / "unfitted", "import", demo.corpus.fitted[0].path)
    assert done.code == 0, done.err
    return tmp_path / "unfitted"
