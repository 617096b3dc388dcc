"""Commands for the plugin inside a sandbox: ``install``, ``uninstall`` and ``doctor``."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import print_json, safe_text, stderr, stdout, table
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.installation import cape, cuckoo2, home_place, installer, schedule, sharing
from cuckoo_ml_plugin.hosts.installation.installer import Site
from cuckoo_ml_plugin.hosts.installation.pieces import Piece
from cuckoo_ml_plugin.plumbing.ownership import become_owner, user_name

_LONGEST = 4000  # characters of a line with a command, which must not be cut
_RESTART = {
    "cape": "Restart CAPE, which loads modules only when it starts: systemctl restart cape-processor cape-web",
    "cuckoo2": "Restart Cuckoo, its processing and its web interface, which load modules only when they start.",
}
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
    site = _site(host, root.absolute(), python, required=True)
    refit = refit or ("systemd" if os.geteuid() == 0 and Path("/run/systemd/system").is_dir() else "cron")
    if refit == "systemd":
        site = replace(site, units=unit_dir)
    pieces = _pieces(site)
    steps = [*home_place.plan_move(site), *installer.plan_install(pieces, site, force=force)]  # refuses first
    if dry_run:
        _show("Planned changes", steps, site.root)
        return
    home_id = home_place.make_home(site)
    installer.install(pieces, site, force=force, home_id=home_id)
    if site.package is not None:
        sharing.add_user(site.package, site.root, site.files)
    _show("Installed", steps, site.root)
    home = Home(site.home)
    stdout.print(safe_text(f"Home: {home.path}", 500), soft_wrap=True)
    _show_next_steps(site, refit, [step.path for step in steps if schedule.is_timer(step.path)])


@click.command()
@_host
@_root
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@_force
@click.option("--purge", is_flag=True, help="Remove the home as well, with store and models.")
@click.option("--python", type=click.Path(path_type=Path), help="As for install (default: the one given to it).")
@click.option("--unit-dir", type=click.Path(path_type=Path), default=None, hidden=True)
def uninstall(
    host: str, root: Path, dry_run: bool, force: bool, purge: bool, python: Path | None, unit_dir: Path | None
) -> None:
    """Remove what install added; the home, with store and models, stays unless --purge is given."""
    site = _site(host, root.absolute(), python, required=False)
    noted_units = site.notes().units
    may_read = os.geteuid() == site.root.stat().st_uid  # the host's user can write the notes
    units = unit_dir or (Path(noted_units) if noted_units and may_read else schedule.UNIT_FOLDER)
    site = replace(site, units=units)
    if purge and not dry_run:
        home_place.refuse_purge_if_busy(site)
    steps = installer.uninstall(_pieces(site), site, dry_run=dry_run, force=force)
    if site.package is not None and not dry_run:
        sharing.remove_user(site.package, site.root, site.files)
    for link in home_place.links_to_home(site):
        steps.append(installer.Step("remove", link, "which led to the home"))
        if not dry_run:
            site.files.remove(link)
    _show("Planned changes" if dry_run else "Uninstalled", steps, site.root)
    if purge and not dry_run:
        home_place.purge(site)
    elif not dry_run and Home(site.home).exists:
        stdout.print(safe_text(f"{site.home}: the home stays, with store and models; --purge removes it.", 500))
    if not dry_run:
        removed = [step.path for step in steps if step.what == "remove"]
        _show_last_steps(site, [path for path in removed if schedule.is_timer(path)])


@click.command()
@_host
@_root
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    help="The host's Python (default: the one given to install, else this one or that of the command cuckoo).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def doctor(host: str, root: Path, python: Path | None, as_json: bool) -> None:
    """Check an installation from inside; each line is ok, or says what to do."""
    from cuckoo_ml_plugin.hosts.installation.doctor import examine

    sys.dont_write_bytecode = True  # an examination changes nothing
    become_owner(root.absolute())
    site = _site(host, root.absolute(), python, required=False)
    checks = list(examine(site, _interpreter(site), _pieces(site)))
    if as_json:
        print_json([{"check": check.name, "ok": check.ok, "said": check.message} for check in checks])
    else:
        stdout.print(safe_text(f"cuckoo-ml in {site.root}", _LONGEST), style="bold", soft_wrap=True)
        for check in checks:  # in no table: what a message says to run can be copied as a whole
            line = f"{'ok' if check.ok else 'WRONG':<7}{check.name:<20}{check.message}"
            stdout.print(safe_text(line, _LONGEST), style="" if check.ok else "red", soft_wrap=True)
    if not all(check.ok for check in checks):
        raise click.exceptions.Exit(1)


def _interpreter(site: Site) -> Path:
    if site.python is not None:
        python = Path(site.python)
        return python / "bin" / "python" if python.is_dir() else python
    cuckoo = shutil.which("cuckoo") if site.host == "cuckoo2" else None
    return Path(cuckoo).resolve().parent / "python" if cuckoo else Path(sys.executable)


def _site(host: str, root: Path, python: Path | None, *, required: bool) -> Site:
    """Where the host's installation goes, or where it is; ``required``: Cuckoo's package must be there."""
    if host == "cape" and not cape.is_root(root):
        raise CuckooMLError(f"{root}: this is not CAPE's folder (it has no lib/cuckoo/core/plugins.py); check --root.")
    if host == "cuckoo2" and not cuckoo2.is_root(root):
        raise CuckooMLError(
            f"{root}: this is not a Cuckoo Working Directory (it has no conf/processing.conf); check --root."
        )
    if host == "cape":
        site = Site(host, root, root / cape.HOME, older=(root / cape.OLD_HOME,))
        site = _with_option(site, cape.option_files(root))
        noted = site.notes().python
        return replace(site, python=str(python.absolute()) if python else noted)
    site = _with_option(Site(host, root, root / cuckoo2.HOME), cuckoo2.option_files(root))
    notes = site.notes()
    chosen = python.absolute() if python else Path(notes.python) if notes.python else None
    site = replace(site, python=str(chosen) if chosen else None)
    try:
        package = cuckoo2.package_of(chosen, as_owner_of=root)
    except CuckooMLError as error:
        if required:
            raise
        if notes.package is None:
            return site
        stderr.print(safe_text(f"{error} Going on with {notes.package}, as noted.", 600), soft_wrap=True)
        package = Path(notes.package)
    site = replace(site, package=package)
    if python is None and notes.file is not None and not _may_trust(site, package):
        raise CuckooMLError(
            f"{package}: belongs to root, and {notes.file}, which names it, to the host's user;"
            " name Cuckoo's environment with --python."
        )
    return replace(site, sharers=tuple(sharing.other_users(package, root, site.files)))


def _may_trust(site: Site, package: Path) -> bool:
    """Whether root may change the package that the notes name, which the host's user can write.

    It may where the package is that user's own, and where root has installed into it for this working directory before.
    """
    others = site.files.is_root_s(package) and site.root.stat().st_uid != 0
    return not others or sharing.is_user(package, site.root, site.files)


def _with_option(site: Site, files: list[Path]) -> Site:
    """The site with the option ``home`` of the host's configuration."""
    return replace(site, home_line=site.files.option_line(files, "cuckooml", "home"))


def _pieces(site: Site) -> list[Piece]:
    root, package, line = site.root, site.package, site.home_line
    is_cape = site.host == "cape"
    pieces = cape.pieces(root, line) if is_cape else cuckoo2.pieces(root, package, schedule.command(), line)
    if site.units is None:
        return pieces
    return [*pieces, *schedule.units(root, site.home, user_name(site.root.stat().st_uid), site.units)]


def _show(title: str, steps: list[installer.Step], root: Path) -> None:
    files = [step.path.relative_to(root) if step.path.is_relative_to(root) else step.path for step in steps]
    rows = [
        (step.what, safe_text(file, _LONGEST), safe_text(step.note, _LONGEST))  # an admin needs the whole paths
        for step, file in zip(steps, files, strict=True)
    ]
    stdout.print(table(title, ["what", "file", ""], rows))


def _show_next_steps(site: Site, refit: str, timers: list[Path]) -> None:
    home = Home(site.home)
    steps = [f"Import the past analyses: {home.command('import', site.root / 'storage' / 'analyses')}"]
    steps += [f"Start the timer: systemctl daemon-reload && systemctl enable --now {timer.name}" for timer in timers]
    if refit == "cron":
        user = user_name(site.root.stat().st_uid)
        steps.append(f"Add to the crontab of the user {user}: {schedule.cron_line(home.path)}")
    steps.append(_RESTART[site.host])
    for step in steps:
        stdout.print(safe_text(f"- {step}", _LONGEST), soft_wrap=True)


def _show_last_steps(site: Site, timers: list[Path]) -> None:
    """What an uninstallation leaves to do."""
    for timer in timers:
        site.files.remove(schedule.enabling_link(timer))
    steps = [f"Stop the timer: systemctl stop {timer.name}; systemctl daemon-reload" for timer in timers]
    if not steps:
        user = user_name(site.root.stat().st_uid)
        steps.append(f"Take the line with refit --if-needed out of the crontab of the user {user}, if it is there.")
    for step in [*steps, _RESTART[site.host]]:
        stdout.print(safe_text(f"- {step}", _LONGEST), soft_wrap=True)
