"""RISS as the plugin sees it: reports, behaviours, the store, and the corpus that a refit reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.paths import DATA
from benchmarks.support.riss import read_riss
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.fit.corpus import Corpus, read_corpus
from cuckoo_ml_plugin.report.report import Report, report_from_results
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.store import Store

CORPORA = ("all", "ransomware")


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of RISS with its behaviour. The family is only for measurements and is never stored."""

    analysis: str
    family: str
    report: Report
    behaviour: Behaviour


def read_samples(data: Path = DATA) -> list[Sample]:
    """All 1,524 samples."""
    samples = []
    for sample in read_riss(data / "riss"):
        report = report_from_results(sample.report)
        samples.append(Sample(sample.analysis, sample.family, report, extract(report)))
    return samples


def of_corpus(samples: Iterable[Sample], corpus: str) -> list[Sample]:
    """The samples of one of ``CORPORA``."""
    return [sample for sample in samples if corpus == "all" or sample.family != "goodware"]


def stored_corpus(samples: Iterable[Sample]) -> tuple[Corpus, float]:
    """The samples without labels as a refit reads them, and the average size of a stored behaviour in bytes."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.db") as store:
        records = [AnalysisRecord.of(sample.analysis, sample.report, sample.behaviour) for sample in samples]
        store.put(records)
        return read_corpus(store), float(np.mean([len(record.packed.blob) for record in records]))


def families_of(corpus: Corpus, samples: Iterable[Sample]) -> NDArray[np.str_]:
    """The family (n,) of each analysis of a corpus."""
    families = {sample.analysis: sample.family for sample in samples}
    return np.array([families[analysis] for analysis in corpus.analyses])
