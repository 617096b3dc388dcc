"""The import of past analyses from a host's MongoDB, whose reports name their calls by ids in another collection.

Documents are read one after another, in the order of their ids, and written in few transactions. What is stored and has
not ended anew since is passed over, so an interrupted import is resumed by repeating it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from cuckoo_ml_plugin.behaviour.extract import EXTRACTION, extract
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.intake.import_reports import ImportProgress, ImportResult
from cuckoo_ml_plugin.plumbing.analysis_ids import Source, clean_id
from cuckoo_ml_plugin.plumbing.extras import missing_package
from cuckoo_ml_plugin.plumbing.hashes import text_hash
from cuckoo_ml_plugin.plumbing.text import MAX_TEXT, display_text
from cuckoo_ml_plugin.report.labels import labels_of
from cuckoo_ml_plugin.report.report import Report, report_from_results
from cuckoo_ml_plugin.report.values import identifier, items, mapping, mappings
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.store import Store

_BATCH: Final = 200  # documents whose state is compared with the store at once
_CALL_CHUNKS: Final = 200  # documents of calls that are fetched at once; the hosts put a hundred calls into each
_WRITE_RECORDS: Final = 64
_WRITE_SECONDS: Final = 1.0
_CREDENTIALS: Final = re.compile(r"//[^/@]*@")

Document = Mapping[str, Any]


class MongoAnalyses:
    """The analyses in a host's MongoDB: the collection ``analysis``, with the calls in ``calls``."""

    def __init__(self, url: str, client: Any = None) -> None:
        """``url``: with the name of the database, as in ``mongodb://127.0.0.1:27017/cuckoo``. Raises CuckooMLError."""
        try:
            from pymongo import MongoClient
            from pymongo.errors import PyMongoError
        except ImportError as error:
            raise missing_package("pymongo", "The reports in MongoDB", error) from error
        self._error: type[Exception] = PyMongoError
        self.name = _CREDENTIALS.sub("//", url.partition("?")[0])  # for messages and the store: without a password
        try:
            database = (client or MongoClient(url, serverSelectionTimeoutMS=5000)).get_default_database("cuckoo")
            self._analyses, self._calls = database["analysis"], database["calls"]
            self._analyses.find_one({}, {"_id": 1})
        except (PyMongoError, ValueError) as error:
            raise CuckooMLError(f"MongoDB cannot be reached ({str(error)[:200]}); check the URL.") from error

    def count(self) -> int:
        """The number of analyses. Raises CuckooMLError."""
        try:
            return int(self._analyses.estimated_document_count())
        except self._error as error:
            raise self._lost(error) from error

    def states(self) -> Iterator[Document]:
        """Id and end of each analysis, in the order of the ids. Raises CuckooMLError."""
        try:
            yield from self._analyses.find({}, {"_id": 1, "info.ended": 1, "info.started": 1}).sort("_id", 1)
        except self._error as error:
            raise self._lost(error) from error

    def read(self, key: Any) -> dict[str, Any] | None:
        """A whole report with its calls; None if it has been deleted in the meantime. Raises CuckooMLError."""
        try:
            document = self._analyses.find_one({"_id": key})
            if document is None:
                return None
            behavior = document.get("behavior")
            # Only the calls of Linux, whose reports have no summary, are needed with their arguments.
            names_only = bool(mapping(mapping(behavior).get("summary")))
            for process in mappings(mapping(behavior).get("processes")):
                if isinstance(process, dict) and _are_ids(process.get("calls")):
                    process["calls"] = self._calls_of(process["calls"], names_only)
            return dict(document)
        except self._error as error:
            raise self._lost(error) from error

    def _calls_of(self, keys: Sequence[Any], names_only: bool) -> list[Any]:
        """The calls in the documents with these ids, in their order. What is missing in the database is left out."""
        calls: list[Any] = []
        for start in range(0, len(keys), _CALL_CHUNKS):
            wanted = keys[start : start + _CALL_CHUNKS]
            fields = {"calls.api": 1} if names_only else {"calls": 1}
            chunks = {chunk["_id"]: chunk for chunk in self._calls.find({"_id": {"$in": wanted}}, fields)}
            for key in wanted:
                calls += items(mapping(chunks.get(key)).get("calls"))
        return calls

    def _lost(self, error: Exception) -> CuckooMLError:
        return CuckooMLError(
            f"{self.name}: MongoDB gave an error ({str(error)[:200]}); what was read is stored: import again to resume."
        )


def import_mongodb(
    store: Store, analyses: MongoAnalyses, *, progress: ImportProgress | None = None, force: bool = False
) -> ImportResult:
    """Import every analysis of a host's database. A document that cannot be read is listed in the result.

    Args:
        force: also read what is stored and unchanged.

    Raises:
        CuckooMLError: the database or the store fails. What was stored before stays.
    """
    result = ImportResult()
    writer = _Writer(store, result)
    total = analyses.count()
    states = analyses.states()
    try:
        while batch := list(islice(states, _BATCH)):
            sources = [_source(analyses.name, state) for state in batch]
            stored = store.sources(source.key for source in sources)
            for state, source in zip(batch, sources, strict=True):
                result.found += 1
                unchanged = any(replace(source, path=was.path) == was for _, was in stored.get(source.key, []))
                if unchanged and not force:
                    result.skipped += 1
                else:
                    _read(analyses, state["_id"], source, bool(stored.get(source.key)), result, writer.add)
                if progress is not None:
                    progress(result.found, max(total, result.found), source.path)
    finally:
        writer.flush()
    return result


def _source(name: str, state: Document) -> Source:
    """A document as the file of an analysis: it counts as changed when its analysis has another start or end."""
    info = mapping(state.get("info"))
    changed = text_hash(f"{info.get('started')} {info.get('ended')}") >> 2  # as databases hold: 63 bits with a sign
    return Source(f"{name}/analysis/{state['_id']}", 0, changed, EXTRACTION)


def _are_ids(calls: Any) -> bool:
    return isinstance(calls, list) and bool(calls) and not isinstance(calls[0], Mapping)


def _read(
    analyses: MongoAnalyses,
    key: Any,
    source: Source,
    is_stored: bool,
    result: ImportResult,
    add: Callable[[AnalysisRecord, str, bool], None],
) -> None:
    """Read one analysis and hand its record on. Raises CuckooMLError if the database fails."""
    document = analyses.read(key)
    if document is None:
        return
    try:
        report: Report = report_from_results(document)
        behaviour = extract(report)
        name = clean_id(identifier(mapping(document.get("info")).get("id")) or str(key))
        record = AnalysisRecord.of(name, report, behaviour, labels_of(report), source)
    except Exception as error:  # a report is hostile input: a bug that it triggers must not stop the import
        reason = f"unexpected {type(error).__name__}: {display_text(error, MAX_TEXT)}"
        result.unreadable.append((source.path, reason))
        return
    result.read += 1
    add(record, behaviour.remark, is_stored)


class _Writer:
    """Collects records and writes them in few transactions."""

    def __init__(self, store: Store, result: ImportResult) -> None:
        self._store, self._result = store, result
        self._waiting: list[tuple[AnalysisRecord, str, bool]] = []
        self._written_at = time.monotonic()

    def add(self, record: AnalysisRecord, remark: str, is_stored: bool) -> None:
        """Take a record; ``is_stored``: an earlier import read this document."""
        self._waiting.append((record, remark, is_stored))
        if len(self._waiting) >= _WRITE_RECORDS or time.monotonic() - self._written_at > _WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        claims = self._store.put_claims([record for record, _, _ in waiting])
        for (record, remark, is_stored), claim in zip(waiting, claims, strict=True):
            path = record.source.path if record.source else ""
            if not claim.is_new and not is_stored:
                self._result.repeats.append((path, claim.analysis))
                continue
            self._result.stored += 1
            self._result.without_behaviour += not record.has_behaviour
            if remark:
                self._result.remarks.append((claim.analysis, remark))
            if claim.is_new and claim.analysis != record.analysis:
                self._result.renamed.append((path, claim.analysis))
        self._written_at = time.monotonic()
