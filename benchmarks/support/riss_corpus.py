"""RISS through the plugin's own doors: reports, behaviours, the store, and the corpus that a refit reads."""

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
    """One sample of RISS, extracted; the family is for measuring and never reaches the store."""

    analysis: str
    family: str
    report: Report
    behaviour: Behaviour


def read_samples(data: Path = DATA) -> list[Sample]:
    """All 1,524 samples."""
    found = []
    for sample in read_riss(data / "riss"):
        report = report_from_results(sample.report)
        found.append(Sample(sample.analysis, sample.family, report, extract(report)))
    return found


def of_corpus(samples: Iterable[Sample], corpus: str) -> list[Sample]:
    """Those of ``"all"`` or of ``"ransomware"``."""
    return [sample for sample in samples if corpus == "all" or sample.family != "goodware"]


def stored_corpus(samples: Iterable[Sample]) -> tuple[Corpus, float]:
    """The samples as a refit reads them, without labels; and how many bytes the store keeps for each on average."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.db") as store:
        records = [AnalysisRecord.of(one.analysis, one.report, one.behaviour) for one in samples]
        store.put(records)
        return read_corpus(store), float(np.mean([len(record.packed.blob) for record in records]))


def families_of(corpus: Corpus, samples: Iterable[Sample]) -> NDArray[np.str_]:
    """The family (n,) of each analysis of a corpus."""
    families = {sample.analysis: sample.family for sample in samples}
    return np.array([families[analysis] for analysis in corpus.analyses])
