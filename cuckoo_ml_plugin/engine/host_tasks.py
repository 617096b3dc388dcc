"""Whether the host still has an analysis: the folder of its task, and whether a later run has taken that folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis


def task_of(stored: StoredAnalysis, storage: Path, node: str) -> str | None:
    """The task in ``storage/analyses`` of a node that an analysis was read from; None for one from elsewhere."""
    path = Path(stored.source_path) if stored.source_path else None
    if path is None or stored.node not in ("", node) or len(path.parents) < 3:
        return None
    folder = path.parents[1]  # <storage>/17/reports/report.json
    return folder.name if folder.parent == storage and folder.name.isdecimal() else None


def deleted_tasks(analyses: Iterable[StoredAnalysis], storage: Path, node: str) -> list[StoredAnalysis]:
    """The analyses of this host whose task's folder is gone, or holds a later run because task ids began again."""
    of_task: dict[str, list[StoredAnalysis]] = {}
    for stored in analyses:
        task = task_of(stored, storage, node)
        if task is not None:
            of_task.setdefault(task, []).append(stored)
    deleted: list[StoredAnalysis] = []
    for task, runs in of_task.items():
        runs.sort(key=lambda stored: (stored.analysed_at or "", stored.stored_at))
        deleted += runs[:-1] if (storage / task).is_dir() else runs
    return deleted
