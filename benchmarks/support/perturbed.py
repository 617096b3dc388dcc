"""Stores of any size, filled with real behaviours that are perturbed as if other variants had shown them.

All analyses are distinct, which is the harder case: real corpora hold many repeats, which a fit treats as one.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import orjson

from benchmarks.support.riss import read_riss
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.fit.refit import refit
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples.perturb import perturb

_BATCH = 2_000


def real_behaviours(data: Path, cape_share: float = 0.0) -> list[tuple[str, Behaviour]]:
    """Family and behaviour of RISS's samples. Full CAPE reports are repeated to make up about ``cape_share`` of all."""
    pairs = [(sample.family, extract(report_from_results(sample.report))) for sample in read_riss(data / "riss")]
    if cape_share:
        paths = sorted((data / "cape").glob("*.json.gz"))
        reports = [extract(report_from_results(orjson.loads(gzip.decompress(path.read_bytes())))) for path in paths]
        repeats = max(1, round(len(pairs) * cape_share / (1 - cape_share) / max(len(reports), 1)))
        pairs += [("cape", behaviour) for behaviour in reports for _ in range(repeats)]
    return [(family, behaviour) for family, behaviour in pairs if behaviour.has_behaviour]


def perturbed_records(behaviours: list[tuple[str, Behaviour]], analyses: int) -> Iterator[AnalysisRecord]:
    """``analyses`` records, each a perturbed copy of the next behaviour in a random cycle."""
    rng = Random(SEED)
    order = list(range(len(behaviours)))
    rng.shuffle(order)
    others = [behaviour.tokens for _, behaviour in behaviours]
    for number in range(analyses):
        family, behaviour = behaviours[order[number % len(order)]]
        packed = pack(perturb(behaviour.tokens, rng, others=others), behaviour.counts)
        yield AnalysisRecord(f"{number}", packed, True, host="cuckoo2", labels={"host": family})


def fill(store: Store, behaviours: list[tuple[str, Behaviour]], analyses: int) -> None:
    """Store ``analyses`` perturbed analyses."""
    records = perturbed_records(behaviours, analyses)
    while batch := list(islice(records, _BATCH)):
        store.put(batch)


def fitted_home(path: Path, behaviours: list[tuple[str, Behaviour]], size: int) -> Path:
    """Create a home with a model of ``size`` analyses at ``path``, unless it exists. Returns ``path``."""
    if not (path / "models" / "current").exists():
        home = Home(path).create()
        with Store.open(home.store_file) as store:
            fill(store, behaviours, size)
            refit(home, store, Settings(), lambda stage, text: print(f"{size:,} {stage}: {text}", file=sys.stderr))
    return path
