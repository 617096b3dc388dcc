"""What an installation notes beside the home: the host's folder, its Python, the home's id, the pieces with hashes.

The host's user can write this file. So nothing here decides which paths are changed; hashes and names only say what was
there before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.commands import program, shell_command

OLD_NAME: Final = "install.json"
"""The name in the home, where older versions kept the notes."""


class InstallError(CuckooMLError):
    """An installation cannot be put in place or taken away; nothing was changed."""


@dataclass(frozen=True, slots=True)
class NotedPiece:
    """A piece as it was put in place; ``aside``: where a foreign file that was in the way was moved."""

    hash: str
    aside: str | None = None


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one installation; ``file`` is None where there are none."""

    file: Path | None = None
    root: str = ""
    python: str | None = None
    package: str | None = None
    units: str | None = None
    named_home: str | None = None
    home_id: str | None = None
    pieces: Mapping[str, NotedPiece] = field(default_factory=dict)
    folders: tuple[str, ...] = ()

    def piece(self, path: Path, root: Path) -> NotedPiece | None:
        """What is noted of the piece at a path."""
        return self.pieces.get(place(path, root))

    def write(self) -> str:
        """The text for a file."""
        return (
            json.dumps(
                {
                    "root": self.root,
                    "python": self.python,
                    "package": self.package,
                    "units": self.units,
                    "named_home": self.named_home,
                    "home_id": self.home_id,
                    "pieces": [
                        {"path": path, "hash": piece.hash, "aside": piece.aside} for path, piece in self.pieces.items()
                    ],
                    "folders": list(self.folders),
                },
                indent=1,
            )
            + "\n"
        )


def read_notes(homes: tuple[Path, ...]) -> Notes:
    """The notes of the first of these homes that has some, beside it or, from older versions, in it.

    Raises InstallError for notes that cannot be read.
    """
    for home in homes:
        for file in (Home(home).notes_file, home / OLD_NAME):
            try:
                text = file.read_text(encoding="utf-8")
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                raise _unreadable(file, error) from error
            try:
                return _notes(file, json.loads(text))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise _unreadable(file, error) from error
    return Notes()


def _unreadable(file: Path, error: Exception) -> InstallError:
    again = shell_command(*program(), "install", "--force")
    return InstallError(
        f"{file}: cannot be read ({error}); remove it, then run {again} with the options of the first time."
    )


def _notes(file: Path, values: Any) -> Notes:
    def text(name: str) -> str | None:
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} is no text")
        return value

    pieces = {
        str(piece["path"]): NotedPiece(str(piece["hash"]), None if piece.get("aside") is None else str(piece["aside"]))
        for piece in values["pieces"]
    }
    package = text("package")
    for path in pieces:  # older versions noted no package, but its files
        if package is None and os.path.isabs(path) and path.endswith("/common/cuckooml.py"):
            package = str(Path(path).parent.parent)
    units = text("units")
    for path in pieces:
        if units is None and os.path.isabs(path) and path.endswith("/cuckoo-ml-refit.timer"):
            units = str(Path(path).parent)
    folders = tuple(map(str, values["folders"]))
    return Notes(
        file=file,
        root=text("root") or "",
        python=text("python"),
        package=package,
        units=units,
        named_home=text("named_home"),
        home_id=text("home_id"),
        pieces=pieces,
        folders=folders,
    )


def is_of_host(notes: str | None, root: Path) -> bool:
    """Whether a text is what an installation into the host's folder ``root`` noted."""
    try:
        return bool(json.loads(notes or "{}")["root"] == str(root.resolve()))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def place(path: Path, root: Path) -> str:
    """A path as the notes have it: from the host's folder if it lies there, else absolute."""
    path = root / path
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
