"""Features and findings as Parquet, for pandas, Polars, DuckDB or Spark; written a thousand analyses at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.plumbing.files import replacing
from cuckoo_ml_plugin.store.packed_behaviour import Counts
from cuckoo_ml_plugin.store.records import StoredAnalysis
from cuckoo_ml_plugin.store.store import Store

_BATCH = 1_000
_ABOUT = ("analysis", "host", "host_version", "sha256", "target", "label", "analysed_at", "stored_at", "machine")


def write_features(store: Store, count_names: Iterable[str], path: Path) -> Path:
    """A row an analysis with behaviour: what it is, its tokens (a list of texts) and its counts (``count_NAME``).

    Args:
        count_names: the counts that are to have a column; an analysis without one has null there.

    Raises:
        CuckooMLError: pyarrow is not installed. StoreError, OSError.
    """
    pa = desk_package("pyarrow", "Parquet files")
    names = list(count_names)
    schema = pa.schema([
        *((name, pa.string()) for name in _ABOUT),
        ("tokens", pa.list_(pa.string())),
        *((f"count_{name}", pa.float64()) for name in names),
    ])  # fmt: skip
    behaviours = store.iter_behaviours(on_damaged=lambda stored, error: None)
    return _write(path, schema, (_features(one, names) for one in behaviours))


def write_findings(store: Store, path: Path) -> Path:
    """A row for the latest finding of each analysis. Raises CuckooMLError without pyarrow, StoreError, OSError."""
    pa = desk_package("pyarrow", "Parquet files")
    texts, numbers = ("analysis", "model", "cluster"), ("probability", "outlier_score", "anomaly_score")
    schema = pa.schema([
        *((name, pa.string()) for name in texts),
        *((name, pa.float64()) for name in numbers),
        ("anomalous", pa.bool_()),
        ("scored_at", pa.string()),
        ("label", pa.string()),
        ("sha256", pa.string()),
    ])  # fmt: skip
    return _write(path, schema, _findings(store, (*texts, *numbers, "anomalous", "scored_at")))


def _features(behaviour: tuple[StoredAnalysis, bytes, Counts], names: list[str]) -> dict[str, Any]:
    stored, joined, counts = behaviour
    about = {name: getattr(stored, name) for name in _ABOUT}
    tokens = joined.decode("utf-8", "replace").split("\n") if joined else []
    return about | {"tokens": tokens} | {f"count_{name}": counts.get(name) for name in names}


def _findings(store: Store, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    analyses = store.analyses_in_order(behaviours=False)
    while batch := list(islice(analyses, _BATCH)):
        found = store.findings_of([one.analysis for one in batch])
        for one in batch:
            if finding := found.get(one.analysis):
                about = {"label": one.label, "sha256": one.sha256}
                yield {name: getattr(finding, name) for name in names} | about


def _write(path: Path, schema: Any, rows: Iterator[dict[str, Any]]) -> Path:
    pa, parquet = desk_package("pyarrow", "Parquet files"), desk_package("pyarrow.parquet", "Parquet files")
    with replacing(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
    return path
