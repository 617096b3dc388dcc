"""A server that speaks MongoDB's protocol, over mongomock's collections in memory: a database for real clients.

It answers what CAPE and we ask for: the commands below, over OP_MSG, and the handshake over OP_QUERY. Started as a
program with a port, it serves until it is killed.
"""

from __future__ import annotations

import socketserver
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import bson
import mongomock

_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_HELLO: Final = {
    "ismaster": True, "isWritablePrimary": True, "helloOk": True, "readOnly": False, "minWireVersion": 0,
    "maxWireVersion": 17, "maxBsonObjectSize": 2**24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
}  # fmt: skip
_CLIENT: Any = mongomock.MongoClient()


def _cursor(database: str, collection: str, documents: Iterator[Any] | list[Any]) -> dict[str, Any]:
    return {"cursor": {"id": bson.int64.Int64(0), "ns": f"{database}.{collection}", "firstBatch": list(documents)}}


def _find(database: Any, command: Mapping[str, Any]) -> dict[str, Any]:
    found = database[command["find"]].find(command.get("filter") or {}, command.get("projection") or None)
    if command.get("sort"):
        found = found.sort(list(command["sort"].items()))
    found = found.skip(command.get("skip", 0)).limit(abs(command.get("limit", 0)))
    return _cursor(database.name, command["find"], found)


def _aggregate(database: Any, command: Mapping[str, Any]) -> dict[str, Any]:
    name = command["aggregate"]
    return _cursor(database.name, name, database[name].aggregate(command["pipeline"]))


def _insert(database: Any, command: Mapping[str, Any]) -> dict[str, Any]:
    database[command["insert"]].insert_many(command["documents"])
    return {"n": len(command["documents"])}


def _update(database: Any, command: Mapping[str, Any]) -> dict[str, Any]:
    collection, counts = database[command["update"]], {"n": 0, "nModified": 0}
    upserted = []
    for number, update in enumerate(command["updates"]):
        change = update["u"]
        is_change = isinstance(change, list) or next(iter(change), "").startswith("$")
        method = ("update_many" if update.get("multi") else "update_one") if is_change else "replace_one"
        done = getattr(collection, method)(update["q"], change, upsert=update.get("upsert", False))
        counts["n"] += done.matched_count or int(done.upserted_id is not None)
        counts["nModified"] += done.modified_count
        if done.upserted_id is not None:
            upserted.append({"index": number, "_id": done.upserted_id})
    return {**counts, **({"upserted": upserted} if upserted else {})}


def _delete(database: Any, command: Mapping[str, Any]) -> dict[str, Any]:
    collection, count = database[command["delete"]], 0
    for delete in command["deletes"]:
        method = "delete_one" if delete.get("limit") else "delete_many"
        count += getattr(collection, method)(delete["q"]).deleted_count
    return {"n": count}


def _list_collections(database: Any, command: Mapping[str, Any]) -> dict[str, Any]:
    names = [{"name": name, "type": "collection"} for name in database.list_collection_names()]
    return _cursor(database.name, "$cmd.listCollections", names)


def _nothing(*_: object) -> dict[str, Any]:
    return {}


_COMMANDS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], dict[str, Any]]]] = {
    "hello": lambda *_: dict(_HELLO),
    "ping": _nothing, "createindexes": _nothing, "dropindexes": _nothing, "endsessions": _nothing,
    "buildinfo": lambda *_: {"version": "6.0.0", "versionArray": [6, 0, 0, 0]},
    "listcollections": _list_collections,
    "listindexes": lambda database, command: _cursor(database.name, command["listIndexes"], []),
    "count": lambda database, command: {
        "n": database[command["count"]].count_documents(command.get("query") or {})
    },
    "distinct": lambda database, command: {
        "values": database[command["distinct"]].distinct(command["key"], command.get("query") or {})
    },
    "find": _find, "aggregate": _aggregate, "insert": _insert, "update": _update, "delete": _delete,
}  # fmt: skip


def _answer(command: Mapping[str, Any], database: str) -> dict[str, Any]:
    name = next(iter(command)).lower()
    run = _COMMANDS.get("hello" if name == "ismaster" else name)
    if run is None:
        return {"ok": 0.0, "code": 59, "codeName": "CommandNotFound", "errmsg": f"no such command: {name}"}
    try:
        return {**run(_CLIENT[command.get("$db", database)], command), "ok": 1.0}
    except Exception as error:  # the client gets it as the server's error
        return {"ok": 0.0, "code": 8, "codeName": "UnknownError", "errmsg": f"{type(error).__name__}: {error}"}


class _Connection(socketserver.StreamRequestHandler):
    """One client: messages in, answers out."""

    def handle(self) -> None:
        while len(head := self.rfile.read(16)) == 16:
            length, request, _, kind = struct.unpack("<iiii", head)
            body = self.rfile.read(length - 16)
            if kind == _OP_MSG:
                content = struct.pack("<IB", 0, 0) + bson.encode(_answer(self._message(body), "admin"))
                self._send(request, _OP_MSG, content)
            elif kind == _OP_QUERY:
                end = body.index(b"\0", 4)
                command = bson.decode_all(body[end + 9 :])[0]
                answer = bson.encode(_answer(command, body[4:end].decode().partition(".")[0]))
                self._send(request, _OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + answer)

    def _send(self, request: int, kind: int, content: bytes) -> None:
        self.wfile.write(struct.pack("<iiii", len(content) + 16, 0, request, kind) + content)

    @staticmethod
    def _message(body: bytes) -> dict[str, Any]:
        """The command of a message; documents that follow it in a sequence are put into it."""
        command: dict[str, Any] = {}
        end = len(body) - (4 if body[0] & 1 else 0)  # a checksum
        at = 4
        while at < end:
            size = struct.unpack_from("<i", body, at + 1)[0]
            section = body[at + 1 : at + 1 + size]
            if body[at] == 0:
                command = bson.decode(section) | command
            else:
                name, _, documents = section[4:].partition(b"\0")
                command[name.decode()] = bson.decode_all(documents)
            at += 1 + size
        return command


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


if __name__ == "__main__":
    with _Server(("127.0.0.1", int(sys.argv[1])), _Connection) as server:
        server.serve_forever()
