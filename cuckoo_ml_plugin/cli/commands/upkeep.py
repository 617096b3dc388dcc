"""Commands that keep a home and take from it: ``backup``, ``restore``, ``forget`` and ``selftest``."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cuckoo_ml_plugin.cli.console import print_json, progress_bar, safe_text, short_hash, stderr, stdout, table
from cuckoo_ml_plugin.cli.late import store_late_analyses
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.ownership import become_owner
from cuckoo_ml_plugin.plumbing.text import counted
from cuckoo_ml_plugin.plumbing.times import utc_text

if TYPE_CHECKING:
    from cuckoo_ml_plugin.engine.forget import Chosen, Forgotten

_SHOWN = 50  # analyses that a table lists; the total stands above it
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def backup(home: Home, file: Path, as_json: bool) -> None:
    """Write the home into FILE (a gzipped tar): settings, store, models, what waits; safe while the host works."""
    from cuckoo_ml_plugin.engine.archive.backup import back_up

    with progress_bar("Copying") as update_bar:
        made = back_up(home, file, update_bar)
    for note in made.notes:
        stderr.print(safe_text(note, 600), style="yellow", soft_wrap=True)
    if as_json:
        print_json({"file": str(file), "files": made.files, "bytes": made.size, "models": made.models,
                    "waiting": made.waiting, "current": made.current, "store": made.store,
                    "notes": made.notes})  # fmt: skip
        return
    models = "1 model" if made.models == 1 else f"{made.models} models"
    store = "the store" if made.store == "sqlite" else "without the rows of the store"
    waiting = f"; waiting to be stored: {counted(made.waiting, 'analysis', 'analyses')}" if made.waiting else ""
    stdout.print(
        safe_text(f"{file}: {made.files} files ({made.size:,} bytes unpacked), {store}, {models}{waiting}.", 600),
        soft_wrap=True,
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Set a home that is there aside, under another name.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def restore(home: Home, file: Path, force: bool, as_json: bool) -> None:
    """Make the home what it was when FILE was written by backup; everything is checked before anything changes."""
    from cuckoo_ml_plugin.engine.archive.restore import restore as restore_home

    with progress_bar("Unpacking") as update_bar:
        made = restore_home(home, file, force=force, progress=update_bar)
    for note in made.notes:
        stderr.print(safe_text(note, 600), style="yellow", soft_wrap=True)
    aside = str(made.aside) if made.aside else None
    if as_json:
        print_json({"home": str(home.path), "made_at": made.made_at, "files": made.files, "waiting": made.waiting,
                    "current": made.current, "aside": aside, "notes": made.notes})  # fmt: skip
        return
    stdout.print(safe_text(f"{home.path}: restored as it was at {made.made_at}.", 600), soft_wrap=True)
    if made.waiting:
        waiting = counted(made.waiting, "analysis", "analyses")
        stdout.print(f"To be stored by the next analysis or refit: {waiting}.", soft_wrap=True)
    if aside:
        stdout.print(safe_text(f"The home that was there is now {aside}.", 600), soft_wrap=True)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.option("--home", "own_home", type=click.Path(path_type=Path), help="The home, if it is not named before.")
@click.pass_obj
def selftest(home: Home, own_home: Path | None, as_json: bool) -> int:
    """Check store, model, findings, disk and rights of the home; exit code 0 (ok), 1 (warning) or 2 (failed)."""
    from cuckoo_ml_plugin.engine.selftest import FAILED, OK, STATES, self_checks

    home = Home(own_home.absolute()) if own_home else home
    become_owner(home.path)  # SQLite makes files beside the store while it is read
    try:
        home.require()
        checks = list(self_checks(home))
    except KeyboardInterrupt:
        stderr.print("Interrupted; nothing was changed.", style="yellow")
        return STATES.index(FAILED)
    except CuckooMLError as error:
        stderr.print(safe_text(f"Error: {error}", 2000), style="red", soft_wrap=True)
        return STATES.index(FAILED)
    worst = max((check.state for check in checks), key=STATES.index, default=OK)
    if as_json:
        print_json({"home": str(home.path), "state": worst, "checks": [
            {"name": check.name, "state": check.state, "message": check.message} for check in checks
        ]})  # fmt: skip
    else:
        for check in checks:
            stdout.print(safe_text(f"{check.state:8} {check.name}: {check.message}", 2000), soft_wrap=True)
    return STATES.index(worst)


@click.command()
@click.argument("analyses", nargs=-1)
@click.option("--sha256", metavar="H", help="Forget all analyses of the file with this SHA-256.")
@click.option("--before", metavar="DATE", help="Forget the analyses made before a day, such as 2025-01-31 (UTC).")
@click.option("--deleted-in-host", is_flag=True, help="Forget the analyses whose task this host has deleted.")
@click.option(
    "--host-root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The host's folder, which holds storage/analyses (default: the one that install noted in the home).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be forgotten, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def forget(
    home: Home,
    analyses: tuple[str, ...],
    sha256: str | None,
    before: str | None,
    deleted_in_host: bool,
    host_root: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Forget ANALYSES for good: record, labels, findings, threat scores, and their names in all models, at once.

    It asks nothing; --dry-run shows what would go. A refit need not follow: models stay in force and score as before.
    """
    from cuckoo_ml_plugin.engine import forget as forgetting

    if [bool(analyses), sha256 is not None, before is not None, deleted_in_host].count(True) != 1:
        raise click.UsageError("Name analyses, or give one of --sha256, --before and --deleted-in-host.")
    if host_root is not None and not deleted_in_host:
        raise click.UsageError("--host-root goes with --deleted-in-host.")
    engine = Engine(home)
    store_late_analyses(engine)  # what waits is forgotten like what is stored
    if sha256 is not None:
        if not _SHA256.fullmatch(sha256):
            raise click.UsageError("--sha256 takes the 64 hexadecimal digits of a file's SHA-256.")
        chosen = forgetting.choose_file(engine, sha256.lower())
    elif before is not None:
        chosen = forgetting.choose_before(engine, _moment(before))
    elif deleted_in_host:
        chosen = forgetting.choose_deleted(engine, _storage(home, host_root))
    else:
        chosen = forgetting.choose(engine, analyses)
    if dry_run:
        models = forgetting.models_that_name(engine, chosen)
        _show_chosen(chosen, None, models, as_json)
        return
    with progress_bar("Models") as update_bar:
        forgotten = forgetting.forget(engine, chosen, update_bar)
    _show_chosen(chosen, forgotten, forgotten.models, as_json)
    if forgotten.unreadable:
        raise click.exceptions.Exit(1)


def _moment(day: str) -> str:
    try:
        return utc_text(datetime.fromisoformat(day))
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"--before: {day!r} is no date; write it as 2025-01-31.") from error


def _storage(home: Home, root: Path | None) -> Path:
    """The host's ``storage/analyses``. Raises CuckooMLError where nothing tells which host that is."""
    if root is None:
        noted = home.host_analyses()
        if noted is None:
            raise CuckooMLError(
                f"{home.path}: it is not noted which host this home belongs to; name its folder with --host-root."
            )
        return noted
    return root / "storage" / "analyses"


def _show_chosen(chosen: Chosen, forgotten: Forgotten | None, models: list[str], as_json: bool) -> None:
    """What was forgotten, or would be (``forgotten`` is None)."""
    stored = chosen.stored
    reports = [analysis.source_path for analysis in stored if analysis.source_path and _is_file(analysis.source_path)]
    if as_json:
        print_json(
            {
                "forgotten": forgotten is not None,
                "analyses": sorted(chosen.names),
                "stored": len(stored),
                "models": models,
                "findings": forgotten.findings if forgotten else None,
                "reports": reports,
                "unreadable_models": forgotten.unreadable if forgotten else [],
            }
        )
        return
    rows = [
        (analysis.analysis, short_hash(analysis.sha256), analysis.target, (analysis.analysed_at or "")[:10],
         analysis.label or "") for analysis in stored[:_SHOWN]
    ]  # fmt: skip
    title = (
        f"{'Would be forgotten' if forgotten is None else 'Forgotten'}: {counted(len(stored), 'analysis', 'analyses')}"
    )
    stdout.print(table(title, ["analysis", "SHA-256", "target", "date", "label"], rows))
    if len(stored) > _SHOWN:
        stdout.print(f"and {len(stored) - _SHOWN:,} more; --json lists all.")
    only_named = len(chosen.names) - len(stored)
    if only_named:
        stdout.print(f"{only_named:,} more that only a model still names.")
    verb = "Models that name them" if forgotten is None else "Models that no longer name them"
    stdout.print(f"{verb}: {len(models)}.")
    if forgotten is not None:
        stdout.print(f"Findings of other analyses that no longer mention them: {forgotten.findings:,}.")
        for name in forgotten.unreadable:
            stdout.print(
                safe_text(f"Model {name} cannot be read, so names in it stay; remove its folder from the home.", 300)
            )
        if chosen.names:
            stdout.print("The host's own reports that mention them change with refresh --reports or --mongodb.")
    if reports:
        stdout.print(safe_text(_reports_left(reports), 600), soft_wrap=True)


def _reports_left(reports: list[str]) -> str:
    if len(reports) == 1:
        return f"One report is still there, {reports[0]}; an import of that folder stores it again."
    some = f"{len(reports):,} of the reports are still there, such as {reports[0]}"
    return f"{some}; an import of that folder stores them again."


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
