"""Runs inside the real CAPE: the id under which its own modules file the report of task 17, for each given ``info``.

Arguments: a JSON list of ``[info, whether central mode is on]``. Prints a JSON list of ids. Nothing is stored or sent.
"""

from __future__ import annotations

import copy
import json
import sys
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest import mock


def document_id(info: dict[str, Any], is_central: bool) -> int:
    """The id of the document that centralstore.py and mongodb.py make of a report."""
    import modules.reporting.centralstore as central  # type: ignore[import-not-found]
    import modules.reporting.mongodb as mongodb  # type: ignore[import-not-found]

    documents: list[dict[str, Any]] = []

    def insert(collection: str, document: dict[str, Any], *_: object, **__: object) -> None:
        if collection == "analysis":
            documents.append(copy.deepcopy(document))

    config = SimpleNamespace(
        enabled=is_central, s3_prefix="results", s3_bucket="", storage_backend="local", central_local_root="/nowhere"
    )
    instead = {
        central: {
            "central_mode_config": lambda: config,
            "get_artifact_store": lambda _config: (None, is_central),
            "central_bridge_required": lambda: False,
            "_emit_done_marker": lambda *_: None,
        },
        mongodb: {
            "mongo_collection_names": lambda: ["cuckoo_schema"],
            "mongo_find_one": lambda *_, **__: {"version": mongodb.MongoDB.SCHEMA_VERSION},
            "mongo_delete_data": lambda *_: None,
            "mongo_insert_one": insert,
            "insert_calls": lambda *_, **__: [],
            "get_json_document": lambda results, _path: copy.deepcopy(results),
        },
    }
    results = {"info": info | {"id": 17}}
    with ExitStack() as patches:
        for module, functions in instead.items():
            for name, function in functions.items():
                patches.enter_context(mock.patch.object(module, name, function))
        for module in (central.CentralStore(), mongodb.MongoDB()):
            module.analysis_path = "/nowhere"
            module.set_options({})
            module.run(results)
    return int(documents[-1]["info"]["id"])


if __name__ == "__main__":
    print(json.dumps([document_id(info, is_central) for info, is_central in json.loads(sys.argv[1])]))
