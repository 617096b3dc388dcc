"""Features and findings as Parquet files, for pandas, Polars, DuckDB or Spark.

The files are written in batches of a thousand analyses, so that memory does not grow with the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.plumbing.extras import optional_package
from cuckoo_ml_plugin.plumbing.files import replacing
from cuckoo_ml_plugin.plumbing.text import printable_values
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.packed_behaviour import Counts
from cuckoo_ml_plugin.store.store import Store

_BATCH = 1_000
_FACTS = ("analysis", "host", "host_version", "sha256", "target", "label", "analysed_at", "stored_at", "machine")


def write_features(store: Store, count_names: Iterable[str], path: Path) -> Path:
    """Write a row for each analysis with behaviour: facts, tokens (a list of texts) and counts (``count_NAME``).

    Args:
        count_names: the counts that get a column; it holds null where an analysis lacks the count.

    Raises:
        CuckooMLError: pyarrow is not installed.
        StoreError: the store cannot be read.
        OSError: the file cannot be written.
    """
    pa = optional_package("pyarrow", "Parquet files")
    names = list(count_names)
    schema = pa.schema([
        *((name, pa.string()) for name in _FACTS),
        ("tokens", pa.list_(pa.string())),
        *((f"count_{name}", pa.float64()) for name in names),
    ])  # fmt: skip
    behaviours = store.iter_behaviours(on_damaged=lambda *_: None)
    return _write(path, schema, (_feature_row(behaviour, names) for behaviour in behaviours))


def write_findings(store: Store, path: Path) -> Path:
    """Write a row for the latest finding of each analysis. Raises CuckooMLError (no pyarrow), StoreError, OSError."""
    pa = optional_package("pyarrow", "Parquet files")
    texts = ("analysis", "model", "cluster", "kin")
    numbers = ("probability", "outlier_score", "anomaly_score", "kin_probability")
    schema = pa.schema([
        *((name, pa.string()) for name in texts),
        *((name, pa.float64()) for name in numbers),
        ("anomalous", pa.bool_()),
        ("scored_at", pa.string()),
        ("label", pa.string()),
        ("sha256", pa.string()),
    ])  # fmt: skip
    return _write(path, schema, _finding_rows(store, (*texts, *numbers, "anomalous", "scored_at")))


def _feature_row(behaviour: tuple[StoredAnalysis, bytes, Counts], names: list[str]) -> dict[str, Any]:
    stored, joined, counts = behaviour
    facts = {name: getattr(stored, name) for name in _FACTS}
    tokens = joined.decode("utf-8", "replace").split("\n") if joined else []
    return facts | {"tokens": tokens} | {f"count_{name}": counts.get(name) for name in names}


def _finding_rows(store: Store, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    analyses = store.analyses_in_order(behaviours=False)
    while batch := list(islice(analyses, _BATCH)):
        findings = store.findings_of([stored.analysis for stored in batch])
        for stored in batch:
            if finding := findings.get(stored.analysis):
                facts = {"label": stored.label, "sha256": stored.sha256}
                yield {name: getattr(finding, name) for name in names} | facts


def _write(path: Path, schema: Any, rows: Iterator[dict[str, Any]]) -> Path:
    pa, parquet = optional_package("pyarrow", "Parquet files"), optional_package("pyarrow.parquet", "Parquet files")
    with replacing(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist(printable_values(batch), schema=schema))
    return path
