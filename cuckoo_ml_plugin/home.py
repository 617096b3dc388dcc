"""The home: the folder that holds ``cuckooml.conf``, ``store.db`` and ``models/``."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.plumbing.commands import program, shell_command
from cuckoo_ml_plugin.plumbing.files import remove_dead_files, replace_file, replacing
from cuckoo_ml_plugin.plumbing.ownership import acting_as, owner_on_the_way
from cuckoo_ml_plugin.settings import Settings, documented_settings, load_settings

ENVIRONMENT_VARIABLE = "CUCKOO_ML_HOME"
_DEFAULT = ".cuckoo-ml"
_FOLDER_MODE = 0o750  # settings may hold a password, and the store holds what customers sent
FILE_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of a home. Nothing is created before :meth:`create`."""

    path: Path

    @property
    def settings_file(self) -> Path:
        return self.path / "cuckooml.conf"

    @property
    def store_file(self) -> Path:
        return self.path / "store.db"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def spool(self) -> Path:
        """Where analyses wait that could not be stored."""
        return self.path / "spool"

    @property
    def id_file(self) -> Path:
        """What tells this home from another at the same place."""
        return self.path / "home.id"

    @property
    def notes_file(self) -> Path:
        """What an installation into a host notes: beside the home, so that it outlives it.

        Where the host's option ``home`` names another place, it is noted beside the named home, too.
        """
        return self.path.with_name(f"{self.path.name}-install.json")

    @property
    def exists(self) -> bool:
        """Whether the folder holds any part of a home."""
        return any(map(os.path.exists, (self.settings_file, self.store_file, self.models)))  # none where none is seen

    def require(self) -> Home:
        """This home, for commands that only read: they must not create one at a mistyped path.

        Raises:
            CuckooMLError: there is no home.
        """
        loss = self.loss()
        if not self.exists and loss is not None:
            raise CuckooMLError(loss)
        if not self.exists:
            command = self.command("import", "FOLDER")
            raise CuckooMLError(f"{self.path}: there is no home; check --home, or import reports first: {command}")
        return self

    def loss(self) -> str | None:
        """A sentence where this is not the home that was installed: that one is gone, replaced or elsewhere."""
        try:
            notes = json.loads(self.notes_file.read_text(encoding="utf-8"))
            noted, place = notes["home_id"], notes.get("named_home")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if not isinstance(noted, str) or noted == self.id():
            return None
        if isinstance(place, str) and Path(place) != self.path:
            return (
                f"{self.path}: the home that was installed is {place}, with all that was stored; see that it is there"
                f" and that the host's option home names it; or go on without it: {self.command('install')} with the"
                " options of the first time."
            )
        what = "was replaced by another" if self.exists else "is gone"
        restore, install = self.command("restore", "FILE"), self.command("install")
        remedy = f"restore its backup: {restore}; or go on without it: {install} with the options of the first time"
        return f"{self.path}: the home that was installed here {what}, with all that was stored; {remedy}."

    def id(self) -> str | None:
        """The id of this home, None where it has none."""
        try:
            return self.id_file.read_text(encoding="utf-8").strip() or None
        except (OSError, ValueError):
            return None

    def ensure_id(self) -> str:
        """The id of this home; it gets one if it has none. Raises OSError."""
        known = self.id()
        if known is None:
            known = secrets.token_hex(16)
            replace_file(self.id_file, f"{known}\n".encode())
        return known

    def host_analyses(self) -> Path | None:
        """The folder of the host's analyses, where it is noted to which host this home belongs."""
        for file in (self.notes_file, self.path / "install.json"):  # older versions noted it in the home
            try:
                return Path(json.loads(file.read_text(encoding="utf-8"))["root"]) / "storage" / "analyses"
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue
        beside = self.path.parent / "analyses"
        return beside if beside.is_dir() else None

    def private_paths(self) -> list[Path]:
        """What only the owner and the group may read: the folder, the settings, the store, the models and the spool."""
        stores = [self.store_file.with_name(f"{self.store_file.name}{end}") for end in ("", "-wal", "-shm")]
        return [path for path in (self.path, self.settings_file, *stores, self.models, self.spool) if path.exists()]

    def foreign_files(self) -> list[Path]:
        """What of the home belongs to another user than the home, such as files that root left; at most a hundred."""
        try:
            owner = self.path.stat().st_uid
            inside = [self.settings_file, self.id_file, *self.path.glob("store.db*"), *self.path.glob("*.log")]
            paths = [*inside, self.models, *self.models.rglob("*"), self.spool, *self.spool.glob("*")]
            return [path for path in paths if os.path.lexists(path) and path.lstat().st_uid != owner][:100]
        except OSError:
            return []

    def mending(self, paths: Sequence[Path]) -> str:
        """A sentence that names files of another user, and the command that gives them to the home's owner."""
        status = self.path.stat()
        names = ", ".join(map(str, paths[:3])) + (f" and {len(paths) - 3:,} more" if len(paths) > 3 else "")
        command = shell_command("sudo", "chown", "-h", f"{status.st_uid}:{status.st_gid}", *paths)
        return f"{names}: not owned by the home's owner, who cannot replace them; run {command}"

    def command(self, *words: str | Path) -> str:
        """A line for a shell that runs a command of this program on this home, such as ``command("refit")``."""
        ours = self.path != Path.home() / _DEFAULT or self.path != default_home()  # else --home can be left out
        return shell_command(*program(), *(("--home", self.path) if ours else ()), *words)

    def create(self) -> Home:
        """Create the folder and, unless it has settings already, the documented settings in it; for root as its owner.

        Raises:
            CuckooMLError: the folder cannot be created or written.
        """
        try:
            with acting_as(*owner_on_the_way(Path("/"), self.path.absolute())):
                for folder in (self.path, self.models):
                    if not folder.is_dir():
                        folder.mkdir(parents=True)
                        folder.chmod(_FOLDER_MODE)
                remove_dead_files(self.path)
                if not self.settings_file.exists():
                    with replacing(self.settings_file) as file:
                        os.fchmod(file.fileno(), FILE_MODE)
                        file.write(documented_settings().encode())
        except OSError as error:
            raise CuckooMLError(
                f"{self.path}: the home cannot be created there ({error.strerror}); name another with --home."
            ) from error
        return self

    def settings(self) -> Settings:
        """The settings of this home.

        Raises:
            SettingsError: see :func:`~cuckoo_ml_plugin.settings.load_settings`.
        """
        return load_settings(self.settings_file)

    def store_url(self, settings: Settings) -> str:
        """The URL of the store for SQLAlchemy: the one in the settings, or SQLite in the home."""
        return settings.store.url or f"sqlite:///{self.store_file}"


def home_in_use(home: Path, *earlier: Path) -> Path:
    """The home that a host uses: until something is begun there, the first earlier one that there is."""
    return next((place for place in (home, *earlier) if Home(place).exists), home)


def default_home() -> Path:
    """``$CUCKOO_ML_HOME``, or ``~/.cuckoo-ml``."""
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or Path.home() / _DEFAULT)
