"""Whether the host still has an analysis: the folder of its task, and whether another run has taken that folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis


def task_of(stored: StoredAnalysis, storage: Path) -> str | None:
    """The number of the task in ``storage/analyses`` that an analysis was read from; None for one from elsewhere."""
    path = Path(stored.source_path) if stored.source_path else None
    # <storage>/17/reports/report.json
    if path and len(path.parents) > 2 and path.parents[2] == storage and path.parents[1].name.isdecimal():
        return path.parents[1].name
    return None


def deleted_tasks(analyses: Iterable[StoredAnalysis], storage: Path) -> Iterator[StoredAnalysis]:
    """The analyses of this host whose task's folder is gone."""
    for stored in analyses:
        task = task_of(stored, storage)
        if task is not None and not (storage / task).is_dir():
            yield stored
