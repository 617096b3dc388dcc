"""The import: report files, folders of them and hosts' storage trees into the store, over all cores.

Workers read, extract and pack; this process writes, a second's worth in one transaction. What was written stays
whatever happens next (Ctrl-C, a kill, a full disk), and the next import passes over it, so that an import is resumed by
repeating it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from cuckoo_ml_plugin.behaviour.behaviour import EXTRACTION
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.intake.find_reports import ReportFile, find_reports
from cuckoo_ml_plugin.intake.label_file import LabelFile, apply_labels, read_labels
from cuckoo_ml_plugin.plumbing.analysis_ids import Source, clean_id, qualified_names
from cuckoo_ml_plugin.plumbing.interrupts import deaf_workers
from cuckoo_ml_plugin.report.labels import labels_of
from cuckoo_ml_plugin.report.report import read_report
from cuckoo_ml_plugin.store.records import AnalysisRecord
from cuckoo_ml_plugin.store.store import Store

__all__ = ["ImportResult", "ReportFile", "find_reports", "import_reports"]

Progress = Callable[[int, int, str], None]

_CHUNK_FILES = 16  # a task for a worker: enough files, or enough bytes, that handing it over costs nothing
_CHUNK_BYTES = 8 * 2**20
_ALONE_BYTES = 8 * 2**20  # less than this in all is read here: starting workers would take longer
_WRITE_RECORDS = 256
_WRITE_SECONDS = 1.0


@dataclass(slots=True)
class ImportResult:
    """What an import did. ``stored`` counts new and replaced; paths are absolute with links resolved."""

    found: int = 0
    read: int = 0
    stored: int = 0
    replaced: int = 0  # of those stored: read before, and the file or our extraction has changed since
    skipped: int = 0  # stored before, and nothing has changed
    without_behaviour: int = 0  # of those stored
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    renamed: list[tuple[str, str]] = field(default_factory=list)  # path, the id it got as its own was taken
    labelled: int = 0
    unknown_labels: list[str] = field(default_factory=list)  # names in the label file that the store does not know
    bad_label_lines: list[tuple[int, str]] = field(default_factory=list)  # line number, reason


@dataclass(frozen=True, slots=True)
class _Task:
    """A file to read: the id that it asked for, and the one that was free."""

    file: ReportFile
    source: Source
    analysis: str
    known: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a task: a record, or the reason why there is none."""

    task: _Task
    record: AnalysisRecord | None
    reason: str = ""


def import_reports(
    store: Store,
    paths: Iterable[str | os.PathLike[str]],
    *,
    labels: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> ImportResult:
    """Import every report among the paths; see :func:`find_reports` for what is one and what its analysis is called.

    ``labels``: a label file, applied at the end. ``jobs``: worker processes, all cores unless told. ``progress``:
    called with (done, total, path) after each file. ``force``: read again what has not changed. A file that cannot be
    read is named in the result and the others go on. Raises StoreError when the store refuses, and ReportError when the
    label file cannot be read; what was stored by then stays.
    """
    label_file = read_labels(labels) if labels is not None else None
    files = find_reports(paths)
    result = ImportResult(found=len(files))
    tasks = _plan(store, files, result, force)
    tell = _Teller(progress, len(files), len(files) - len(tasks))
    writer = _Writer(store, result)
    try:
        for outcome in _outcomes(tasks, jobs or joblib.cpu_count()):
            writer.take(outcome)
            tell(outcome.task.file.path)
    finally:
        writer.flush()
    result.unreadable.sort()
    result.renamed.sort()
    if label_file is not None:
        _label(store, label_file, result)
    return result


def _label(store: Store, label_file: LabelFile, result: ImportResult) -> None:
    result.unknown_labels = apply_labels(store, label_file)
    result.labelled = len(label_file.families) - len(result.unknown_labels)
    result.bad_label_lines = label_file.bad_lines


class _Teller:
    """Counts what is done for the progress callback."""

    def __init__(self, progress: Progress | None, total: int, done: int) -> None:
        self.progress, self.total, self.done = progress, total, done
        if progress is not None and done:
            progress(done, total, "")

    def __call__(self, path: str) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, path)


class _Writer:
    """Gathers records and writes them in few transactions."""

    def __init__(self, store: Store, result: ImportResult) -> None:
        self.store, self.result = store, result
        self.waiting: list[tuple[_Task, AnalysisRecord]] = []
        self.written_at = time.monotonic()

    def take(self, outcome: _Outcome) -> None:
        if outcome.record is None:
            self.result.unreadable.append((outcome.task.file.path, outcome.reason))
            return
        self.result.read += 1
        self.waiting.append((outcome.task, outcome.record))
        if len(self.waiting) >= _WRITE_RECORDS or time.monotonic() - self.written_at > _WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        batch, self.waiting = self.waiting, []
        names = self.store.put([record for _, record in batch])
        for (task, record), name in zip(batch, names, strict=True):
            self.result.stored += 1
            self.result.replaced += task.known
            self.result.without_behaviour += not record.has_behaviour
            if not task.known and name != clean_id(task.file.analysis):
                self.result.renamed.append((task.file.path, name))
        self.written_at = time.monotonic()


# -- what is to be read, and under which name --------------------------------------------------------------------------


def _plan(store: Store, files: Sequence[ReportFile], result: ImportResult, force: bool) -> list[_Task]:
    """The files that are new or have changed, with their analysis ids; the others are counted in the result."""
    readable: list[tuple[ReportFile, Source]] = []
    for file in files:
        reason = file.problem
        if reason is None:
            try:
                status = os.stat(file.path)
                readable.append((file, Source(file.path, status.st_size, status.st_mtime_ns, EXTRACTION)))
            except OSError as error:
                reason = (error.strerror or "cannot be looked at").lower()
        if reason is not None:
            result.unreadable.append((file.path, reason))
    stored = store.sources(source.key for _, source in readable)
    tasks = []
    for file, source in readable:
        analysis, before = stored.get(source.key, (None, None))
        if not force and before is not None and replace(source, path=before.path) == before:
            result.skipped += 1
        else:
            tasks.append(_Task(file, source, analysis or file.analysis, known=analysis is not None))
    return _with_free_names(store, tasks)


def _with_free_names(store: Store, tasks: list[_Task]) -> list[_Task]:
    """Give each new file the first of its names that is free, in the order of the files.

    Names are given before anything is read, so that they depend neither on which worker is first nor on where an
    earlier import was cut off. (Two imports at once are settled by the store.)
    """
    names = {
        i: qualified_names(clean_id(task.analysis), task.source, "") for i, task in enumerate(tasks) if not task.known
    }
    given: set[str] = set()
    while names:
        wanted = {i: next(candidates) for i, candidates in names.items()}
        taken = store.taken(wanted.values())
        for i, name in wanted.items():
            if name not in taken and name not in given:
                given.add(name)
                task = tasks[i]
                tasks[i] = _Task(task.file, task.source, name, task.known)
                del names[i]
    return tasks


# -- reading, in as many processes as there are cores ------------------------------------------------------------------


def _outcomes(tasks: Sequence[_Task], jobs: int) -> Iterator[_Outcome]:
    """Read all files; the outcomes come as they are ready."""
    if jobs == 1 or len(tasks) < 2 or sum(task.source.size for task in tasks) < _ALONE_BYTES:
        for task in tasks:
            yield _read(task)
        return
    waiting = deque(enumerate(_chunks(tasks)))
    while waiting:
        handed_out: dict[int, list[_Task]] = {}
        try:
            yield from _in_workers(waiting, handed_out, jobs)
        except TerminatedWorkerError:  # one of these files killed its process, and it took the others' with it
            for chunk in list(handed_out.values()):
                for task in chunk:
                    yield _read_alone(task)


def _in_workers(
    waiting: deque[tuple[int, list[_Task]]], handed_out: dict[int, list[_Task]], jobs: int
) -> Iterator[_Outcome]:
    """Read in workers until nothing waits; ``handed_out``: what they have now. Raises TerminatedWorkerError."""

    def tasks() -> Iterator[object]:
        while waiting:
            number, chunk = waiting.popleft()
            handed_out[number] = chunk
            yield joblib.delayed(_read_chunk)(number, chunk)

    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    with deaf_workers():
        ready = parallel(tasks())
    for number, outcomes in ready:
        del handed_out[number]
        yield from outcomes


def _chunks(tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
    chunk: list[_Task] = []
    size = 0
    for task in tasks:
        chunk.append(task)
        size += task.source.size
        if len(chunk) >= _CHUNK_FILES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _read_chunk(number: int, tasks: list[_Task]) -> tuple[int, list[_Outcome]]:
    return number, [_read(task) for task in tasks]


def _read_alone(task: _Task) -> _Outcome:
    """Read a file in a process of its own, and say so when that dies of it."""
    try:
        # Two, for with one joblib would read it in this process; there is only one task.
        [(_, [outcome])] = joblib.Parallel(n_jobs=2)([joblib.delayed(_read_chunk)(0, [task])])
    except TerminatedWorkerError:
        return _Outcome(task, None, "the process that read it was killed, probably for the memory that it took")
    return outcome  # type: ignore[no-any-return]


def _read(task: _Task) -> _Outcome:
    """Read, extract and pack one report; whatever is wrong with it becomes a reason."""
    try:
        report = read_report(Path(task.file.path))
        record = AnalysisRecord.of(task.analysis, report, extract(report), labels_of(report), task.source)
    except CuckooMLError as error:
        return _Outcome(task, None, str(error))
    except MemoryError:
        return _Outcome(task, None, "it takes more memory than there is")
    except Exception as error:  # a report is hostile input: no mistake of ours may cost the other files
        return _Outcome(task, None, f"unexpected {type(error).__name__}: {str(error)[:200]}")
    return _Outcome(task, record)
