"""The reports in a host's MongoDB, which ``cuckoo-ml refresh`` brings up to date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cuckoo_ml_plugin.errors import CuckooMLError, StoreError
from cuckoo_ml_plugin.report.values import integer


class MongoReports:
    """The collection ``analysis``, where both hosts keep their reports."""

    def __init__(self, url: str, client: Any = None) -> None:
        """``url``: with the name of the database, as in ``mongodb://127.0.0.1:27017/cuckoo``. Raises CuckooMLError."""
        try:
            from pymongo import MongoClient
            from pymongo.errors import PyMongoError
        except ImportError as error:
            raise CuckooMLError("Access to MongoDB needs the package pymongo; run pip install pymongo.") from error
        self._error = PyMongoError
        try:
            mongo = client or MongoClient(url, serverSelectionTimeoutMS=5000)
            self._collection = mongo.get_default_database("cuckoo")["analysis"]
            self._collection.find_one({}, {"_id": 1})
        except (PyMongoError, ValueError) as error:
            raise CuckooMLError(f"MongoDB cannot be reached ({str(error)[:200]}); check the URL.") from error

    def put(self, analysis: str, section: Mapping[str, Any], seed: Mapping[str, Any], model: str) -> bool:
        """As :meth:`cuckoo_ml_plugin.engine.refresh.Documents.put` says. Raises StoreError."""
        number = integer(analysis)
        if str(number) != analysis:
            return False
        outdated = {"info.id": number, "cuckooml.model.id": {"$ne": model}}
        change = {"$set": {"cuckooml": dict(section), "info.clustering.hdbscan": dict(seed)}}
        try:
            return bool(self._collection.update_many(outdated, change).modified_count)
        except self._error as error:
            raise StoreError(f"MongoDB refused the section of analysis {analysis}: {str(error)[:200]}.") from error
