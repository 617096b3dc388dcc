"""The reports in a host's MongoDB, which ``cuckoo-ml refresh`` brings up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cuckoo_ml_plugin.engine.refresh import DocumentChange
from cuckoo_ml_plugin.errors import CuckooMLError, StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity
from cuckoo_ml_plugin.plumbing.extras import missing_package
from cuckoo_ml_plugin.report.host_signatures import has_finding_signature, update_signature
from cuckoo_ml_plugin.report.identity import identity_of
from cuckoo_ml_plugin.report.values import integer, mapping


class MongoReports:
    """The collection ``analysis``, where both hosts keep their reports."""

    def __init__(self, url: str, client: Any = None) -> None:
        """``url``: with the name of the database, as in ``mongodb://127.0.0.1:27017/cuckoo``. Raises CuckooMLError."""
        try:
            from pymongo import MongoClient
            from pymongo.errors import PyMongoError
        except ImportError as error:
            raise missing_package("pymongo", "The reports in MongoDB", error) from error
        self._error = PyMongoError
        try:
            mongo = client or MongoClient(url, serverSelectionTimeoutMS=5000)
            self._collection = mongo.get_default_database("cuckoo")["analysis"]
            self._collection.find_one({}, {"_id": 1})
        except (PyMongoError, ValueError) as error:
            raise CuckooMLError(f"MongoDB cannot be reached ({str(error)[:200]}); check the URL.") from error

    def put(
        self, identity: Identity, section: Mapping[str, Any], seed: Mapping[str, Any], model: str
    ) -> DocumentChange:
        """As :meth:`cuckoo_ml_plugin.engine.refresh.Documents.put` says. Raises StoreError.

        Hosts reuse their numbers, and those of several nodes collide. A document is changed only if it states the start
        and the sample of the analysis.
        """
        number = integer(identity.task)
        if str(number) != identity.task:
            return DocumentChange()
        values = {"cuckooml": dict(section), "info.clustering.hdbscan": dict(seed)}
        changed, documents, own = 0, 0, 0
        try:
            for document in self._collection.find({"info.id": number}, _STATED):
                documents += 1
                if not identity_of(document).is_of_run(identity):
                    continue
                own += 1
                outdated = {**_same(document), "cuckooml.model.id": {"$ne": model}}
                change = {"$set": {**values, **self._signatures(document, section)}}
                changed += self._collection.update_one(outdated, change).modified_count
        except self._error as error:
            raise StoreError(f"MongoDB refused the section of task {number}: {str(error)[:200]}.") from error
        return DocumentChange(changed, other_run=documents > 0 and own == 0)

    def _signatures(self, document: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
        """The signatures with ours up to date, where a document has ours; else nothing. Raises PyMongoError."""
        if not has_finding_signature(document):
            return {}
        whole = self._collection.find_one({"_id": document["_id"]}, {"signatures": 1}) or {}
        update_signature(whole, section)
        return {"signatures": whole["signatures"]} if "signatures" in whole else {}


_STATED = {
    "info.started": 1,
    "target.url": 1,
    "target.file.name": 1,
    "target.file.sha256": 1,
    "target.file.file_ref": 1,
    "url_analysis.url": 1,
    "signatures.name": 1,
}


def _same(document: Mapping[str, Any]) -> dict[str, Any]:
    """A filter for a document, as long as it states what it stated: hosts replace documents."""
    info = mapping(document.get("info"))
    started = {"info.started": info["started"]} if "started" in info else {"info.started": {"$exists": False}}
    return {"_id": document["_id"], **started}
