"""Commands about the plugin inside a sandbox: ``install``, ``uninstall`` and ``doctor``."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import answer_json, answers, safe, table
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts import cape, installer, schedule
from cuckoo_ml_plugin.hosts.cuckoo2 import pieces as cuckoo2
from cuckoo_ml_plugin.hosts.layout import Piece

HOSTS = click.Choice(["cuckoo2", "cape"])
_host = click.option("--host", type=HOSTS, required=True, help="Which sandbox.")
_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="cape: its folder; cuckoo2: the Cuckoo Working Directory.",
)
_force = click.option("--force", is_flag=True, help="Also where a file was changed; the changed one is kept aside.")


@click.command()
@_host
@_root
@click.option("--python", type=click.Path(path_type=Path), help="cuckoo2: the Python 2.7 environment with Cuckoo.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@_force
@click.option(
    "--refit",
    type=click.Choice(["systemd", "cron", "none"]),
    default=None,
    help="How refits run by themselves (default: systemd as root where it runs, else the line for cron is shown).",
)
@click.option("--unit-dir", type=click.Path(path_type=Path), default=schedule.UNIT_FOLDER, hidden=True)
def install(
    host: str, root: Path, python: Path | None, dry_run: bool, force: bool, refit: str | None, unit_dir: Path
) -> None:
    """Put the plugin's modules, configuration and home into a sandbox; may be run again."""
    root = root.absolute()
    home = _home_of(host, root)
    refit = refit or ("systemd" if os.geteuid() == 0 and Path("/run/systemd/system").is_dir() else "cron")
    pieces = _pieces(host, root, python)
    if refit == "systemd":
        pieces += schedule.units(home.path, pwd.getpwuid(root.stat().st_uid).pw_name, unit_dir)
    if dry_run:
        _show("What would be done", installer.plan_install(pieces, root, home.path, force=force), root)
        return
    steps = installer.plan_install(pieces, root, home.path, force=force)  # refuses before anything is made
    home.create()
    installer.install(pieces, root, home.path, force=force)
    _give_to_owner(home.path, root)
    _show("Installed", steps, root)
    answers.print(safe(f"Home: {home.path}", 500), soft_wrap=True)
    _say_what_is_left(host, home, refit)


@click.command()
@_host
@_root
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@_force
@click.option("--purge", is_flag=True, help="Remove the home as well, with all that was stored and learned.")
def uninstall(host: str, root: Path, dry_run: bool, force: bool, purge: bool) -> None:
    """Take away what install put there; the home, with store and models, stays unless --purge."""
    root = root.absolute()
    home = _home_of(host, root)
    _show(
        "What would be done" if dry_run else "Uninstalled",
        installer.uninstall(root, home.path, dry_run=dry_run, force=force),
        root,
    )
    if purge and not dry_run:
        shutil.rmtree(home.path.resolve())
        home.path.unlink(missing_ok=True)  # a link to where the home was
    elif not dry_run:
        answers.print(safe(f"{home.path} stays, with what was stored and learned; --purge removes it.", 500))


@click.command()
@_host
@_root
@click.option(
    "--python", type=click.Path(path_type=Path), help="The host's Python (default: this one; cuckoo2: that of cuckoo)."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def doctor(host: str, root: Path, python: Path | None, as_json: bool) -> None:
    """Look at an installation from inside; each line is ok, or says what to do."""
    from cuckoo_ml_plugin.hosts.doctor import examine

    root = root.absolute()
    home = _home_of(host, root)
    checks = list(examine(host, root, home, _interpreter(host, python)))
    if as_json:
        answer_json([{"check": one.name, "ok": one.ok, "said": one.said} for one in checks])
    else:
        rows = [("ok" if one.ok else "WRONG", one.name, safe(one.said, 600)) for one in checks]
        answers.print(table(f"cuckoo-ml in {root}", ["", "", ""], rows))
    if not all(one.ok for one in checks):
        raise click.exceptions.Exit(1)


def _interpreter(host: str, python: Path | None) -> Path:
    if python is not None:
        return python / "bin" / "python" if python.is_dir() else python
    found = shutil.which("cuckoo") if host == "cuckoo2" else None
    return Path(found).resolve().parent / "python" if found else Path(sys.executable)


def _home_of(host: str, root: Path) -> Home:
    if host == "cape" and not cape.is_root(root):
        raise CuckooMLError(f"{root}: is not CAPE's folder (it has no lib/cuckoo/core/plugins.py); check --root.")
    if host == "cuckoo2" and not cuckoo2.is_root(root):
        raise CuckooMLError(f"{root}: is no Cuckoo Working Directory (it has no conf/processing.conf); check --root.")
    return Home(root / (cape.HOME if host == "cape" else cuckoo2.HOME))


def _pieces(host: str, root: Path, python: Path | None) -> list[Piece]:
    if host == "cape":
        return list(cape.pieces(root))
    return cuckoo2.pieces(root, cuckoo2.package_of(python), schedule.command())


def _give_to_owner(home: Path, root: Path) -> None:
    """What root makes for a host must be the host's to write."""
    if os.geteuid() != 0:
        return
    owner = root.stat()
    for path in (home, *home.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _show(title: str, steps: list[installer.Step], root: Path) -> None:
    rows = [
        (step.what, step.path.relative_to(root) if step.path.is_relative_to(root) else step.path, step.note)
        for step in steps
    ]
    answers.print(table(title, ["what", "file", ""], rows))


def _say_what_is_left(host: str, home: Home, refit: str) -> None:
    left = [f"Take in what was analysed before: cuckoo-ml --home {home.path} import {home.path.parent / 'analyses'}"]
    if refit == "systemd":
        left.append("Start the timer: systemctl daemon-reload && systemctl enable --now cuckoo-ml-refit.timer")
    elif refit == "cron":
        left.append(f"Add to the crontab of {host}'s user: {schedule.cron_line(home.path)}")
    left.append(f"Restart {host}'s processing, which reads its modules once.")
    for line in left:
        answers.print(safe(f"- {line}", 600), soft_wrap=True)
