"""Who may see which analysis where CAPE serves several tenants, by CAPE's own rules; in doubt nobody.

The one place that decides, for what is written at reporting time and for what the pages show. CAPE knows its tasks; the
store knows analyses. An analysis of this node is a task of this CAPE when its report lies in the task's folder and the
task has the same sample and start: after the ids of tasks have begun again, a folder may be another sample's.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cuckoo_ml_plugin.engine.visibility import HostAnalysis, Visible, nothing

_BATCH: Final = 500  # tasks in one query

_LOG = logging.getLogger(__name__)


def has_tenants() -> bool:
    """Whether this CAPE serves several tenants; also where its configuration cannot be read."""
    try:
        from lib.cuckoo.common.tenancy import multitenancy_config
    except ImportError:  # a CAPE without tenants
        return False
    try:
        return bool(multitenancy_config().enabled)
    except Exception:
        _LOG.exception("cuckooml: CAPE's [multitenancy] cannot be read, so it counts as enabled")
        return True


def visible_to_readers_of(task: Any) -> Visible:
    """What everybody may see who may read the report of a task: what is written into it.

    For a private task this is what its owner may see, for a tenant's task what the whole tenant may see, for a public
    task what is public. ``task``: as CAPE gives it to its modules. Never raises.
    """
    try:
        from lib.cuckoo.common.tenancy import PRIVATE, PUBLIC, Viewer

        owned = _tasks([int(task["id"])]).get(int(task["id"]))
        if owned is None or _has_foreign_ids(owned.options):
            return nothing
        if owned.visibility == PUBLIC:
            return _visible_to(Viewer(user_id=None, tenant_id=None))
        user = (owned.user_id or None) if owned.visibility == PRIVATE else None  # 0: submitted by no user
        return _visible_to(Viewer(user_id=user, tenant_id=owned.tenant_id))
    except Exception:
        _LOG.exception("cuckooml: the tenant of a task cannot be found out, so nothing of other analyses is written")
        return nothing


def visible_to_user(user: object) -> Visible | None:
    """What a user of the web interface may see; None: everything. Never raises."""
    if not has_tenants():
        return None
    try:
        from web import tenancy_optional  # type: ignore[attr-defined]

        viewer = tenancy_optional.viewer_for(user)
        return None if viewer.is_local_admin else _visible_to(viewer)
    except Exception:
        _LOG.exception("cuckooml: what a user may see cannot be found out, so he sees nothing")
        return nothing


def _has_foreign_ids(options: str | None) -> bool:
    """Whether only another machine knows whose a task is: this one is a worker of a distributed or central CAPE."""
    if "main_task_id" in (options or ""):
        return True
    try:
        from lib.cuckoo.common.central_mode import central_mode_config
    except ImportError:
        return False
    return bool(central_mode_config().enabled)


def _visible_to(viewer: Any) -> Visible:
    from lib.cuckoo.common.constants import CUCKOO_ROOT
    from lib.cuckoo.common.tenancy import Job, can_read

    storage = os.path.realpath(os.path.join(CUCKOO_ROOT, "storage", "analyses"))

    def visible(analyses: Iterable[HostAnalysis]) -> Collection[str]:
        shown: set[str] = set()
        rest = iter(analyses)
        while batch := list(islice(rest, _BATCH)):
            numbered = [(number, known) for known in batch if (number := _task_number(known, storage)) is not None]
            tasks = _tasks([number for number, _ in numbered])
            for number, known in numbered:
                task = tasks.get(number)
                if task is None or not _same_run(known, task):
                    continue
                if can_read(viewer, Job(task.user_id or None, task.tenant_id, task.visibility or "private")):
                    shown.add(known.analysis)
        return shown

    return visible


def _task_number(known: HostAnalysis, storage: str) -> int | None:
    """The task whose folder the report of an analysis lies in; None for one from elsewhere, whose tenant is unknown."""
    parts = Path(known.source_path).parts[-3:] if known.source_path else ()
    if len(parts) != 3 or parts[1] != "reports" or not (parts[0].isascii() and parts[0].isdecimal()):
        return None
    number = int(parts[0])
    return number if str(Path(known.source_path or "").parents[2]) == storage and number < 2**31 else None


def _same_run(known: HostAnalysis, task: Any) -> bool:
    if known.analysed_at and task.started_on and known.analysed_at[:19] != f"{task.started_on:%Y-%m-%dT%H:%M:%S}":
        return False
    if known.sha256 and task.sha256:
        return bool(known.sha256 == task.sha256.lower())
    return not known.sha256 and not task.sha256 and bool(known.target) and known.target == task.target


def _tasks(numbers: Collection[int]) -> dict[int, Any]:
    """Tasks with the owner and the sample of each, read in a session of our own.

    The session that CAPE's processes share may be in a transaction.
    """
    from lib.cuckoo.core.data.samples import Sample
    from lib.cuckoo.core.data.task import Task
    from lib.cuckoo.core.database import Database
    from sqlalchemy import select

    columns = (Task.id, Task.user_id, Task.tenant_id, Task.visibility, Task.target, Task.started_on, Task.options)
    tasks: dict[int, Any] = {}
    with Database().engine.connect() as connection:
        for batch in _batches(numbers):
            query = select(*columns, Sample.sha256).outerjoin(Sample, Task.sample_id == Sample.id)
            tasks |= {row.id: row for row in connection.execute(query.where(Task.id.in_(batch)))}
    return tasks


def _batches(numbers: Collection[int]) -> Iterator[list[int]]:
    rest = iter(sorted(set(numbers)))
    while batch := list(islice(rest, _BATCH)):
        yield batch
