"""What an Android app did, from the log that Cuckoo's Droidmon keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cuckoo_ml_plugin.report.values import mappings, text, texts

# Lists of names of functions, and those that stand for a function that was called.
_FUNCTIONS: Final = ("reflection_calls", "fingerprint", "data_leak", "events")
_NAMED_LISTS: Final = {"sms": "SmsManager.sendTextMessage", "started_activities": "Activity.startActivity"}


def droidmon_calls(section: Mapping[str, Any]) -> list[str]:
    """The names of the functions that the app called."""
    calls = [name for key in _FUNCTIONS for name in texts(section.get(key))]
    return calls + [name for key, name in _NAMED_LISTS.items() if section.get(key)]


def droidmon_operations(section: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Files, commands and loaded code, by the names of Cuckoo's summary."""
    operations: dict[str, list[Any]] = {
        "file_opened": texts(section.get("file_accessed")),
        "command_line": texts(section.get("commands")),
        "dll_loaded": texts(section.get("loadDex")),
    }
    return {operation: names for operation, names in operations.items() if names}


def droidmon_requests(section: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Method, host, path and user agent of the requests: ``GET http://a.example/x HTTP/1.1``."""
    requests = []
    for connection in mappings(section.get("httpConnections")):
        method, _, rest = text(connection.get("request"))[:4096].partition(" ")
        url = rest.partition(" ")[0]
        address = url.partition("://")[2] if "://" in url[:12] else ""
        host = address.partition("/")[0]
        path = "/" + address.partition("/")[2] if address else url
        if host or path:
            requests.append((method, host, path, ""))
    return requests
