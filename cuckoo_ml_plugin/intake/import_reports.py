"""The import of report files, folders and hosts' storage trees into the store, over all cores.

Workers read, extract and pack; this process writes, one transaction a second. Whatever happens next (Ctrl-C, a kill, a
full disk), what was written stays, and the next import skips it. To resume an import, repeat it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from cuckoo_ml_plugin.behaviour.extract import EXTRACTION, extract
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.intake.find_reports import PassedOver, ReportFile, find_reports, name_in_file
from cuckoo_ml_plugin.intake.label_file import LabelFile, apply_labels, read_labels
from cuckoo_ml_plugin.plumbing.analysis_ids import Source, clean_id, qualified_names
from cuckoo_ml_plugin.plumbing.interrupts import workers_ignore_interrupts
from cuckoo_ml_plugin.report.labels import labels_of
from cuckoo_ml_plugin.report.report import read_reports
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.store import Store

__all__ = ["ImportResult", "ReportFile", "find_reports", "import_reports"]

ImportProgress = Callable[[int, int, str], None]
"""Called after each file with the number of files done, the number of all files, and the path of the file."""

_CHUNK_FILES = 16  # given to a worker at once: enough files, or bytes, that handing them over costs next to nothing
_CHUNK_BYTES = 8 * 2**20
_ALONE_BYTES = 8 * 2**20  # less than this in total is read here, because starting workers would take longer
_WRITE_RECORDS = 256
_WRITE_SECONDS = 1.0


@dataclass(slots=True)
class ImportResult:
    """What an import did. Paths are absolute, with links resolved.

    >>> from cuckoo_ml_plugin import Desk
    >>> result = Desk("cuckoo-ml-demo").load("cuckoo-ml-demo/demo/new")
    >>> result.stored, result.unreadable
    (6, [])
    """

    found: int = 0  # report files
    read: int = 0
    stored: int = 0  # new, or replaced because the file or the extraction has changed
    skipped: int = 0  # stored earlier and unchanged
    without_behaviour: int = 0  # of those stored
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    passed_over: list[tuple[str, str]] = field(default_factory=list)  # path of what is no report by its name, reason
    remarks: list[tuple[str, str]] = field(default_factory=list)  # analysis, what its report lacks or why it is silent
    renamed: list[tuple[str, str]] = field(default_factory=list)  # path, the id that it got because its own was in use
    repeats: list[tuple[str, str]] = field(default_factory=list)  # path, the id under which the same run was stored
    labelled: int = 0
    unknown_labels: list[str] = field(default_factory=list)  # names in the label file that match no analysis
    bad_label_lines: list[tuple[int, str]] = field(default_factory=list)  # line number, reason


@dataclass(frozen=True, slots=True)
class _Task:
    """A file to read, and the id for its analysis if that is new. ``is_stored``: an earlier import read this file."""

    file: ReportFile
    source: Source
    analysis: str
    is_stored: bool


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The result of a task: a record for each report in the file, or the reasons why there is none.

    ``remarks`` has a text for each record, which may be empty.
    """

    task: _Task
    records: list[AnalysisRecord]
    reasons: list[str]
    remarks: list[str]

    @classmethod
    def failed(cls, task: _Task, reason: str) -> _Outcome:
        """A file that gave nothing."""
        return cls(task, [], [reason], [])


def import_reports(
    store: Store,
    paths: Iterable[str | os.PathLike[str]],
    *,
    labels: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: ImportProgress | None = None,
    force: bool = False,
) -> ImportResult:
    """Import every report among the paths. :func:`find_reports` says which files are reports, and their analyses' ids.

    A file that cannot be read is listed in the result, and the import continues.

    Args:
        labels: a label file, which is applied at the end.
        jobs: the number of worker processes; by default, one a core.
        force: also read files that are stored and unchanged.

    Raises:
        StoreError: the store cannot be read or written. What was stored before stays.
        ReportError: the label file cannot be read. Nothing was imported.
    """
    label_file = read_labels(labels) if labels is not None else None
    passed_over: list[PassedOver] = []
    files = find_reports(paths, passed_over)
    result = ImportResult(found=len(files), passed_over=sorted((other.path, other.reason) for other in passed_over))
    writer = _Writer(store, result)
    tasks = _plan(store, files, result, force, writer.ids)
    count_file = _FileCounter(progress, len(files), len(files) - len(tasks))
    try:
        with closing(_outcomes(tasks, jobs or joblib.cpu_count())) as outcomes:
            for outcome in outcomes:
                writer.add(outcome)
                count_file(outcome.task.file.path)
    finally:
        writer.flush()
    store.fill_behashes()  # of a store that an earlier version wrote
    result.unreadable.sort()
    result.renamed.sort()
    result.remarks.sort()
    result.repeats.sort()
    if label_file is not None:
        _apply_label_file(store, label_file, _ids_by_name(files, writer.ids), result)
    return result


def _ids_by_name(files: Sequence[ReportFile], ids: Mapping[str, str]) -> dict[str, str]:
    """The ids of the imported analyses by the names of their files, as far as these name one analysis."""
    by_name: dict[str, set[str]] = {}
    for file in files:
        if file.path in ids:
            by_name.setdefault(file.analysis, set()).add(ids[file.path])
    return {name: stored.pop() for name, stored in by_name.items() if len(stored) == 1}


def _apply_label_file(
    store: Store, label_file: LabelFile, ids_by_name: Mapping[str, str], result: ImportResult
) -> None:
    result.unknown_labels = apply_labels(store, label_file, ids_by_name)
    result.labelled = len(label_file.families) - len(result.unknown_labels)
    result.bad_label_lines = label_file.bad_lines


class _FileCounter:
    """Counts the files that are done, for the progress callback."""

    def __init__(self, progress: ImportProgress | None, total: int, done: int) -> None:
        self.progress, self.total, self.done = progress, total, done
        if progress is not None and done:
            progress(done, total, "")

    def __call__(self, path: str) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, path)


class _Writer:
    """Collects records and writes them in few transactions."""

    def __init__(self, store: Store, result: ImportResult) -> None:
        self.store, self.result = store, result
        self.waiting: list[tuple[_Task, AnalysisRecord, str]] = []
        self.ids: dict[str, str] = {}  # path -> the id under which its analysis is stored
        self.several: set[str] = set()  # paths of files with several reports
        self.written_at = time.monotonic()

    def add(self, outcome: _Outcome) -> None:
        """Take the records of one file, which are written together: none or all of them are stored."""
        self.result.unreadable += [(outcome.task.file.path, reason) for reason in outcome.reasons]
        self.result.read += len(outcome.records)
        if len(outcome.records) > 1:
            self.several.add(outcome.task.file.path)
        self.waiting += [
            (outcome.task, record, remark) for record, remark in zip(outcome.records, outcome.remarks, strict=True)
        ]
        if len(self.waiting) >= _WRITE_RECORDS or time.monotonic() - self.written_at > _WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        batch, self.waiting = self.waiting, []
        claims = self.store.put_claims([record for _, record, _ in batch])
        for (task, record, remark), claim in zip(batch, claims, strict=True):
            if task.file.path not in self.several:
                self.ids[task.file.path] = claim.analysis
            if not claim.is_new and not task.is_stored:
                self.result.repeats.append((task.file.path, claim.analysis))
                continue
            self.result.stored += 1
            if remark:
                self.result.remarks.append((claim.analysis, remark))
            self.result.without_behaviour += not record.has_behaviour
            suggested = record.analysis if task.file.path in self.several else task.file.analysis
            if claim.is_new and claim.analysis != clean_id(suggested):
                self.result.renamed.append((task.file.path, claim.analysis))
        self.written_at = time.monotonic()


# -- which files are read, and under which ids ------------------------------------------------------------------------


def _plan(
    store: Store, files: Sequence[ReportFile], result: ImportResult, force: bool, ids: dict[str, str]
) -> list[_Task]:
    """The files that are new or have changed, with ids for new analyses.

    The other files are counted in the result, and their analyses are put into ``ids``, by path.
    """
    readable: list[tuple[ReportFile, Source]] = []
    for file in files:
        reason = file.problem
        if reason is None:
            try:
                status = os.stat(file.path)
                readable.append((file, Source(file.path, status.st_size, status.st_mtime_ns, EXTRACTION)))
            except OSError as error:
                reason = (error.strerror or "cannot be accessed").lower()
        if reason is not None:
            result.unreadable.append((file.path, reason))
    stored = store.sources(source.key for _, source in readable)
    tasks = []
    for file, source in readable:
        earlier = stored.get(source.key, [])
        unchanged = [name for name, was in earlier if replace(source, path=was.path) == was]
        if unchanged and not force:
            result.skipped += 1
            ids[file.path] = unchanged[0]
        else:
            tasks.append(_Task(file, source, file.analysis, is_stored=bool(earlier)))
    return _with_free_names(store, tasks)


def _with_free_names(store: Store, tasks: list[_Task]) -> list[_Task]:
    """Give each new file the first of its names that is free, in the order of the files.

    Names are chosen before anything is read. They depend neither on the order in which workers finish nor on where an
    earlier import was interrupted. (Between two imports at the same time, the store decides.)
    """
    names = {
        i: qualified_names(clean_id(task.analysis), task.source, "")
        for i, task in enumerate(tasks)
        if not task.is_stored
    }
    chosen: set[str] = set()
    while names:
        next_names = {i: next(candidates) for i, candidates in names.items()}
        used = store.ids_in_use(next_names.values())
        for i, name in next_names.items():
            if name not in used and name not in chosen:
                chosen.add(name)
                task = tasks[i]
                tasks[i] = _Task(task.file, task.source, name, task.is_stored)
                del names[i]
    return tasks


# -- reading in worker processes --------------------------------------------------------------------------------------


def _outcomes(tasks: Sequence[_Task], jobs: int) -> Generator[_Outcome]:
    """Read all files. The outcomes come in the order of the files, and so do ids that depend on each other."""
    if jobs == 1 or len(tasks) < 2 or sum(task.source.size for task in tasks) < _ALONE_BYTES:
        for task in tasks:
            yield _read(task)
        return
    waiting = deque(enumerate(_chunks(tasks)))
    while waiting:
        handed_out: dict[int, list[_Task]] = {}
        try:
            yield from _in_workers(waiting, handed_out, jobs)
        except TerminatedWorkerError:  # one of these files killed its process, which ended the other workers too
            for chunk in list(handed_out.values()):
                for task in chunk:
                    yield _read_alone(task)


def _in_workers(
    waiting: deque[tuple[int, list[_Task]]], handed_out: dict[int, list[_Task]], jobs: int
) -> Iterator[_Outcome]:
    """Read in workers until no chunk waits. ``handed_out`` has the chunks that the workers are reading.

    Raises:
        TerminatedWorkerError: a worker died.
    """

    def tasks() -> Iterator[object]:
        while waiting:
            number, chunk = waiting.popleft()
            handed_out[number] = chunk
            yield joblib.delayed(_read_chunk)(number, chunk, turns.name)

    turns = tempfile.NamedTemporaryFile(prefix="cuckoo-ml-import-")  # noqa: SIM115  # it is locked by its name
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=1, pre_dispatch="2*n_jobs")
    with workers_ignore_interrupts():
        ready = parallel(tasks())
    try:
        for number, outcomes in ready:
            del handed_out[number]
            yield from outcomes
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # says that results were not used: the next import reads these
            ready.close()
        turns.close()


class _Turn:
    """The right to read what is large after unpacking, which one of the workers has at a time.

    So the memory of all of them is bounded, whatever their files unpack to.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: IO[bytes] | None = None

    def take(self) -> None:
        """Wait for it. Any further call changes nothing."""
        if self.file is None:
            self.file = open(self.path, "rb")  # noqa: SIM115  # closing it gives the turn back
            fcntl.flock(self.file, fcntl.LOCK_EX)

    def give_back(self) -> None:
        """Let another worker go on."""
        if self.file is not None:
            self.file.close()
            self.file = None


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


def _read_chunk(number: int, tasks: list[_Task], turns: str = "") -> tuple[int, list[_Outcome]]:
    return number, [_read(task, _Turn(turns) if turns else None) for task in tasks]


def _read_alone(task: _Task) -> _Outcome:
    """Read a file in a process of its own. If the process dies, that is the reason in the outcome."""
    try:
        # With n_jobs=1, joblib would read the file in this process.
        [(_, [outcome])] = joblib.Parallel(n_jobs=2)([joblib.delayed(_read_chunk)(0, [task])])
    except TerminatedWorkerError:
        return _Outcome.failed(task, "the process that read it was killed, probably because it used too much memory")
    return outcome  # type: ignore[no-any-return]


def _read(task: _Task, turn: _Turn | None = None) -> _Outcome:
    """Read, extract and pack the reports of one file. Any error becomes a reason in the outcome."""
    try:
        return _read_file(task, turn.take if turn else None)
    except CuckooMLError as error:
        return _Outcome.failed(task, str(error))
    except MemoryError:
        return _Outcome.failed(task, "reading it takes more memory than there is")
    except Exception as error:  # a report is hostile input: a bug that it triggers must not stop the import
        return _Outcome.failed(task, f"unexpected {type(error).__name__}: {str(error)[:200]}")
    finally:
        if turn is not None:
            turn.give_back()


def _read_file(task: _Task, on_large: Callable[[], None] | None = None) -> _Outcome:
    """The reports of one file. Raises CuckooMLError for a file that cannot be read.

    Of several, each has the id that its host gave it, else one from the file's name and its place in the file.
    """
    outcome = _Outcome(task, [], [], [])
    names: list[str] = []  # that the reports have as parts of a file of several
    count = 0
    for in_file in read_reports(Path(task.file.path), on_large):
        count += 1
        if in_file.report is None:
            outcome.reasons.append(in_file.reason)
            continue
        name = name_in_file(task.file.analysis, in_file)
        place = name if name not in names else f"{name}/{in_file.place}"
        source = replace(task.source, path=f"{task.source.path}#{place}") if names else task.source
        names.append(place)
        behaviour = extract(in_file.report)
        analysis = name if count > 1 else task.analysis
        outcome.records.append(
            AnalysisRecord.of(analysis, in_file.report, behaviour, labels_of(in_file.report), source)
        )
        outcome.remarks.append(behaviour.remark)
    if count > 1 and names:
        outcome.records[0].analysis = names[0]
    return outcome
