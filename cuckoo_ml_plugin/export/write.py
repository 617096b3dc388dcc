"""What ``cuckoo-ml export`` and notebooks write."""

from __future__ import annotations

import re
from pathlib import Path

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.export.intelligence import intelligence_of
from cuckoo_ml_plugin.export.misp import misp_event
from cuckoo_ml_plugin.export.parquet import write_features, write_findings
from cuckoo_ml_plugin.export.results import results_of
from cuckoo_ml_plugin.export.seed_files import write_seed_files
from cuckoo_ml_plugin.export.stix import stix_bundle
from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.plumbing.files import replace_file


def write_tables(engine: Engine, folder: Path) -> list[Path]:
    """CuckooML's six CSV files and two Parquet files. Raises CuckooMLError without pyarrow, ModelError, OSError."""
    desk_package("pyarrow", "Parquet files")  # said before anything is written
    results = results_of(engine)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *write_seed_files(results, engine.settings.anomaly, folder),
        write_features(engine.store, results.count_names, folder / "features.parquet"),
        write_findings(engine.store, folder / "findings.parquet"),
    ]


def write_cluster(engine: Engine, cluster: str, folder: Path, tlp: str = "amber") -> list[Path]:
    """A cluster, by id or name, as MISP event and STIX bundle. Raises CuckooMLError, ModelError, OSError."""
    known = intelligence_of(engine, cluster, tlp)
    texts = {"misp": misp_event(known), "stix": stix_bundle(known)}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, text in texts.items():
        path = folder / re.sub(r"[^\w.-]", "_", f"{known.facts.id}.{kind}.json")
        replace_file(path, f"{text}\n".encode())
        written.append(path)
    return written
