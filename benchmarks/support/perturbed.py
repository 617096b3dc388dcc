"""Stores of any size for the benchmarks: real behaviour, perturbed as another variant in another run would differ.

Every analysis made is distinct. Real corpora hold many repeats, which a fit takes as one: this is the harder case.
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
    """Family and behaviour of RISS's samples; full CAPE reports repeated until they are about ``cape_share`` of all."""
    found = [(sample.family, extract(report_from_results(sample.report))) for sample in read_riss(data / "riss")]
    if cape_share:
        paths = sorted((data / "cape").glob("*.json.gz"))
        reports = [extract(report_from_results(orjson.loads(gzip.decompress(path.read_bytes())))) for path in paths]
        repeats = max(1, round(len(found) * cape_share / (1 - cape_share) / max(len(reports), 1)))
        found += [("cape", behaviour) for behaviour in reports for _ in range(repeats)]
    return [(family, behaviour) for family, behaviour in found if behaviour.has_behaviour]


def perturbed_records(behaviours: list[tuple[str, Behaviour]], analyses: int) -> Iterator[AnalysisRecord]:
    """That many analyses, each a perturbed copy of one of the behaviours, in turn."""
    rng = Random(SEED)
    order = list(range(len(behaviours)))
    rng.shuffle(order)
    others = [behaviour.tokens for _, behaviour in behaviours]
    for number in range(analyses):
        family, behaviour = behaviours[order[number % len(order)]]
        packed = pack(perturb(behaviour.tokens, rng, others=others), behaviour.counts)
        yield AnalysisRecord(f"{number}", packed, True, host="cuckoo2", labels={"host": family})


def fill(store: Store, behaviours: list[tuple[str, Behaviour]], analyses: int) -> None:
    """Put that many perturbed analyses into a store."""
    records = perturbed_records(behaviours, analyses)
    while batch := list(islice(records, _BATCH)):
        store.put(batch)


def filled_and_fitted(home: Path, behaviours: list[tuple[str, Behaviour]], size: int) -> Path:
    """A home with a model of that many analyses, made unless it is there."""
    if not (home / "models" / "current").exists():
        made = Home(home).create()
        with Store.open(f"sqlite:///{made.store_file}") as store:
            fill(store, behaviours, size)
            refit(made, store, Settings(), lambda stage, said: print(f"{size:,} {stage}: {said}", file=sys.stderr))
    return home
