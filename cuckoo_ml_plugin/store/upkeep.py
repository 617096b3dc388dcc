"""Upkeep of the store: forgetting analyses with their mention in the findings of others, and a copy for a backup.

The copy is as of one moment, and is taken while other processes read and write.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
from sqlalchemy import Connection, delete, select, update

from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import MAX_ID
from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.store import tables as schema
from cuckoo_ml_plugin.store.behashes import digests_of, drop_unshown
from cuckoo_ml_plugin.store.between_refits.births import drop_births
from cuckoo_ml_plugin.store.between_refits.marks import lower_marks, rename_mark
from cuckoo_ml_plugin.store.database import Database, chunks
from cuckoo_ml_plugin.store.tables import analysis, current_version, finding, meta

_PAGE = 500  # sections that are read and changed in one transaction, so that other writers wait briefly
_CLOCKS = timedelta(minutes=10)  # by how much the clocks of several nodes may differ


class _Similar(msgspec.Struct):
    analysis: str = ""
    sha256: str | None = None


class _Verdict(msgspec.Struct):
    text: str = ""


class _Section(msgspec.Struct):
    similar: list[_Similar] = []
    verdict: _Verdict = msgspec.field(default_factory=_Verdict)


class ErasureStore:
    """The part of the store that forgets."""

    _db: Database

    def erase(self, names: Collection[str], hashes: Collection[str] = ()) -> tuple[int, int]:
        """Remove analyses with all that is stored of them, and their mention in the findings of others.

        What is removed is overwritten in an SQLite file. Repeating it after a kill completes it.

        Args:
            names: ids of the analyses.
            hashes: SHA-256 of files that no finding may mention any more.

        Returns:
            How many analyses were stored, and how many findings of others mentioned one.

        Raises:
            StoreError: the store cannot be written.
        """
        gone, files = set(names), set(hashes)
        began = utc_text(datetime.now(timezone.utc) - _CLOCKS)
        mentions = self._drop_mentions(gone, files)

        def work(connection: Connection) -> tuple[int, int]:
            self._overwrite(connection)
            removed = erase_records(connection, gone)
            later = 0
            for page in _sections(connection, since=began):  # findings that were stored in the meantime
                later += _edit(connection, page, gone, files)
            return removed, later

        removed, later = self._db.write(work)
        self._truncate_log()
        return removed, mentions + later

    def _drop_mentions(self, names: Collection[str], hashes: Collection[str]) -> int:
        last, edited = "", 0
        while page := self._db.read(lambda connection, last=last: _page(connection, last)):  # type: ignore[misc]
            last = page[-1][0]
            if any(_without(section, names, hashes) is not None for _, section in page):

                def work(connection: Connection, page: list[tuple[str, str]] = page) -> int:
                    self._overwrite(connection)
                    return _edit(connection, page, names, hashes)

                edited += self._db.write(work)
        return edited

    def findings_of_groups_change(self, clusters: Collection[str], kin: Collection[str]) -> None:
        """Drop the sections of findings in these clusters and kin, so that they are made anew when asked for."""
        for column, ids in ((finding.c.cluster, clusters), (finding.c.kin, kin)):
            for batch in chunks(sorted(ids)):
                statement = update(finding).where(column.in_(batch)).values(section="")
                self._db.write(lambda connection, statement=statement: connection.execute(statement))  # type: ignore[misc]

    def rename_model_of_findings(self, model: str, renamed: str) -> None:
        """Say of all findings of one model that another one gave them: a copy that scores alike. Raises StoreError."""
        query = select(finding.c.analysis).where(finding.c.model == model).limit(_PAGE * 10)
        while names := self._db.read(lambda connection: list(connection.execute(query).scalars())):

            def work(connection: Connection, names: list[str] = names) -> None:
                for batch in chunks(names):
                    where = (finding.c.analysis.in_(batch), finding.c.model == model)
                    connection.execute(update(finding).where(*where).values(model=renamed))

            self._db.write(work)
        self._db.write(lambda connection: rename_mark(connection, model, renamed))

    def ids_of_file(self, sha256: str) -> list[str]:
        """The analyses of one file, in order."""
        query = select(analysis.c.analysis).where(analysis.c.sha256 == sha256).order_by(analysis.c.order_key)
        return self._db.read(lambda connection: list(connection.execute(query).scalars()))

    def _overwrite(self, connection: Connection) -> None:
        if self._db.is_sqlite:
            connection.exec_driver_sql("PRAGMA secure_delete=ON")  # from here on for all that this process removes

    def _truncate_log(self) -> None:
        """Bring SQLite's log into the file and empty it: it holds pages as they were. A reader may delay that."""
        if not self._db.is_sqlite:
            return
        with self._db.raw_connection() as raw:
            try:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error:
                return


def erase_records(connection: Connection, names: Collection[str]) -> int:
    """Remove analyses from every table that has rows of them; returns how many were stored."""
    removed = 0
    for batch in chunks(sorted(names)):
        drop_births(connection, batch)
        for table in schema.tables.tables.values():
            if "source_key" in table.c and "analysis" in table.c:
                keys = select(table.c.source_key).where(table.c.analysis.in_(batch), table.c.source_key.is_not(None))
                connection.execute(delete(schema.reading).where(schema.reading.c.source_key.in_(keys)))
        for table in schema.tables.tables.values():
            if table is not analysis and "analysis" in table.c:
                connection.execute(delete(table).where(table.c.analysis.in_(batch)))
        shown = digests_of(connection, batch)
        removed += connection.execute(delete(analysis).where(analysis.c.analysis.in_(batch))).rowcount
        drop_unshown(connection, shown)
    lower_marks(connection)
    return removed


def _page(connection: Connection, after: str, since: str = "") -> list[tuple[str, str]]:
    query = select(finding.c.analysis, finding.c.section).where(
        finding.c.analysis > after, finding.c.section != "", finding.c.scored_at >= since
    )
    return [(row[0], row[1]) for row in connection.execute(query.order_by(finding.c.analysis).limit(_PAGE))]


def _sections(connection: Connection, since: str) -> Iterator[list[tuple[str, str]]]:
    last = ""
    while page := _page(connection, last, since):
        yield page
        last = page[-1][0]


def _edit(connection: Connection, page: list[tuple[str, str]], names: Collection[str], hashes: Collection[str]) -> int:
    edited = 0
    for name, section in page:
        rest = _without(section, names, hashes)
        if rest is not None and name not in names:
            where = (finding.c.analysis == name, finding.c.section == section)  # as it was read, not a newer one
            edited += connection.execute(update(finding).where(*where).values(section=rest)).rowcount
    return edited


def _without(section: str, names: Collection[str], hashes: Collection[str]) -> str | None:
    """The section without its mention of forgotten analyses; None where it mentions none of them."""
    try:
        known = msgspec.json.decode(section, type=_Section)
        similar = known.similar
        gone = [i for i, past in enumerate(similar) if past.analysis in names or past.sha256 in hashes]
        if not gone and not _cites(known.verdict.text, names):
            return None
        whole = json.loads(section)
        if known.verdict.text:
            whole["verdict"] = {"kind": "unknown", "text": ""}  # it is decided anew from the rest when it is shown
        whole["similar"] = [past for i, past in enumerate(whole["similar"]) if i not in gone]
        return json.dumps(whole)
    except (ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError):
        return ""  # no section of ours; it is made anew when it is asked for


def _cites(text: str, names: Collection[str]) -> bool:
    """Whether the sentence of a verdict names one of these analyses: behind "analysis", up to a delimiter."""
    for start in (cited.end() for cited in re.finditer(r"\banalysis ", text)):
        rest = text[start : start + MAX_ID + 1]
        if any(rest[: end.start()] in names for end in re.finditer(r"[),.;:…]| of |$", rest)):
            return True
    return False


class SnapshotStore:
    """The part of the store that copies itself."""

    _db: Database

    @property
    def is_in_home(self) -> bool:
        """Whether the store is an SQLite file; otherwise its rows are in PostgreSQL."""
        return self._db.is_sqlite

    def snapshot(self, target: Path) -> None:
        """Copy an SQLite store into a new file, by SQLite's backup API in one step, so that writers never restart it.

        Raises StoreError when the store cannot be read, is damaged, or its copy cannot be written.
        """
        try:
            with self._db.raw_connection() as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, without the log that WAL keeps beside it
        except sqlite3.Error as error:
            raise StoreError(f"The store {self._db.name} could not be copied to {target} ({error}).") from error
        examine_store_file(target, self._db.name)


def examine_store_file(file: Path, name: str) -> None:
    """Raises StoreError, with ``name`` in it, unless a file is an undamaged store that this version can open."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            row = connection.execute(f"SELECT value FROM {meta.name} WHERE key = 'schema'").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{name}: it is damaged or no store of cuckoo-ml ({error}).") from error
    if problem != "ok":
        raise StoreError(f"{name}: it is damaged ({problem}); move it away and import the reports again.")
    if row is None or not str(row[0]).isdecimal() or int(row[0]) > current_version():
        version = "no version" if row is None else f"version {row[0]}"
        raise StoreError(f"{name}: it has {version}, and this one knows {current_version()}; upgrade cuckoo-ml-plugin.")
