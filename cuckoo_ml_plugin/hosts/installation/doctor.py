"""The examination of an installation, through the host's own loader, its own configuration and its own Python.

It writes nothing, wherever it looks: no home, no table, no compiled module.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.selftest import FAILED, OK, OLD_DAYS, self_checks, spool_state
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home, home_in_use
from cuckoo_ml_plugin.hosts import error_log
from cuckoo_ml_plugin.hosts.installation import cuckoo2
from cuckoo_ml_plugin.hosts.installation.file_systems import place_of_store
from cuckoo_ml_plugin.hosts.installation.installer import Site, changed_pieces
from cuckoo_ml_plugin.hosts.installation.pieces import Piece
from cuckoo_ml_plugin.model.folder import current_id, folder_in_force
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.commands import shell_command
from cuckoo_ml_plugin.plumbing.ownership import user_name
from cuckoo_ml_plugin.plumbing.time_limit import OverdueError, within
from cuckoo_ml_plugin.settings import former_defaults
from cuckoo_ml_plugin.store.inspection import StoreState, inspect_store

_PATIENCE = 60  # seconds that a host may take to load its modules

# Programs that run in a host's Python; each prints one line of JSON: whether the host's loader finds the modules, and
# whether its configuration enables them.
_CAPE_PROGRAM = """
import json, os, sys
root = sys.argv[1]
os.chdir(root); sys.path.insert(0, root)
from lib.cuckoo.core import plugins
from lib.cuckoo.common.config import Config
for kind in ("processing", "reporting"):
    plugins.import_plugin("modules.%s.cuckooml" % kind)
classes = {kind: [cls.__name__ for cls in plugins.list_plugins(kind)] for kind in ("processing", "reporting")}
enabled = {kind: bool(Config(kind).get("cuckooml").enabled) for kind in ("processing", "reporting")}
from cuckoo_ml_plugin.hosts import cape
print(json.dumps({"loaded": all("CuckooML" in names for names in classes.values()), "enabled": all(enabled.values())}))
"""
_CUCKOO2_PROGRAM = """
import json, sys
from cuckoo.misc import set_cwd
set_cwd(sys.argv[1])
import cuckoo.processing, cuckoo.reporting
from cuckoo.common.config import config2
kinds = (cuckoo.processing, cuckoo.reporting)
loaded = all(any(module.__module__.endswith(".cuckooml") for module in kind.plugins) for kind in kinds)
enabled = all(config2(kind, "cuckooml").enabled for kind in ("processing", "reporting"))
print(json.dumps({"loaded": loaded, "enabled": bool(enabled), "command": config2("reporting", "cuckooml").command}))
"""

# Places in the hosts' own templates that the panel and pages need, and what is lost without each.
CAPE_MARKS = {
    "base.html": {
        "{% block content %}": "our pages are empty",
        "{% block header %}": "the navigation has no entry of ours",
    },
    "analysis/report.html": {
        "{% block content %}": "no panel is shown",
        'id="overview"': "the panel is shown above the page instead of in its first tab",
        'id="reportTabs"': "the tab Similar Analyses is missing",
        '<div class="tab-content">': "the tab Similar Analyses is missing",
    },
    "analysis/overview/_info.html": {
        "<!-- Analysis Details Card -->": "the panel is shown above CAPE's detections instead of below them",
    },
    "header.html": {'class="navbar-nav"': "the navigation has no entry of ours"},
}
CUCKOO2_MARKS = {
    "base.html": {"{% block content %}": "our pages are empty"},
    "components/primary-nav.html": {"app-nav__nav--primary": "the menu has no entry of ours"},
    "analysis/pages/summary/index.html": {
        f"analysis/pages/summary/{name}.html": "no panel is shown" for name in ("_file", "_url", "_archive")
    },
}


@dataclass(frozen=True, slots=True)
class Check:
    """One part of an installation; ``message``: its state where it is ok, else what is wrong and what to do."""

    name: str
    ok: bool
    message: str


def examine(site: Site, python: Path, pieces: Sequence[Piece]) -> Iterator[Check]:
    """Check every part of an installation, one after another. Never raises, and writes nothing."""
    home = Home(home_in_use(site.home, *site.earlier))
    yield _checked("files", lambda: _files(pieces, site))
    host_state: dict[str, object] = {}

    def loader() -> str:
        host_state.update(_state_of_host(site, python))
        if not host_state["loaded"]:
            what = "the host's loader does not find the modules"
            raise CuckooMLError(f"{site.root}: {what}; run {site.install_command}")
        return "loaded by the host's own loader"

    yield _checked("modules", loader)
    yield _checked("configuration", lambda: _configuration(host_state, home))
    yield _checked("settings", lambda: _settings(home))
    yield _checked("spool", lambda: _spool(home))
    yield _checked("home", lambda: _home(home, site))
    yield _checked("store", lambda: _store(home))
    yield _checked("place of the store", lambda: place_of_store(home, home.settings()))
    yield _checked("model", lambda: _model(home))
    if site.host == "cuckoo2":
        yield _checked("worker", lambda: _worker(str(host_state.get("command") or "cuckoo-ml"), home))
    yield _checked("web", lambda: _web(site))
    yield _checked("findings", lambda: _findings(home))
    yield _checked("selftest", lambda: _selftest(home))
    yield _checked("errors", lambda: _errors(home))


def _checked(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, within(2 * _PATIENCE, check))
    except OverdueError:
        return Check(
            name, False, f"did not end within {2 * _PATIENCE:g} seconds: a server or a file system does not answer"
        )
    except CuckooMLError as error:
        return Check(name, False, str(error))
    except Exception as error:
        return Check(name, False, f"unexpected {type(error).__name__}: {error}")


def _files(pieces: Sequence[Piece], site: Site) -> str:
    if site.notes().file is None:
        what = f"is missing, so nothing was installed into {site.root}; run {site.install_command}"
        raise CuckooMLError(f"{site.notes_file}: {what}")
    changed = changed_pieces(pieces, site)
    if changed:
        wrong = "; ".join(f"{path}: {state}" for path, state in changed)
        raise CuckooMLError(f"{wrong}; run {site.install_command}")
    return "all in place and unchanged"


def _home(home: Home, site: Site) -> str:
    """Whether it is the home that was installed, where the host leaves it, and its user's own."""
    install = site.install_command
    loss = home.loss()
    if loss is not None:
        raise CuckooMLError(loss)
    if site.named and not Home(site.named).notes_file.exists():
        used = "it has no home yet" if not home.exists else f"the home in use is {home.path}"
        raise CuckooMLError(
            f"{site.named}: the option home names this place, for which no installation is noted, so a loss would not"
            f" be noticed; {used}; run {install}"
        )
    if not home.exists:
        raise CuckooMLError(f"{home.path}: there is no home; run {install}")
    if home.path in site.older or (site.host == "cape" and _is_below(home.path, site.root / "storage")):
        remedy = "which moves the home" if site.named is None else "after the option home names another place"
        raise CuckooMLError(f"{home.path}: the host's clean-up deletes this place; run {install}, {remedy}.")
    foreign = home.foreign_files()
    if foreign:
        raise CuckooMLError(home.mending(foreign))
    open_to_all = [path for path in home.private_paths() if path.stat().st_mode & 0o007]
    if open_to_all:
        raise CuckooMLError(
            f"{', '.join(map(str, open_to_all))}: readable by every user; run"
            f" {shell_command('chmod', 'o-rwx', *open_to_all)}"
        )
    return f"{home.path}, of user {user_name(home.path.stat().st_uid)}"


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _state_of_host(site: Site, python: Path) -> dict[str, object]:
    code = _CAPE_PROGRAM if site.host == "cape" else _CUCKOO2_PROGRAM
    command = [str(python), "-B", "-W", "ignore", "-c", code, str(site.root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CuckooMLError(f"{python}: cannot be run ({error}); name the host's Python with --python.") from error
    except (ValueError, IndexError) as error:
        last = (done.stderr.strip().splitlines() or ["it printed no error"])[-1]
        raise CuckooMLError(f"{python}: the host's modules cannot be loaded ({last[:300]}).") from error


def _configuration(host_state: dict[str, object], home: Home) -> str:
    home.settings()
    if not host_state:
        raise CuckooMLError("could not be read, because the modules could not be loaded; see modules.")
    if not host_state["enabled"]:
        raise CuckooMLError(
            "[cuckooml] is not enabled in the host's processing.conf and reporting.conf; set enabled = yes in both."
        )
    return f"enabled; settings are read from {home.settings_file}"


def _settings(home: Home) -> str:
    """A hint at values that an earlier version wrote into the home; they are valid, and may have been chosen."""
    former = former_defaults(home.settings())
    if not former:
        return "none is a former default"
    return f"former defaults, to be replaced in {home.settings_file} unless they were chosen: {', '.join(former)}"


def _spool(home: Home) -> str:
    """How many analyses wait to be stored, which they do no longer than the store does not answer."""
    state, message = spool_state(home)
    if state != OK:
        raise CuckooMLError(message)
    return message


def _state(home: Home) -> StoreState:
    return inspect_store(home.store_url(home.settings()), current_id(home.models))


def _store(home: Home) -> str:
    state = _state(home)
    if not state.writable:
        raise CuckooMLError(f"{home.store_file}: cannot be written by this user; check who owns it and its folder.")
    if Engine(home).store_is_lost():
        raise CuckooMLError(
            f"{home.store_file}: the store is gone, with all that was stored; restore a backup, or import the reports"
            " again. The next analysis begins a new one."
        )
    if not state.exists:
        return "not begun; the first analysis makes it"
    return f"writable; {state.analyses:,} analyses, {state.with_behaviour:,} with behaviour"


def _model(home: Home) -> str:
    current = current_id(home.models)
    if current is None:
        stored, needed = _state(home).with_behaviour, home.settings().refit.min_analyses
        if stored >= needed:
            raise CuckooMLError(f"there is none, and {stored:,} analyses are stored; run {home.command('refit')}")
        return f"waiting for {needed:,} analyses: {stored:,} are stored; past reports can be imported"
    model = Model.load(folder_in_force(home.models, current))
    model.require_members()
    brief = model.brief()
    fitted = datetime.fromisoformat(brief["fitted_at"].replace("Z", "+00:00"))
    days = max((datetime.now(timezone.utc) - fitted).days, 0)  # a clock may have jumped back
    summary = f"{brief['id']}, {days} days old, {brief['clusters']:,} clusters of {brief['analyses']:,} analyses"
    if days > OLD_DAYS:
        raise CuckooMLError(f"{summary}; check that a timer runs {home.command('refit', '--if-needed')}")
    return summary


def _worker(command: str, home: Home) -> str:
    try:
        process = subprocess.Popen(
            [command, "--home", str(home.path), "worker"], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise CuckooMLError(f"{command}: cannot be run ({error.strerror}); check command in reporting.conf.") from error
    try:
        out, errors = process.communicate(b'{"id": 1, "op": "ping", "bytes": 0}\n', timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise CuckooMLError(
            f"{command}: does not answer within {_PATIENCE} seconds; run it by hand to see why."
        ) from error
    if not out:
        last = (errors.decode(errors="replace").strip().splitlines() or ["it printed no error"])[-1]
        raise CuckooMLError(f"{command}: does not answer ({last[:300]}); check command in reporting.conf.")
    return f"{command} answers"


def _web(site: Site) -> str:
    """Whether the host's own pages still have the places where ours go."""
    if site.host == "cape":
        pages, marks = site.root / "web" / "templates", CAPE_MARKS
    else:
        settings, marks = site.root / cuckoo2.WEB_SETTINGS_FILE, CUCKOO2_MARKS
        if site.package is None:
            raise CuckooMLError("Cuckoo's package is not found; name its environment with --python.")
        pages = site.package / "web" / "templates"
        if not settings.is_file():
            raise CuckooMLError(
                f"{settings}: is missing, so no panel is shown; create it, then run {site.install_command}"
            )
    for name, texts in marks.items():
        try:
            page = (pages / name).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise CuckooMLError(f"{pages / name}: cannot be read ({error.strerror}), so no panel is shown.") from error
        for text, loss in texts.items():
            if text not in page:
                raise CuckooMLError(f"{pages / name}: has no {text} in this version of the host, so {loss}.")
    return "the analysis page has a place for the panel (restart the web interface after an installation)"


def _findings(home: Home) -> str:
    """How many stored findings come from the model in force."""
    counts = _state(home).clusters
    return f"{sum(counts.values()):,} from the model in force, {counts.get(None, 0):,} of them in no cluster"


def _selftest(home: Home) -> str:
    """What ``cuckoo-ml selftest`` finds in the home without opening the store, as an examination changes nothing."""
    if not home.exists:
        return "nothing to test yet"
    checks = list(self_checks(home, untouched=True))
    failed = [f"{check.name}: {check.message}" for check in checks if check.state == FAILED]
    if failed:
        raise CuckooMLError("; ".join(failed))
    warnings = [f"{check.name}: {check.message}" for check in checks if check.state != OK]
    found = f"warnings: {'; '.join(warnings)}" if warnings else "model, disk and rights are well"
    return f"{found}; the store and its findings are tested by {home.command('selftest')}"


def _errors(home: Home) -> str:
    """The latest error in a host; for a day the check fails on it."""
    latest = error_log.latest(home.path)
    if latest is None:
        return "none"
    time, message = latest
    error = f"{time:%Y-%m-%d %H:%M} UTC, {message}"
    if datetime.now(timezone.utc) - time < timedelta(days=1):
        raise CuckooMLError(f"latest: {error} (all of them: {home.path / error_log.FILE})")
    return f"none in the last day; latest: {error}"
