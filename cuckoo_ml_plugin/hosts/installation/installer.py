"""Putting the pieces of an installation in place, and taking away exactly those again.

``cuckooml-install.json`` beside the home notes each piece with its hash, by paths from the host's folder, so that the
folder can be moved or copied, and so that the notes outlive the home. What is changed or taken away is computed and
never read from that file: the host's user can write it, and its reader may be root. A file that was changed since, or
that was never ours, is not touched: an error names it, and ``force`` moves it aside. Each step of root's is done with
the rights of the owner of the folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.installation.host_files import HostFiles, free_path
from cuckoo_ml_plugin.hosts.installation.notes import (
    OLD_NAME,
    InstallError,
    NotedPiece,
    Notes,
    is_of_host,
    place,
    read_notes,
)
from cuckoo_ml_plugin.hosts.installation.pieces import Block, OldBlock, OwnFile, Piece
from cuckoo_ml_plugin.plumbing.commands import program, shell_command
from cuckoo_ml_plugin.plumbing.ownership import only_root_changes

__all__ = ["BEGIN", "END", "InstallError", "Site", "Step", "changed_pieces", "install", "plan_install", "uninstall"]

BEGIN: Final = "# >>> cuckoo-ml: cuckoo-ml install wrote the lines up to the next mark"
END: Final = "# <<< cuckoo-ml"
_ANY_BEGIN: Final = "# >>> cuckoo-ml"  # older versions continue the mark in other words


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an installation; ``what`` is create, update, replace, keep, move, remove or restore."""

    what: str
    path: Path
    note: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Where an installation goes: the host's folder, the home, and folders elsewhere that hold pieces.

    ``host``: "cape" or "cuckoo2". ``usual``: where the home is unless ``home_line``, the line of the host's option
    ``home``, names another place. ``older``: where earlier versions had it. ``sharers``: other hosts' folders that
    pieces in ``package`` serve, too.
    """

    host: str
    root: Path
    usual: Path
    older: tuple[Path, ...] = ()
    home_line: str = ""
    package: Path | None = None
    units: Path | None = None
    python: str | None = None
    sharers: tuple[str, ...] = ()

    @property
    def files(self) -> HostFiles:
        """The files of this host, which are changed with their owner's rights.

        The host's user writes the option ``home``. So root does what it leads to with that user's rights, but for the
        notes in a folder of root's own.
        """
        above = self.home.parent if self.named and only_root_changes(self.home.parent) else None
        bases = (self.root, self.usual.parent, self.package, self.units, above)
        return HostFiles(tuple(base for base in bases if base), elsewhere=self.usual)

    @property
    def named(self) -> Path | None:
        """The place that the host's option ``home`` names, if it is not the usual one. Raises InstallError."""
        value = re.sub(r"^home\s*[=:]\s*", "", self.home_line)
        if "%(" in value:
            raise InstallError(f"{value}: the option home must be the path itself, which no variable changes.")
        place = self.root / value if value else self.usual
        return None if place == self.usual else place

    @property
    def home(self) -> Path:
        """Where the home belongs. Raises InstallError."""
        return self.named or self.usual

    @property
    def earlier(self) -> tuple[Path, ...]:
        """Where else a home may be, which then moves."""
        return tuple(place for place in (self.usual, *self.older) if place != self.home)

    @property
    def notes_file(self) -> Path:
        """Where the installation is noted, wherever the home is."""
        return Home(self.usual).notes_file

    @property
    def install_command(self) -> str:
        """A line for a shell that installs it, or installs it again."""
        python = ("--python", self.python) if self.python else ()
        return shell_command(*program(), "install", "--host", self.host, "--root", self.root, *python)

    def notes(self) -> Notes:
        """What is noted. Raises InstallError."""
        return read_notes((self.usual, *self.older))


@dataclass(frozen=True, slots=True)
class _Change:
    """A step and what it writes: the whole new file."""

    step: Step
    content: str
    aside: Path | None = None
    foreign: bool = False  # the file that is moved aside was never ours


def plan_install(pieces: Sequence[Piece], site: Site, *, force: bool = False) -> list[Step]:
    """The steps of :func:`install`, without taking them. Raises InstallError as :func:`install` does."""
    return [change.step for change in _changes(pieces, site, site.notes(), force)]


def install(pieces: Sequence[Piece], site: Site, *, force: bool = False, home_id: str | None = None) -> list[Step]:
    """Put every piece in place and note it; may be repeated.

    Raises:
        InstallError: a file in the way is not ours or was changed (``force`` moves it aside as ``.before-cuckooml``),
            or a file cannot be written; everything written up to then is undone.
    """
    root, files, before = site.root, site.files, site.notes()
    changes = _changes(pieces, site, before, force)
    folders = set(before.folders)
    asides = {path: piece.aside for path, piece in before.pieces.items()}
    with ExitStack() as undo:
        for change in changes:
            if change.step.what == "keep":
                continue
            folders |= {place(folder, root) for folder in files.make_folders(change.step.path.parent, undo)}
            if change.aside is not None:
                files.move(change.step.path, change.aside, undo)
                if change.foreign:
                    asides[place(change.step.path, root)] = place(change.aside, root)
            files.write(change.step.path, change.content, undo)
        noted = {
            place(piece.path, root): NotedPiece(_digest(piece.content), asides.get(place(piece.path, root)))
            for piece in pieces
            if not isinstance(piece, OldBlock)
        }
        notes = Notes(
            root=str(root.resolve()),
            python=site.python,
            package=str(site.package) if site.package else None,
            units=str(site.units) if site.units else None,
            named_home=str(site.named) if site.named else None,
            home_id=home_id,
            pieces=noted,
            folders=tuple(sorted(folders)),
        )
        for file in dict.fromkeys((site.notes_file, Home(site.home).notes_file)):
            files.write(file, notes.write(), undo, mode=0o644)  # the host's user reads what root may have written
        undo.pop_all()
    for home in (site.usual, *site.older):
        files.remove(home / OLD_NAME)
    return [change.step for change in changes]


def uninstall(pieces: Sequence[Piece], site: Site, *, dry_run: bool = False, force: bool = False) -> list[Step]:
    """Take away what :func:`install` put in place; a file that was changed since stays, unless ``force`` is given.

    A foreign file that ``install`` moved aside with ``force`` is put back. It works without notes, too.

    Raises:
        InstallError: nothing of ours is there, or a file cannot be written.
    """
    root, files, notes = site.root, site.files, site.notes()
    original, beside = _original(site, notes), Home(site.home).notes_file
    is_ours_beside = is_of_host(files.read(beside), root)
    steps: list[Step] = []
    for piece in pieces:
        elsewhere = not piece.path.is_relative_to(root)
        if elsewhere and site.sharers and site.package is not None and piece.path.is_relative_to(site.package):
            steps.append(Step("keep", piece.path, f"also serves {', '.join(site.sharers)}"))
        elif elsewhere and original is not None:
            steps.append(Step("keep", piece.path, f"also serves {original}, from which this folder was copied"))
        else:
            steps += _take_away(piece, site, notes.piece(piece.path, root), dry_run, force)
    if notes.file is None and not any(step.what in ("remove", "update") for step in steps):
        raise _nothing_installed(site)
    if not dry_run:
        for folder in _own_folders(pieces, site, notes):
            files.remove_empty(folder)
        if is_ours_beside:
            files.remove(beside)
        if notes.file is not None:
            files.remove(notes.file)
    return [step for step in steps if step.note != _ABSENT or notes.piece(step.path, root) is not None]


def changed_pieces(pieces: Iterable[Piece], site: Site) -> list[tuple[Path, str]]:
    """The pieces that are missing or changed, each with what is wrong; an admin may edit our lines in the host's files.

    Raises InstallError where nothing was installed.
    """
    notes = site.notes()
    if notes.file is None:
        raise _nothing_installed(site)
    changed = []
    for piece in pieces:
        content, noted = site.files.read(piece.path), notes.piece(piece.path, site.root)
        if isinstance(piece, OldBlock):
            if content is not None and _block_in(content)[1] is not None:
                changed.append((piece.path, "has lines of an older version"))
            continue
        ours = _block_in(content)[1] if content is not None and isinstance(piece, Block) else content
        if ours is None:
            changed.append((piece.path, "is missing" if content is None else "no longer has the lines of cuckoo-ml"))
        elif isinstance(piece, OwnFile) and _digest(ours) != (noted.hash if noted else _digest(piece.content)):
            changed.append((piece.path, "was changed since it was installed"))
    return changed


def _nothing_installed(site: Site) -> InstallError:
    return InstallError(f"{site.notes_file}: is missing, so nothing was installed into {site.root}.")


# -- one piece ---------------------------------------------------------------------------------------------------------
def _changes(pieces: Sequence[Piece], site: Site, notes: Notes, force: bool) -> list[_Change]:
    changes = []
    for piece in pieces:
        noted = notes.piece(piece.path, site.root)
        current = site.files.read(piece.path)
        if isinstance(piece, OwnFile):
            changes.append(_file_change(piece, current, noted.hash if noted else None, force))
        elif isinstance(piece, Block):
            changes.append(_block_change(piece, current, noted.hash if noted else None, force))
        elif current is not None and _block_in(current)[1] is not None:
            note = "takes away the lines of an older version"
            changes.append(_Change(Step("update", piece.path, note), _block_in(current)[0]))
    return changes


def _file_change(piece: OwnFile, current: str | None, installed_hash: str | None, force: bool) -> _Change:
    if current is None:
        return _Change(Step("create", piece.path), piece.content)
    if current == piece.content:
        return _Change(Step("keep", piece.path, "is up to date"), current)
    unnoted_code = installed_hash is None and piece.path.suffix == ".py" and _is_ours(current)
    if _digest(current) == installed_hash or unnoted_code:
        return _Change(Step("update", piece.path), piece.content)
    if not force:
        why = "was changed since it was installed" if installed_hash else "exists already and is not ours"
        raise InstallError(f"{piece.path}: {why}; move it away, or use --force to move it aside and write a new one.")
    aside = free_path(piece.path.with_name(f"{piece.path.name}{_ASIDE}"))
    step = Step("replace", piece.path, f"the old file is kept as {aside.name}")
    return _Change(step, piece.content, aside, foreign=installed_hash is None)


def _is_ours(code: str) -> bool:
    """Whether a module's first line says that we put it there: notes were lost, or another folder's install did."""
    return any(mark in code.partition("\n")[0] for mark in ("cuckoo-ml install", "Part of cuckoo-ml-plugin"))


def _block_change(piece: Block, current: str | None, installed_hash: str | None, force: bool) -> _Change:
    if current is None:
        raise InstallError(f"{piece.path}: is missing; check that --root is the host's folder.")
    rest, ours = _block_in(current)
    if any(line.strip() == piece.clash for line in rest.splitlines()):
        raise InstallError(f"{piece.path}: has {piece.clash} already; remove it, then install again.")
    if ours == piece.content:
        return _Change(Step("keep", piece.path, "its lines are up to date"), current)
    if ours is not None and _digest(ours) != installed_hash and not force:
        note = "its lines were changed since they were installed, so they stay; --force replaces them"
        return _Change(Step("keep", piece.path, note), current)
    glue = "" if not rest or rest.endswith("\n") else "\n"
    whole = f"{rest}{glue}{BEGIN}{'' if not glue else ' (and the line break before)'}\n{piece.content}{END}\n"
    return _Change(Step("update", piece.path, "adds lines at its end"), whole)


_ASIDE: Final = ".before-cuckooml"
_ABSENT: Final = "is already gone"


def _take_away(piece: Piece, site: Site, noted: NotedPiece | None, dry_run: bool, force: bool) -> list[Step]:
    path, files = piece.path, site.files
    current = files.read(path)
    if current is None:
        return [Step("keep", path, _ABSENT), *_put_back(path, site, noted, dry_run)]
    if not isinstance(piece, OwnFile):
        rest, ours = _block_in(current)
        if ours is None:
            return [] if isinstance(piece, OldBlock) else [Step("keep", path, "has no lines of cuckoo-ml")]
        if not dry_run:
            files.write(path, rest)
        return [Step("update", path, "removes the lines of cuckoo-ml")]
    if _digest(current) not in {_digest(piece.content), noted.hash if noted else ""} and not force:
        return [Step("keep", path, "was changed since it was installed, so it stays; --force removes it")]
    if not dry_run:
        files.remove(path)
        if path.suffix == ".py":
            for compiled in (path.with_suffix(".pyc"), *path.parent.glob(f"__pycache__/{path.stem}.*.pyc")):
                files.remove(compiled)
    return [Step("remove", path), *_put_back(path, site, noted, dry_run)]


def _put_back(path: Path, site: Site, noted: NotedPiece | None, dry_run: bool) -> list[Step]:
    """Put back the foreign file that was moved aside for a piece, if it is still there, beside it."""
    if noted is None or noted.aside is None:
        return []
    aside = path.with_name(Path(noted.aside).name)
    if not re.fullmatch(re.escape(path.name + _ASIDE) + r"(-\d+)?", aside.name) or not aside.is_file():
        return []
    if not dry_run:
        site.files.move(aside, path)
    return [Step("restore", path, f"from {aside.name}, which was there before")]


def _own_folders(pieces: Sequence[Piece], site: Site, notes: Notes) -> list[Path]:
    """The folders that pieces lie in and that are named after us or noted as made for them, the deepest first."""
    bases = {site.root, site.package, site.units}
    above = {folder for piece in pieces for folder in piece.path.parents if folder not in bases}
    inside = {folder for folder in above if any(base in folder.parents for base in bases if base is not None)}
    noted = {site.root / folder for folder in notes.folders}
    ours = {folder for folder in inside if folder in noted or (site.package and "cuckooml" in folder.parts)}
    caches = {folder / "__pycache__" for folder in ours}
    return sorted(ours | caches, key=lambda path: len(path.parts), reverse=True)


def _original(site: Site, notes: Notes) -> str | None:
    """The host's folder that this one was copied from, if an installation is noted there, too."""
    if not notes.root or Path(notes.root) == site.root.resolve() or notes.file is None:
        return None
    try:
        there = Path(notes.root) / notes.file.relative_to(site.root)
    except ValueError:
        return None
    return notes.root if there.is_file() else None


def _block_in(content: str) -> tuple[str, str | None]:
    """The file without our block, and the block's content: None without a block, of several blocks all their lines."""
    rest: list[str] = []
    ours: list[str] | None = None
    open_block: list[str] = []
    for line in content.splitlines(keepends=True):
        if line.startswith(_ANY_BEGIN) and not open_block:
            open_block = [line]
        elif open_block and line.startswith(END):
            if "line break before" in open_block[0] and rest:
                rest[-1] = rest[-1].removesuffix("\n")
            ours = (ours or []) + open_block[1:]
            open_block = []
        elif open_block:
            open_block.append(line)
        else:
            rest.append(line)
    return "".join(rest + open_block), None if ours is None else "".join(ours)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
