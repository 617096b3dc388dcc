"""The sections of a report as the client in Cuckoo 2.0 sends them: a header with the call logs, and a body of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.report.files.decode import decode_sections
from cuckoo_ml_plugin.report.values import mapping, mappings


def results_of_request(header: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """The sections as they would be read from the report's file, with the calls of the header in the processes.

    The first calls of a Linux program stand in the body, with their arguments. Raises ReportError.
    """
    results = dict(decode_sections(body, Path("the request")))
    logs = header.get("calls")
    behavior = mapping(results.get("behavior"))
    processes = behavior.get("processes")
    if isinstance(logs, list) and isinstance(processes, list):
        for process, log in zip(processes, logs, strict=False):
            if isinstance(process, dict):
                traced = mappings(process.get("calls"))
                process["calls"] = [*traced, *_calls(log)[len(traced) :]]
    return results


def _calls(log: Any) -> list[dict[str, str]]:
    """The calls as a report has them; all calls of one function share a dictionary."""
    names, codes = log
    calls = [{"api": name} for name in names]
    return [calls[code] for code in codes]
