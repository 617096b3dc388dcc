"""Family labels in the store: at most one for each analysis and source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, delete, select

from cuckoo_ml_plugin.plumbing.analysis_ids import clean_id
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.report.labels import ANALYST
from cuckoo_ml_plugin.store.database import Database, chunks, one_of
from cuckoo_ml_plugin.store.tables import analysis, label

_OF_ANALYSES: Final = select(label).where(one_of(label.c.analysis))


class LabelStore:
    """The part of the store that keeps labels."""

    _db: Database

    def set_labels(self, families: Mapping[str, str | None], *, source: str = ANALYST) -> list[str]:
        """Set the family of analyses, named by id or by the SHA-256 of the file, which means all analyses of that file.

        None or "" removes the label of that source. Returns the names that match no analysis, in their order. Raises
        StoreError.
        """
        unknown: list[str] = []
        for batch in chunks(list(families)):
            part = {name: families[name] for name in batch}
            unknown += self._db.write(lambda connection, part=part: self._set(connection, part, source))  # type: ignore[misc]
        return unknown

    def _set(self, connection: Connection, families: Mapping[str, str | None], source: str) -> list[str]:
        families = {key: storable(family or "", 100).strip() for key, family in families.items()}
        ids = {key: clean_id(key) for key in families}
        by_id = _analyses_named(connection, list(ids.values()))
        named = {key: by_id[name] for key, name in ids.items() if name in by_id}
        without_label = [name for key, family in families.items() if not family for name in named.get(key, ())]
        rows = {
            name: {"analysis": name, "source": source, "family": family}
            for key, family in families.items()
            if family
            for name in named.get(key, ())
        }
        for batch in chunks(without_label):
            connection.execute(delete(label).where(label.c.source == source, label.c.analysis.in_(batch)))
        if rows:
            connection.execute(self._db.upsert(label, ["analysis", "source"]), list(rows.values()))
        return [key for key in families if key not in named]

    def labels_of(self, analyses: Iterable[str]) -> dict[str, dict[str, str]]:
        """The labels of each analysis that has any: source -> family."""
        names = list(analyses)
        return self._db.read(lambda connection: labels_by_analysis(connection, names))


def labels_by_analysis(connection: Connection, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The labels of each analysis that has any: source -> family."""
    labels: dict[str, dict[str, str]] = {}
    for batch in chunks(names):
        for row in connection.execute(_OF_ANALYSES, {"values": batch}):
            labels.setdefault(row.analysis, {})[row.source] = row.family
    return labels


def _analyses_named(connection: Connection, names: list[str]) -> dict[str, list[str]]:
    """The analyses that each name stands for: the one with this id, or else all with this SHA-256."""
    named = {
        row.analysis: [row.analysis]
        for row in connection.execute(select(analysis.c.analysis).where(analysis.c.analysis.in_(names)))
    }
    hashes = {name.lower(): name for name in names if name not in named}
    query = select(analysis.c.sha256, analysis.c.analysis).where(analysis.c.sha256.in_(hashes))
    for row in connection.execute(query.order_by(analysis.c.order_key)):
        named.setdefault(hashes[row.sha256], []).append(row.analysis)
    return named
