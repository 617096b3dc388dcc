"""Making a home for a host, moving an earlier one to its place, and purging it.

Root does all of this with the rights of the owner of the host's folder, who also writes the option ``home``.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.engine.model_lock import refuse_if_busy
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts import error_log
from cuckoo_ml_plugin.hosts.installation.installer import InstallError, Site, Step
from cuckoo_ml_plugin.hosts.installation.moving import finish, leads_to, move
from cuckoo_ml_plugin.hosts.installation.notes import OLD_NAME
from cuckoo_ml_plugin.plumbing.commands import shell_command
from cuckoo_ml_plugin.plumbing.files import UNFINISHED

_FILES: Final = (
    "cuckooml.conf", "home.id", error_log.FILE, OLD_NAME,
    *(f"store.db{end}" for end in ("", "-wal", "-shm", "-journal")),
)  # fmt: skip
_FOLDERS: Final = ("models", "spool", "demo")
_PRIVATE: Final = 0o027  # what others, and the group when it writes, may not do with a home


def plan_move(site: Site) -> list[Step]:
    """The step that moves an earlier home to its place now, and what stays where another home is there already."""
    source = _earlier_home(site)
    why = "which the option home names" if site.named else "where the host's clean-up deletes nothing"
    if source is not None:
        return [Step("move", source, f"the home goes to {site.home}, {why}; this path becomes a link to it")]
    with site.files.acting(site.usual):
        homes = [home for home in site.earlier if Home(home).exists and Home(home).id() != Home(site.home).id()]
    return [Step("keep", home, f"is not used: {site.home}, {why}, has a home, too") for home in homes]


def make_home(site: Site) -> str:
    """Move an earlier home to its place, or make one; returns its id. Raises InstallError and CuckooMLError."""
    source, home = _earlier_home(site), Home(site.home)
    with site.files.acting(site.usual):
        try:
            site.home.parent.mkdir(parents=True, exist_ok=True)
            if source is not None:
                move(source, site.home)
            site.home.mkdir(exist_ok=True)
            home.create()
            finish(site.home, site.earlier)
            _keep_private(home)
            return home.ensure_id()
        except OSError as error:
            place, why = Path(error.filename2 or error.filename or site.home), error.strerror
            if error.errno in (errno.EACCES, errno.EPERM):
                why = f"{why}; run: {_mending(site, place, moves=source is not None)}"
            raise InstallError(f"{place}: the home cannot be made or moved ({why}).") from error


def links_to_home(site: Site) -> list[Path]:
    """The links that moves have left where the home was."""
    with site.files.acting(site.usual):
        return [path for path in site.earlier if leads_to(path, site.home)]


def refuse_purge_if_busy(site: Site) -> None:
    """Raises BusyError while another command changes the models of the home: a purge would leave it in parts.

    It is asked before anything is removed, so that the same command can be repeated.
    """
    with site.files.acting(site.usual):
        refuse_if_busy(Home(site.home.resolve()))


def purge(site: Site) -> None:
    """Remove the files of the home that are ours; what else lies in its folder stays. Raises InstallError."""
    with site.files.acting(site.usual):
        try:
            folder = site.home.resolve()
            refuse_if_busy(Home(folder))  # a refit would leave the home in parts
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
            for path in folder.glob(f"{UNFINISHED}*") if folder.is_dir() else ():
                if path.is_file() and not path.is_symlink():
                    path.unlink()
            for name in _FOLDERS:
                if (folder / name).is_symlink():
                    (folder / name).unlink()
                elif (folder / name).is_dir():
                    shutil.rmtree(folder / name)  # follows no link
            with suppress(FileNotFoundError):
                if not any(folder.iterdir()):
                    folder.rmdir()
                    site.home.unlink(missing_ok=True)  # the home may be a link
        except OSError as error:
            raise InstallError(f"{error.filename}: cannot be removed ({error.strerror}).") from error


def _earlier_home(site: Site) -> Path | None:
    if Home(site.home).exists:
        return None
    with site.files.acting(site.usual):
        return next((home for home in site.earlier if Home(home).exists), None)


def _mending(site: Site, place: Path, *, moves: bool) -> str:
    """What an admin does about a place that the host's user may not write."""
    if place.is_relative_to(site.root):
        return shell_command("chown", "-R", "--no-dereference", f"--reference={site.root}", place)
    owner = site.root.stat()
    folder = shell_command("sudo", "install", "-d", "-o", str(owner.st_uid), "-g", str(owner.st_gid), site.home)
    then = f", set home = {site.home / 'home'}" if moves else ""  # a home moves to a place where nothing is
    return f"{folder}{then} and install again"


def _keep_private(home: Home) -> None:
    """Let only the owner and the group read what the home holds."""
    for path in (home.path, home.models, home.settings_file, *(home.path / name for name in _FILES)):
        if path.exists():
            mode = path.stat().st_mode
            if mode & _PRIVATE:
                path.chmod(mode & ~_PRIVATE & 0o7777)
