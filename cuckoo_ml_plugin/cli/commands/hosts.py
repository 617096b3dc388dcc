"""Commands for the plugin inside a sandbox: ``install``, ``uninstall`` and ``doctor``."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import print_json, safe_text, stdout, table
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.installation import cape, cuckoo2, installer, schedule
from cuckoo_ml_plugin.hosts.installation.pieces import Piece

HOSTS = click.Choice(["cuckoo2", "cape"])
_host = click.option("--host", type=HOSTS, required=True, help="Which sandbox.")
_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="CAPE's folder, or the Cuckoo Working Directory.",
)
_force = click.option("--force", is_flag=True, help="Replace changed files too, and keep each under another name.")


@click.command()
@_host
@_root
@click.option("--python", type=click.Path(path_type=Path), help="For cuckoo2: the Python 2.7 environment with Cuckoo.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@_force
@click.option(
    "--refit",
    type=click.Choice(["systemd", "cron", "none"]),
    default=None,
    help="How refits are scheduled (default: systemd for root where it runs, otherwise a line for cron is shown).",
)
@click.option("--unit-dir", type=click.Path(path_type=Path), default=schedule.UNIT_FOLDER, hidden=True)
def install(
    host: str, root: Path, python: Path | None, dry_run: bool, force: bool, refit: str | None, unit_dir: Path
) -> None:
    """Install the plugin's modules, configuration and home in a sandbox; running it again is safe."""
    root = root.absolute()
    home = _home_of(host, root)
    refit = refit or ("systemd" if os.geteuid() == 0 and Path("/run/systemd/system").is_dir() else "cron")
    pieces = _pieces(host, root, python)
    if refit == "systemd":
        pieces += schedule.units(home.path, pwd.getpwuid(root.stat().st_uid).pw_name, unit_dir)
    if dry_run:
        _show("Planned changes", installer.plan_install(pieces, root, home.path, force=force), root)
        return
    steps = installer.plan_install(pieces, root, home.path, force=force)  # refuses before anything is made
    home.create()
    installer.install(pieces, root, home.path, force=force)
    _give_to_owner(home.path, root)
    _show("Installed", steps, root)
    stdout.print(safe_text(f"Home: {home.path}", 500), soft_wrap=True)
    _show_next_steps(host, home, refit)


@click.command()
@_host
@_root
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@_force
@click.option("--purge", is_flag=True, help="Remove the home as well, with store and models.")
def uninstall(host: str, root: Path, dry_run: bool, force: bool, purge: bool) -> None:
    """Remove what install added; the home, with store and models, stays unless --purge is given."""
    root = root.absolute()
    home = _home_of(host, root)
    _show(
        "Planned changes" if dry_run else "Uninstalled",
        installer.uninstall(root, home.path, dry_run=dry_run, force=force),
        root,
    )
    if purge and not dry_run:
        shutil.rmtree(home.path.resolve())
        home.path.unlink(missing_ok=True)  # the home may be a link
    elif not dry_run:
        stdout.print(safe_text(f"{home.path} the home stays, with store and models; --purge removes it.", 500))


@click.command()
@_host
@_root
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    help="The host's Python (default: this one; for cuckoo2, that of the command cuckoo).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def doctor(host: str, root: Path, python: Path | None, as_json: bool) -> None:
    """Check an installation from inside; each line is ok, or says what to do."""
    from cuckoo_ml_plugin.hosts.installation.doctor import examine

    root = root.absolute()
    home = _home_of(host, root)
    checks = list(examine(host, root, home, _interpreter(host, python)))
    if as_json:
        print_json([{"check": check.name, "ok": check.ok, "said": check.message} for check in checks])
    else:
        rows = [("ok" if check.ok else "WRONG", check.name, safe_text(check.message, 600)) for check in checks]
        stdout.print(table(f"cuckoo-ml in {root}", ["", "", ""], rows))
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)


def _interpreter(host: str, python: Path | None) -> Path:
    if python is not None:
        return python / "bin" / "python" if python.is_dir() else python
    cuckoo = shutil.which("cuckoo") if host == "cuckoo2" else None
    return Path(cuckoo).resolve().parent / "python" if cuckoo else Path(sys.executable)


def _home_of(host: str, root: Path) -> Home:
    if host == "cape" and not cape.is_root(root):
        raise CuckooMLError(f"{root}: this is not CAPE's folder (it has no lib/cuckoo/core/plugins.py); check --root.")
    if host == "cuckoo2" and not cuckoo2.is_root(root):
        raise CuckooMLError(
            f"{root}: this is not a Cuckoo Working Directory (it has no conf/processing.conf); check --root."
        )
    return Home(root / (cape.HOME if host == "cape" else cuckoo2.HOME))


def _pieces(host: str, root: Path, python: Path | None) -> list[Piece]:
    if host == "cape":
        return list(cape.pieces(root))
    return cuckoo2.pieces(root, cuckoo2.package_of(python), schedule.command())


def _give_to_owner(home: Path, root: Path) -> None:
    """Give the home that root made to the owner of the host's folder, who must be able to write to it."""
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
    stdout.print(table(title, ["what", "file", ""], rows))


def _show_next_steps(host: str, home: Home, refit: str) -> None:
    steps = [f"Import the past analyses: cuckoo-ml --home {home.path} import {home.path.parent / 'analyses'}"]
    if refit == "systemd":
        steps.append("Start the timer: systemctl daemon-reload && systemctl enable --now cuckoo-ml-refit.timer")
    elif refit == "cron":
        steps.append(f"Add to the crontab of {host}'s user: {schedule.cron_line(home.path)}")
    steps.append(f"Restart {host}'s processing: it loads its modules only when it starts.")
    for step in steps:
        stdout.print(safe_text(f"- {step}", 600), soft_wrap=True)
