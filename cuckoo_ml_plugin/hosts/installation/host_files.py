"""The files of a host as an installation reads, writes and removes them: as root, with the rights of their owner."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from cuckoo_ml_plugin.hosts.installation.notes import InstallError
from cuckoo_ml_plugin.plumbing.files import replace_file
from cuckoo_ml_plugin.plumbing.ownership import acting_as, owner_on_the_way

_LARGEST = 2**24  # bytes; a settings file is far smaller, and a device has no end


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Files below the folders ``bases``, the deeper first: the host's own, its package, the folder of units.

    What lies elsewhere is changed with the rights of the owner of the way to ``elsewhere``, which lies below a base.
    """

    bases: tuple[Path, ...]
    elsewhere: Path

    def acting(self, path: Path) -> AbstractContextManager[None]:
        """Acting as the owner of the way to a path, if this is root."""
        return acting_as(*self._owner(path))

    def is_root_s(self, path: Path) -> bool:
        """Whether root would change a path with its own rights."""
        return os.geteuid() == 0 and self._owner(path)[0] == 0

    def _owner(self, path: Path) -> tuple[int, int]:
        above = [base for base in self.bases if path.is_relative_to(base)]
        if not above:
            return self._owner(self.elsewhere)
        return owner_on_the_way(max(above, key=lambda base: len(base.parts)), path)

    def read(self, path: Path) -> str | None:
        """The text of a file, None where there is none. Raises InstallError."""
        with self.acting(path), _as_install_error(path, "read"):
            try:
                if path.exists() and not path.is_file():
                    raise InstallError(f"{path}: is no file; move it away.")
                with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                    text = file.read(_LARGEST)
            except FileNotFoundError:
                return None
        return text

    def option_line(self, paths: Iterable[Path], section: str, key: str) -> str:
        """The line that sets an option in configuration files, of which the last one counts; "" where there is none.

        It is looked for without a parser, because what else is in these files is the host's. Raises InstallError.
        """
        found = ""
        for path in paths:
            here = ""
            for line in (self.read(path) or "").splitlines():
                if line.startswith("["):
                    here = line.strip()
                elif here == f"[{section}]" and re.match(rf"{key}\s*[=:]", line):
                    found = line.rstrip()
        return found

    def write(self, path: Path, content: str, undo: ExitStack | None = None, mode: int | None = None) -> None:
        """Replace a file in one rename; its mode, unless one is given, and its owner stay, and a link stays a link.

        Raises InstallError.
        """
        before = self.read(path) if undo is not None else None
        with self.acting(path), _as_install_error(path, "written"):
            replace_file(path, content.encode("utf-8", "surrogateescape"), owner_of_folder=True, mode=mode)
        if undo is not None:
            undo.callback(self.remove, path) if before is None else undo.callback(self.write, path, before)

    def remove(self, path: Path) -> None:
        """Remove a file, or a link itself, if it is there. Raises InstallError."""
        with self.acting(path.parent), _as_install_error(path, "removed"):
            path.unlink(missing_ok=True)

    def remove_empty(self, folder: Path) -> None:
        """Remove a folder that is empty. Raises InstallError."""
        with self.acting(folder.parent), _as_install_error(folder, "removed"):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()

    def move(self, path: Path, target: Path, undo: ExitStack | None = None) -> None:
        """Rename a file in its folder. Raises InstallError."""
        with self.acting(path.parent), _as_install_error(path, "moved"):
            path.replace(target)
        if undo is not None:
            undo.callback(self.move, target, path)

    def make_folders(self, folder: Path, undo: ExitStack) -> list[Path]:
        """Make the folders that are missing; returns them. Raises InstallError."""
        missing = []
        while not os.path.lexists(folder):
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            with self.acting(path.parent), _as_install_error(path, "created"):
                path.mkdir()
            undo.callback(self.remove_empty, path)
        return missing


def free_path(path: Path) -> Path:
    """The path if nothing exists there, else the first numbered one that is free."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not os.path.lexists(candidate))


@contextmanager
def _as_install_error(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except InstallError:
        raise
    except OSError as error:
        remedy = "" if done == "read" else "; run this as the host's user, or as root"
        raise InstallError(f"{path}: cannot be {done} ({error.strerror}){remedy}.") from error
