"""The worker: answers the requests of a host on another Python, one after another, as long as the host runs.

A request is a line of JSON, ``{"id": 1, "op": "enrich", "bytes": 1234, ...}``, followed by as many bytes of JSON as
``bytes`` says: the sections of a report. The answer is a line of JSON, ``{"id": 1, "result": ...}`` or
``{"id": 1, "error": "..."}``. Requests may hold whatever Python 2's json writes, NaN and lone surrogates included.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.report.files.decode import MAX_UNPACKED
from cuckoo_ml_plugin.report.files.request import results_of_request
from cuckoo_ml_plugin.report.values import mapping
from cuckoo_ml_plugin.version import __version__

if TYPE_CHECKING:
    from cuckoo_ml_plugin.web.site import Site

MAX_HEADER: Final = 256 * 2**20  # bytes of the line; five million calls take 20 MB
_WATCH_SECONDS: Final = 1.0
_ANSWER_SHARE: Final = 0.9  # of the time that the host waits
_IDLE: Final = 2.0  # seconds without a request, after which the worker stores what waits in the spool
_LONGEST_PAUSE: Final = 60.0  # seconds until the store is tried again that took nothing

Header = Mapping[str, Any]


class Resources:
    """The enricher and the sites that the operations use, each made when it is first needed."""

    def __init__(self, home: Path) -> None:
        self.enricher = Enricher(home)
        self.idle_since = time.monotonic()  # infinity while a request is answered
        self._home = Home(home)
        self._sites: dict[tuple[str, ...], Site] = {}

    def site(self, header: Header) -> Site:
        """The pages of a host's web interface. Raises SettingsError."""
        from cuckoo_ml_plugin.web.render import LOOKS
        from cuckoo_ml_plugin.web.site import Addresses, Site

        key = tuple(str(header.get(name, "")) for name in ("look", "base", "analysis", "storage"))
        if key not in self._sites:
            look, base, analysis, storage = key
            self._sites[key] = Site(self._home, LOOKS[look], Addresses(base, analysis), Path(storage))
        return self._sites[key]


Operation = Callable[[Resources, Header, bytes], Any]

_LOG = logging.getLogger(__name__)


def _ping(_resources: Resources, _header: Header, _body: bytes) -> dict[str, Any]:
    return {"version": __version__, "pid": os.getpid()}


def _counts(resources: Resources, _header: Header, body: bytes) -> dict[str, Any]:
    return resources.enricher.counts(results_of_request({}, body))


def _enrich(resources: Resources, header: Header, body: bytes) -> dict[str, Any]:
    report_path = header.get("report_path")
    section = resources.enricher.enrich(
        results_of_request(header, body),
        str(header.get("analysis", "")),
        report_path if isinstance(report_path, str) and report_path else None,
        seconds=_seconds(header),
    )
    return {
        "section": section,
        "seed": resources.enricher.seed(section),
        "signature": resources.enricher.signature(section, cape=False),
    }


def _seconds(header: Header) -> float:
    """In how many seconds an answer must be on its way, so that the host does not end the worker."""
    seconds = header.get("seconds")
    return _ANSWER_SHARE * seconds if isinstance(seconds, int | float) and seconds > 0 else inf


def _html_report(_resources: Resources, header: Header, body: bytes) -> bool:
    from cuckoo_ml_plugin.web.static_report import put_into

    return put_into(Path(str(header["path"])), body)


def _panel(resources: Resources, header: Header, body: bytes) -> str:
    return resources.site(header).panel(body, seconds=_seconds(header))


def _page(resources: Resources, header: Header, _body: bytes) -> dict[str, Any]:
    query = {str(key): str(value) for key, value in mapping(header.get("query")).items()}
    return asdict(resources.site(header).page(str(header.get("path", "")), query, seconds=_seconds(header)))


def _style(_resources: Resources, _header: Header, _body: bytes) -> str:
    from cuckoo_ml_plugin.web.render import style

    return style()


OPERATIONS: Final[dict[str, Operation]] = {
    "ping": _ping,
    "counts": _counts,
    "enrich": _enrich,
    "html_report": _html_report,
    "panel": _panel,
    "page": _page,
    "style": _style,
}


def serve(
    resources: Resources, requests: BinaryIO, answers: BinaryIO, operations: Mapping[str, Operation] = OPERATIONS
) -> None:
    """Answer until the requests end, or until a line shows that their boundaries are lost."""
    while line := requests.readline(MAX_HEADER):
        header = _header(line)
        size = header.get("bytes", 0)
        if not isinstance(size, int) or not 0 <= size <= MAX_UNPACKED:
            _LOG.error("A request could not be read, so the worker ends.")
            return
        body = requests.read(size)
        if len(body) < size:
            return
        resources.idle_since = inf
        answer = {"id": header.get("id"), **_answer(resources, header, body, operations)}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
        resources.idle_since = time.monotonic()


def run(home: Path, parent: int | None) -> None:
    """Serve standard input and output; end with the process ``parent``."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    resources = Resources(home)
    threading.Thread(target=_use_idle_time, args=(home, resources), daemon=True).start()
    try:
        serve(resources, sys.stdin.buffer, answers)
    except BrokenPipeError:  # the host has ended
        os._exit(0)


def _answer(resources: Resources, header: Header, body: bytes, operations: Mapping[str, Operation]) -> dict[str, Any]:
    operation = operations.get(str(header.get("op")))
    if operation is None:
        return {"error": f"there is no operation {str(header.get('op'))[:40]!r}"}
    try:
        return {"result": operation(resources, header, body)}
    except Exception as error:  # a request that fails must not end the worker
        _LOG.exception("Operation %s failed", header.get("op"))
        return {"error": f"{type(error).__name__}: {str(error)[:300]}"}


def _header(line: bytes) -> Header:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return {"bytes": -1}
    return header if isinstance(header, dict) else {"bytes": -1}


def _use_idle_time(home: Path, resources: Resources) -> None:
    """Store what waits in the spool while there are no requests, with an engine of its own."""
    enricher, pause = Enricher(home), _IDLE
    while True:
        time.sleep(pause)
        pause = _IDLE
        while time.monotonic() - resources.idle_since >= _IDLE and enricher.waits and pause == _IDLE:
            if not enricher.store_waiting():
                pause = _LONGEST_PAUSE


def _end_with(parent: int) -> None:
    """End this process when ``parent`` is no longer its parent."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(0)
