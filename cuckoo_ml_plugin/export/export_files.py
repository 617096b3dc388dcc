"""Writes the files of an export: the tables of a whole home, or the intelligence of a cluster.

Each format but CSV needs a package that may not be installed. A format that is asked for by name is written or raises;
where none is named, all are written for which the package is there, and the others are reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.export.clustering_results import read_results
from cuckoo_ml_plugin.export.formats import CLUSTER_FORMATS, TABLE_FORMATS, OnMissing, possible_formats, warn
from cuckoo_ml_plugin.export.intelligence import intelligence_of
from cuckoo_ml_plugin.export.misp import misp_event
from cuckoo_ml_plugin.export.parquet_files import write_features, write_findings
from cuckoo_ml_plugin.export.seed_files import write_seed_files
from cuckoo_ml_plugin.export.stix import stix_bundle
from cuckoo_ml_plugin.fit.corpus import read_corpus
from cuckoo_ml_plugin.plumbing.files import replace_file


def write_tables(engine: Engine, folder: Path, formats: Sequence[str] = (), on_missing: OnMissing = warn) -> list[Path]:
    """Write CuckooML's six CSV files and two Parquet files; without a model, the features alone, which need none.

    Args:
        formats: of ``TABLE_FORMATS``; empty: all whose package is installed.

    Raises:
        MissingPackageError: the package of a named format is not installed; nothing is written.
        NoModelError: there is no model, and nothing is to be written that needs none.
        ModelError: the model cannot be read.
        StoreError: the store cannot be read.
        OSError: a file cannot be written.
    """
    chosen = possible_formats(TABLE_FORMATS, formats, on_missing)
    if "parquet" in chosen and engine.model() is None and engine.store.count(with_behaviour=True):
        folder.mkdir(parents=True, exist_ok=True)
        return [write_features(engine.store, read_corpus(engine.store).count_names, folder / "features.parquet")]
    results = read_results(engine)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    if "csv" in chosen:
        written += write_seed_files(results, engine.settings.anomaly, folder)
    if "parquet" in chosen:
        written.append(write_features(engine.store, results.count_names, folder / "features.parquet"))
        written.append(write_findings(engine.store, folder / "findings.parquet"))
    return written


def write_cluster(
    engine: Engine,
    cluster: str,
    folder: Path,
    tlp: str = "amber",
    formats: Sequence[str] = (),
    on_missing: OnMissing = warn,
) -> list[Path]:
    """Write a cluster, by id or name, as MISP event and STIX bundle.

    Args:
        formats: of ``CLUSTER_FORMATS``; empty: all whose package is installed.

    Raises:
        MissingPackageError: the package of a named format is not installed, or none of them is; nothing is written.
        CuckooMLError: there is no such cluster or TLP level.
        ModelError: there is no model, or it cannot be read.
        StoreError: the store cannot be read.
        OSError: a file cannot be written.
    """
    chosen = possible_formats(CLUSTER_FORMATS, formats, on_missing)
    intelligence = intelligence_of(engine, cluster, tlp)
    texts = {kind: (misp_event if kind == "misp" else stix_bundle)(intelligence) for kind in chosen}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, text in texts.items():
        path = folder / re.sub(r"[^\w.-]", "_", f"{intelligence.facts.id}.{kind}.json")
        replace_file(path, f"{text}\n".encode())
        written.append(path)
    return written
