"""Analyses in the spool: how an arrival is written there and read again, and storing those that wait."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Final

import msgspec

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.arrivals.keep import Arrival, keep_late
from cuckoo_ml_plugin.engine.arrivals.spool import ANALYSIS, REQUEST, Spool
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError, StoreError
from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, Source
from cuckoo_ml_plugin.plumbing.time_limit import time_left
from cuckoo_ml_plugin.report.files.request import results_of_request
from cuckoo_ml_plugin.report.identity import identity_of
from cuckoo_ml_plugin.report.labels import Label, labels_of
from cuckoo_ml_plugin.report.report import Report, report_from_results
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.packed_behaviour import DamagedBlobError, unpack

_MOST_BYTES: Final = 256 * 2**20  # of one file
_MOST_REFUSED: Final = 3  # files in a row that the store did not take, after which it is left alone

_LOG = logging.getLogger(__name__)


class _Waiting(msgspec.Struct):
    record: AnalysisRecord
    sample: str
    section: str = ""


class _UnreadableError(Exception):
    pass


@dataclass(slots=True)
class StoredLate:
    """How many analyses were stored, and how many still wait."""

    stored: int = 0
    waiting: int = 0


def keep_waiting(spool: Spool, arrival: Arrival, section: Mapping[str, Any] | None) -> None:
    """Let an analysis wait in the spool, with the section that it got. Raises SpoolError."""
    record = arrival.record
    if record.source is not None and not _is_utf8(record.source.path):
        record = replace(record, source=None)  # JSON holds no such path; its run tells it from others
    text = json.dumps(section) if section is not None else ""
    spool.keep(ANALYSIS, msgspec.json.encode(_Waiting(record, arrival.sample, text)))


def store_waiting(engine: Engine, seconds: float = inf) -> StoredLate:
    """Store what waits in the spool of a home, the oldest first, as long as the time is not over.

    It never raises: what the store does not take, and what another process is storing, waits on. What nobody can read
    is set aside.
    """
    spool = Spool(engine.home)
    done = StoredLate(waiting=spool.count())
    if not done.waiting:
        return done
    until = time.monotonic() + seconds
    refused = 0
    try:
        with spool.alone() as is_alone:
            for file in spool.waiting() if is_alone else ():
                if time.monotonic() > until or not time_left() or refused >= _MOST_REFUSED:
                    break
                try:
                    arrival, section = _read(engine, file)
                    keep_late(engine, arrival, section)
                except FileNotFoundError:
                    continue
                except _UnreadableError as error:
                    _LOG.error("%s: nobody can read this analysis, so it is set aside: %s", file, error)
                    spool.set_aside(file)
                    continue
                except StoreError as error:
                    _LOG.warning("%s: waits on: %s", file, error)
                    refused += 1
                    continue
                refused = 0
                done.stored += 1
                file.unlink(missing_ok=True)
                spool.note_answer()
    except OSError as error:
        _LOG.error("%s: cannot be emptied: %s", spool.folder, error)
    except Exception:
        _LOG.exception("%s: cannot be emptied", spool.folder)
    done.waiting = spool.count()
    return done


def _read(engine: Engine, file: Path) -> tuple[Arrival, dict[str, Any] | None]:
    """Raises _UnreadableError, FileNotFoundError."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise _UnreadableError("it is too large")
        content = file.read_bytes()
        return _of_request(engine, content) if file.suffix == f".{REQUEST}" else _of_record(content)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, TypeError, RecursionError, msgspec.MsgspecError, CuckooMLError) as error:
        raise _UnreadableError(f"{type(error).__name__}: {error}") from error


def _of_record(content: bytes) -> tuple[Arrival, dict[str, Any] | None]:
    waiting = msgspec.json.decode(content, type=_Waiting)
    record = waiting.record
    try:
        tokens, counts = unpack(record.packed.blob)
    except DamagedBlobError as error:
        raise ValueError(str(error)) from error
    behaviour = Behaviour(tokens, counts, record.scores, record.remark)
    labels = [Label(family, source) for source, family in record.labels.items()]
    return Arrival(record, behaviour, waiting.sample, labels), json.loads(waiting.section) if waiting.section else None


def _of_request(engine: Engine, content: bytes) -> tuple[Arrival, None]:
    line, _, body = content.partition(b"\n")
    header = json.loads(line)
    if not isinstance(header, dict):
        raise TypeError("it is no request")
    path = header.get("report_path")
    results = results_of_request(header, body)
    report = report_from_results(results)
    identity = identity_of(results, node=engine.node, task=str(header.get("analysis", "")))
    path = path if isinstance(path, str) else None
    return arrival_of(report, extract(report), labels_of(report), identity, path), None


def arrival_of(
    report: Report, behaviour: Behaviour, labels: list[Label], identity: Identity, report_path: str | None
) -> Arrival:
    """The arrival of an analysis of a host, which writes its report to ``report_path``."""
    # No file has this size and time, so an import reads the report once it is written, under the same id.
    source = Source(os.path.realpath(report_path), -1, -1) if report_path else None
    record = AnalysisRecord.of(identity.task, report, behaviour, labels, source, identity)
    return Arrival(record, behaviour, report.sha256 or identity.sample or report.target, labels)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
