"""What a report says of its identity: the task, the start and the sample, by the hosts' own rules.

Distributed CAPE files a report under another id than the task's. Its reporting modules decide that after ours have run
(modules/reporting/mongodb.py and centralstore.py), so the same rules stand here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from cuckoo_ml_plugin.plumbing.analysis_ids import Identity, clean_id
from cuckoo_ml_plugin.plumbing.text import bounded, storable
from cuckoo_ml_plugin.report.values import hexadecimal, identifier, integer, mapping, plain_number, text

_YEARS: Final = range(1970, 2100)  # any other year is the mistake of a clock
_CENTRAL_JOB = re.compile(r"ui-(\d{1,18})", re.ASCII)


def identity_of(results: Mapping[str, Any], *, node: str = "", task: str = "", central: bool = False) -> Identity:
    """The identity that a report states. Never raises.

    Args:
        node: the node whose host reports it.
        task: the host's own id of the task; by default, the one in the report.
        central: whether the host is a worker of a central CAPE, whose job ids name the task.
    """
    info = mapping(results.get("info"))
    local = storable(task or identifier(info.get("id")) or "", 100)
    filed = _main_task(info) or _central_task(info.get("job_id"))
    from_custom = _central_task(_job_of_custom(info.get("custom")))
    return Identity(
        node=node,
        task=clean_id(filed or (central and from_custom) or local) if filed or local else "",
        local_task=local,
        job=filed or from_custom or local,
        started=start_of(info.get("started")) or "",
        sample=sample_of(results),
    )


def sample_of(results: Mapping[str, Any]) -> str:
    """The SHA-256 of the analysed file in lower case, or ``url:`` and the URL; "" where neither is known."""
    target = mapping(results.get("target"))
    file = mapping(target.get("file"))
    # In CAPE's database, the file's own fields lie in another collection, and file_ref is its SHA-256.
    sha256 = hexadecimal(file.get("sha256"), 64) or hexadecimal(file.get("file_ref"), 64)
    if sha256 or file:
        return sha256 or ""
    url = url_of(results)
    return f"url:{bounded(storable(url, 8192))}" if url else ""


def url_of(results: Mapping[str, Any]) -> str:
    """The analysed URL, "" for a file."""
    url = text(mapping(results.get("target")).get("url"))
    return url or text(mapping(results.get("url_analysis")).get("url"))


def start_of(value: Any) -> str | None:
    """The start of the analysis. CAPE writes text; Cuckoo writes seconds since 1970, and has a datetime in memory."""
    moment = None
    if isinstance(value, Mapping):  # MongoDB's extended JSON
        date = plain_number(value.get("$date"))
        milliseconds = integer(date)
        value = milliseconds / 1000 if milliseconds is not None and not isinstance(date, Mapping) else date
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip()[:19].replace(" ", "T"))
        except ValueError:
            return None
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 2**34:
        moment = datetime.fromtimestamp(int(value), tz=timezone.utc)
    if moment is None or moment.year not in _YEARS:
        return None
    return moment.replace(tzinfo=None, microsecond=0).isoformat()


def _main_task(info: Mapping[str, Any]) -> str:
    """The task of the main machine (``utils/dist.py``), as mongodb.py reads it from the options."""
    value = mapping(info.get("options")).get("main_task_id")
    try:
        number = int(value) if value and isinstance(value, (str, int)) else -1
    except ValueError:
        return ""
    return str(number) if 0 <= number < 2**63 else ""


def _job_of_custom(custom: Any) -> str:
    """The job id in the field ``custom``: only in its first part, as CAPE's job_id_from_custom has it."""
    first = text(custom).split(",", 1)[0]
    return first.removeprefix("job_id=").strip() if first.startswith("job_id=") else ""


def _central_task(job: Any) -> str:
    """N of a job id ``ui-N``, which is the task on the central machine; "" for any other job id."""
    match = _CENTRAL_JOB.fullmatch(text(job))
    return str(int(match[1])) if match else ""
