"""The home: the folder that holds ``cuckooml.conf``, ``store.db`` and ``models/``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.plumbing.commands import program, shell_command
from cuckoo_ml_plugin.plumbing.files import replace_file
from cuckoo_ml_plugin.settings import Settings, documented_settings, load_settings

ENVIRONMENT_VARIABLE = "CUCKOO_ML_HOME"
_DEFAULT = ".cuckoo-ml"


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
    def exists(self) -> bool:
        """Whether the folder holds any part of a home."""
        return any(path.exists() for path in (self.settings_file, self.store_file, self.models))

    def require(self) -> Home:
        """This home, for commands that only read: they must not create one at a mistyped path.

        Raises:
            CuckooMLError: there is no home.
        """
        if not self.exists:
            command = self.command("import", "FOLDER")
            raise CuckooMLError(f"{self.path}: there is no home; check --home, or import reports first: {command}")
        return self

    def command(self, *words: str | Path) -> str:
        """A line for a shell that runs a command of this program on this home, such as ``command("refit")``."""
        ours = self.path != Path.home() / _DEFAULT or self.path != default_home()  # else --home can be left out
        return shell_command(*program(), *(("--home", self.path) if ours else ()), *words)

    def create(self) -> Home:
        """Create the folder and, unless it has settings already, the documented settings in it.

        Raises:
            CuckooMLError: the folder cannot be created or written.
        """
        try:
            self.models.mkdir(parents=True, exist_ok=True)
            if not self.settings_file.exists():
                replace_file(self.settings_file, documented_settings().encode())
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


def default_home() -> Path:
    """``$CUCKOO_ML_HOME``, or ``~/.cuckoo-ml``."""
    return Path(os.environ.get(ENVIRONMENT_VARIABLE) or Path.home() / _DEFAULT)
