"""The examination of a home in place, for admins and their monitoring. It changes nothing that is stored."""

from __future__ import annotations

import math
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.engine.arrivals.spool import MOST_FILES, Spool
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id, folder_in_force, read_model
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.commands import shell_command
from cuckoo_ml_plugin.plumbing.text import counted
from cuckoo_ml_plugin.plumbing.time_limit import OverdueError, within
from cuckoo_ml_plugin.store.database import parse_url
from cuckoo_ml_plugin.store.finding_record import FindingRecord
from cuckoo_ml_plugin.store.inspection import damage_of_server, inspect_store

OK: Final = "ok"
WARNING: Final = "warning"
FAILED: Final = "failed"
STATES: Final = (OK, WARNING, FAILED)  # a state's place is the exit code of the command

_FINDINGS: Final = 100
_SECONDS: Final = 30.0  # for the check of the store's file or tables, and as long again for the findings
_LONGEST: Final = 120.0  # seconds of a check: a server or a file system may not answer at all
OLD_DAYS: Final = 30
_LITTLE_DISK: Final = 2**30
_NO_DISK: Final = 100 * 2**20
_ROUNDING: Final = 1e-4  # a section has four decimals of what a refit stores whole
_STEPS: Final = 100_000  # of SQLite's machine between two looks at the clock


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """One check: ``message`` says what is well, or what is wrong and what to do."""

    name: str
    state: str
    message: str


def self_checks(home: Home, *, untouched: bool = False) -> Iterator[SelfCheck]:
    """Every check of a home, one after another. Never raises for what is wrong with the home.

    ``untouched``: only those that open no store. SQLite tidies the log beside an SQLite file whenever it is opened.
    """
    for name, check in _CHECKS.items():
        if not untouched or name not in _OPENING:
            yield _checked(name, check, home)


def _checked(name: str, check: Callable[[Home], tuple[str, str]], home: Home) -> SelfCheck:
    try:
        return SelfCheck(name, *within(_LONGEST, lambda: check(home)))
    except OverdueError:
        return SelfCheck(name, FAILED, f"did not end within {_LONGEST:.0f} s: see that server and file system answer.")
    except (CuckooMLError, OSError) as error:
        return SelfCheck(name, FAILED, str(error))
    except Exception as error:  # a damaged home may raise anything, and the other checks are still to be made
        return SelfCheck(name, FAILED, f"unexpected {type(error).__name__}: {str(error)[:300]}")


def _store(home: Home) -> tuple[str, str]:
    """Whether the database can be read, has its tables and is undamaged, as far as SQLite or the server can tell."""
    location = home.store_url(home.settings())
    url = parse_url(location)
    name, note = url.render_as_string(), ""
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        name = str(file)
        restore = home.command("restore", "FILE", "--force")
        if not file.exists() or not file.stat().st_size:
            if current_id(home.models) is None:
                return OK, "not begun; the first analysis makes it"
            return FAILED, f"{name}: is gone or empty; restore a backup ({restore}), or import the reports again."
        damage = _damage_of(file)
        if damage is None:
            note = f"; {name} could not be checked whole within {_SECONDS:.0f} s: {_by_hand(file)} does that"
        elif damage:
            return FAILED, (
                f"{name}: is damaged ({damage}); restore a backup ({restore}), or move it away and import the reports"
                " again."
            )
    else:
        damage = damage_of_server(location, _SECONDS)
        if damage is None:
            note = f"; {name} could not be checked whole within {_SECONDS:.0f} s: PostgreSQL's pg_amcheck does that"
        elif damage:
            return FAILED, (
                f"{name}: is damaged ({damage}); an index is made again by REINDEX INDEX, and rows come back from a"
                " backup of the database (pg_dump) or an import of the reports."
            )
    state = inspect_store(location, None)
    if not state.exists:
        return FAILED, f"{name}: has no tables; restore a backup, or import the reports again."
    if not state.writable:
        return FAILED, f"{name}: cannot be written by this user; check who owns it and its folder."
    text = f"{counted(state.analyses, 'analysis', 'analyses')}, {state.with_behaviour:,} with behaviour"
    return WARNING if note else OK, text + note


def _by_hand(file: Path) -> str:
    return shell_command("sqlite3", "-readonly", file, "PRAGMA quick_check")


def _damage_of(file: Path) -> str | None:
    """What SQLite finds wrong with a file, "" for nothing; None if the time was not enough."""
    end = time.monotonic() + _SECONDS
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=10)) as connection:
            connection.execute("PRAGMA query_only = on")  # a connection with mode=ro leaves its files behind
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if "interrupt" in str(error):
            return None
        return str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)[:300]


def _model(home: Home) -> tuple[str, str]:
    """Whether every array of the model in force is as it was fitted."""
    current = current_id(home.models)
    if current is None:
        settings = home.settings()
        stored = inspect_store(home.store_url(settings), None).with_behaviour
        needed = settings.refit.min_analyses
        have = f"{counted(stored, 'analysis', 'analyses')} with behaviour {'is' if stored == 1 else 'are'} stored"
        if stored >= needed:
            return WARNING, f"none yet, though {have}; run {home.command('refit')}"
        return OK, f"none yet: {have}, and a model needs {needed:,}"
    Model.load(folder_in_force(home.models, current)).require_members()
    return OK, f"{current}: all checksums are right"


def _findings(home: Home) -> tuple[str, str]:
    """Whether analyses from all over the store get the cluster and the kin that are stored of them.

    A day's recalibration moves anomaly scores, and analyses stored since then the similar ones: neither is compared.
    """
    engine = Engine(home, patience=_SECONDS)
    model = engine.model()
    if model is None:
        return OK, "none without a model"
    if engine.store_is_lost():  # opening it would begin a new one
        return FAILED, "cannot be read: the store is gone"
    with closing(engine.store):
        return _compared(engine, model, home)


def _compared(engine: Engine, model: Model, home: Home) -> tuple[str, str]:
    end = time.monotonic() + _SECONDS
    names: list[str] = []
    for part in engine.store.split(_FINDINGS):
        pages = engine.store.analyses_in_order(part, batch=1, behaviours=False, with_behaviour_only=True)
        names += [stored.analysis for stored in islice(pages, 1)]
    compared, others, different = 0, 0, []
    for name, stored in sorted(engine.store.findings_of(names).items()):
        if stored.model != model.id:
            others += 1
            continue
        if time.monotonic() > end:
            break
        finding = engine.score_stored(name)
        fresh = FindingRecord.of(name, finding.section()) if finding is not None else None
        if fresh is None or fresh.model != model.id:  # it was forgotten, or a refit has just ended
            continue
        compared += 1
        if not _agree(stored, fresh):
            different.append(name)
    if different:
        shown = ", ".join(different[:3]) + (f" and {len(different) - 3:,} more" if len(different) > 3 else "")
        return FAILED, (
            f"{len(different):,} of {counted(compared, 'stored finding')} differ from a fresh scoring ({shown}): what"
            f" is stored was altered; run {home.command('refit')}, which makes all findings again"
        )
    refresh = home.command("refresh")
    if others:
        return WARNING, f"{others:,} of {counted(others + compared, 'finding')} are of another model; run {refresh}"
    if not compared:
        return WARNING, f"none is stored of the model in force; run {refresh}"
    return OK, f"{counted(compared, 'stored finding')} {'agrees' if compared == 1 else 'agree'} with a fresh scoring"


def _agree(stored: FindingRecord, fresh: FindingRecord) -> bool:
    """Whether both say the same of cluster and kin.

    Where there is none, there is no probability to compare: a refit stores 0 for it, a scoring nothing.
    """
    groups = (
        (stored.cluster, stored.probability, fresh.cluster, fresh.probability),
        (stored.kin, stored.kin_probability, fresh.kin, fresh.kin_probability),
    )
    return all(
        group == fresh_group and (group is None or _is_near(probability, fresh_probability))
        for group, probability, fresh_group, fresh_probability in groups
    )


def _is_near(stored: float | None, fresh: float | None) -> bool:
    return stored is not None and fresh is not None and math.isclose(stored, fresh, rel_tol=0, abs_tol=_ROUNDING)


def _disk(home: Home) -> tuple[str, str]:
    free = shutil.disk_usage(home.path).free
    text = f"{free / 2**30:,.1f} GB free"
    if free < _LITTLE_DISK:
        state = FAILED if free < _NO_DISK else WARNING
        return state, f"{text}; free space, or run {home.command('models', 'prune')}"
    return OK, text


def _permissions(home: Home) -> tuple[str, str]:
    """Whether everything in the home is its owner's, and nobody else may write it."""
    foreign = home.foreign_files()
    if foreign:
        return FAILED, home.mending(foreign)
    paths = [*home.private_paths(), home.id_file, *home.models.rglob("*"), *home.spool.glob("*")]
    open_to_all = [path for path in paths if _is_open_to_all(path)]
    if open_to_all:
        names = ", ".join(map(str, open_to_all[:3]))
        more = f" and {len(open_to_all) - 3:,} more" if len(open_to_all) > 3 else ""
        return FAILED, f"{names}{more}: writable by every user; run {shell_command('chmod', '-R', 'o-w', home.path)}"
    return OK, "everything is its owner's, and nothing writable by every user"


def _is_open_to_all(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:  # it was replaced meanwhile
        return False
    return not stat.S_ISLNK(status.st_mode) and bool(status.st_mode & 0o002)


def _refit(home: Home) -> tuple[str, str]:
    """How long ago the model in force was fitted."""
    current = current_id(home.models)
    if current is None:
        return OK, "none yet; see model"
    facts, _ = read_model(folder_in_force(home.models, current))
    fitted = datetime.fromisoformat(str(facts["fitted_at"]).replace("Z", "+00:00"))
    days = max((datetime.now(timezone.utc) - fitted).days, 0)  # a clock may have jumped back
    text = f"{counted(days, 'day')} ago" if days else "within the last day"
    if days > OLD_DAYS:
        return WARNING, f"{text}; check that a timer runs {home.command('refit', '--if-needed')}"
    return OK, text


def spool_state(home: Home) -> tuple[str, str]:
    """Whether analyses wait to be stored, which they do only while the store does not answer; and a sentence on it."""
    spool = Spool(home)
    unreadable = spool.unreadable()
    if unreadable:
        return FAILED, (
            f"{counted(len(unreadable), 'file')} in {spool.folder} cannot be read, such as {unreadable[0].name}: import"
            " the reports of that time, then remove them"
        )
    waiting = spool.count()
    if waiting:
        return FAILED if waiting >= MOST_FILES else WARNING, (
            f"{counted(waiting, 'analysis', 'analyses')} in {spool.folder} wait to be stored: see that the store"
            f" answers; the next analysis stores some, and this one stores all: {home.command('refit', '--if-needed')}"
        )
    return OK, "nothing waits to be stored"


_CHECKS: Final = {
    "store": _store,
    "model": _model,
    "findings": _findings,
    "disk": _disk,
    "permissions": _permissions,
    "refit": _refit,
    "spool": spool_state,
}
_OPENING: Final = ("store", "findings")
