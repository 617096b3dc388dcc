"""Writes the files of an export: the tables of a whole home, or the intelligence of a cluster."""

from __future__ import annotations

import re
from pathlib import Path

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.export.clustering_results import read_results
from cuckoo_ml_plugin.export.intelligence import intelligence_of
from cuckoo_ml_plugin.export.misp import misp_event
from cuckoo_ml_plugin.export.parquet_files import write_features, write_findings
from cuckoo_ml_plugin.export.seed_files import write_seed_files
from cuckoo_ml_plugin.export.stix import stix_bundle
from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.plumbing.files import replace_file


def write_tables(engine: Engine, folder: Path) -> list[Path]:
    """Write CuckooML's six CSV files and two Parquet files. Raises CuckooMLError (no pyarrow), ModelError, OSError."""
    desk_package("pyarrow", "Parquet files")  # fails before anything is written
    results = read_results(engine)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *write_seed_files(results, engine.settings.anomaly, folder),
        write_features(engine.store, results.count_names, folder / "features.parquet"),
        write_findings(engine.store, folder / "findings.parquet"),
    ]


def write_cluster(engine: Engine, cluster: str, folder: Path, tlp: str = "amber") -> list[Path]:
    """Write a cluster, by id or name, as MISP event and STIX bundle. Raises CuckooMLError, ModelError, OSError."""
    intelligence = intelligence_of(engine, cluster, tlp)
    texts = {"misp": misp_event(intelligence), "stix": stix_bundle(intelligence)}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, text in texts.items():
        path = folder / re.sub(r"[^\w.-]", "_", f"{intelligence.facts.id}.{kind}.json")
        replace_file(path, f"{text}\n".encode())
        written.append(path)
    return written
