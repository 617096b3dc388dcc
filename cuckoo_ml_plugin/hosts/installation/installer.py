"""Putting the pieces of an installation in place, and taking away exactly those again.

``install.json`` in the home lists each piece with its hash, by paths from the host's folder, so that the folder can be
moved or copied. A file that was changed since, or that was never ours, is not touched: an error names it, and ``force``
moves it aside.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.hosts.installation.pieces import Block, OwnFile, Piece
from cuckoo_ml_plugin.plumbing.files import replace_file

MANIFEST: Final = "install.json"
BEGIN: Final = "# >>> cuckoo-ml: cuckoo-ml install wrote the lines up to the next mark"
END: Final = "# <<< cuckoo-ml"
_ANY_BEGIN: Final = "# >>> cuckoo-ml"  # older versions continue the mark in other words


class InstallError(CuckooMLError):
    """An installation cannot be put in place or taken away; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an installation; ``what`` is create, update, replace, keep, remove or restore."""

    what: str
    path: Path
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Change:
    """A step and what it writes: the whole new file, or None to remove the file."""

    step: Step
    content: str | None
    piece: Piece
    aside: Path | None = None
    foreign: bool = False  # the file that is moved aside was never ours


@dataclass(frozen=True, slots=True)
class _Entry:
    """A piece that is in place; ``place`` is its path as install.json has it."""

    place: str
    path: Path
    kind: str
    hash: str
    aside: str | None = None  # the place of a foreign file that was in the way and was moved aside


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What install.json lists; ``original``: the host's folder that this one was copied from, if it is still in use."""

    entries: tuple[_Entry, ...] = ()
    folders: tuple[str, ...] = ()
    original: str | None = None


def plan_install(pieces: Sequence[Piece], root: Path, home: Path, *, force: bool = False) -> list[Step]:
    """The steps of :func:`install`, without taking them. Raises InstallError as :func:`install` does."""
    return [change.step for change in _changes(pieces, _read_manifest(root, home), force)]


def install(pieces: Sequence[Piece], root: Path, home: Path, *, force: bool = False) -> list[Step]:
    """Put every piece in place; may be repeated.

    Raises:
        InstallError: a file in the way is not ours or was changed (``force`` moves it aside as ``.before-cuckooml``),
            or a file cannot be written; everything written up to then is undone.
    """
    before = _read_manifest(root, home)
    changes = _changes(pieces, before, force)
    folders = {_place(Path(folder), root) for folder in before.folders}
    asides = {entry.path: entry.aside for entry in before.entries}
    with ExitStack() as undo:
        for change in changes:
            if change.content is None or change.step.what == "keep":
                continue
            folders |= {_place(folder, root) for folder in _make_folders(change.step.path.parent, undo)}
            if change.aside is not None:
                _move(change.step.path, change.aside, undo)
                if change.foreign:
                    asides[change.step.path] = _place(change.aside, root)
            _write(change.step.path, change.content, undo)
        entries = [
            {
                "path": _place(piece.path, root),
                "kind": _kind(piece),
                "hash": _digest(piece.content),
                "aside": asides.get(piece.path),
            }
            for piece in pieces
        ]
        manifest = {"root": str(root.resolve()), "pieces": entries, "folders": sorted(folders)}
        _write(home / MANIFEST, json.dumps(manifest, indent=1) + "\n", undo)
        undo.pop_all()
    return [change.step for change in changes]


def uninstall(root: Path, home: Path, *, dry_run: bool = False, force: bool = False) -> list[Step]:
    """Take away what :func:`install` put in place; a file that was changed since stays, unless ``force`` is given.

    A foreign file that ``install`` moved aside with ``force`` is put back.

    Raises:
        InstallError: nothing was installed with this home, or a file cannot be written.
    """
    manifest = _read_manifest(root, home, require=True)
    steps = []
    for entry in manifest.entries:
        if manifest.original is not None and Path(entry.place).is_absolute():
            steps.append(
                Step("keep", entry.path, f"also serves {manifest.original}, from which this folder was copied")
            )
        else:
            steps += _take_away(entry, root, dry_run, force)
    if not dry_run:
        for folder in sorted(map(root.joinpath, manifest.folders), key=lambda path: len(path.parts), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        (home / MANIFEST).unlink(missing_ok=True)
    return steps


def changed_pieces(root: Path, home: Path) -> list[tuple[Path, str]]:
    """The pieces that are missing or changed, each with what is wrong; an admin may edit our lines in the host's files.

    Raises InstallError as :func:`uninstall` does.
    """
    changed = []
    for entry in _read_manifest(root, home, require=True).entries:
        content = _read(entry.path)
        ours = _block_in(content)[1] if content is not None and entry.kind == "block" else content
        if ours is None:
            changed.append((entry.path, "is missing" if content is None else "no longer has the lines of cuckoo-ml"))
        elif entry.kind == "file" and _digest(ours) != entry.hash:
            changed.append((entry.path, "was changed since it was installed"))
    return changed


# -- one piece ---------------------------------------------------------------------------------------------------------
def _changes(pieces: Sequence[Piece], manifest: _Manifest, force: bool) -> list[_Change]:
    hashes = {entry.path: entry.hash for entry in manifest.entries}
    return [
        _block_change(piece, hashes.get(piece.path), force)
        if isinstance(piece, Block)
        else _file_change(piece, hashes.get(piece.path), force)
        for piece in pieces
    ]


def _file_change(piece: OwnFile, installed_hash: str | None, force: bool) -> _Change:
    current = _read(piece.path)
    if current is None:
        return _Change(Step("create", piece.path), piece.content, piece)
    if current == piece.content:
        return _Change(Step("keep", piece.path, "is up to date"), current, piece)
    if _digest(current) == installed_hash:
        return _Change(Step("update", piece.path), piece.content, piece)
    if not force:
        why = "was changed since it was installed" if installed_hash else "exists already and is not ours"
        raise InstallError(f"{piece.path}: {why}; move it away, or use --force to move it aside and write a new one.")
    aside = _free(piece.path.with_name(f"{piece.path.name}.before-cuckooml"))
    step = Step("replace", piece.path, f"the old file is kept as {aside.name}")
    return _Change(step, piece.content, piece, aside, foreign=installed_hash is None)


def _block_change(piece: Block, installed_hash: str | None, force: bool) -> _Change:
    current = _read(piece.path)
    if current is None:
        raise InstallError(f"{piece.path}: is missing; check that --root is the host's folder.")
    rest, ours = _block_in(current)
    if any(line.strip() == piece.clash for line in rest.splitlines()):
        raise InstallError(f"{piece.path}: has {piece.clash} already; remove it, then run cuckoo-ml install again.")
    if ours == piece.content:
        return _Change(Step("keep", piece.path, "its lines are up to date"), current, piece)
    if ours is not None and _digest(ours) != installed_hash and not force:
        note = "its lines were changed since they were installed, so they stay; --force replaces them"
        return _Change(Step("keep", piece.path, note), current, piece)
    glue = "" if not rest or rest.endswith("\n") else "\n"
    whole = f"{rest}{glue}{BEGIN}{'' if not glue else ' (and the line break before)'}\n{piece.content}{END}\n"
    return _Change(Step("update", piece.path, "adds lines at its end"), whole, piece)


def _take_away(entry: _Entry, root: Path, dry_run: bool, force: bool) -> list[Step]:
    path = entry.path
    current = _read(path)
    if current is None:
        return [Step("keep", path, "is already gone"), *_put_back(entry, root, dry_run)]
    if entry.kind == "block":
        rest, ours = _block_in(current)
        if ours is None:
            return [Step("keep", path, "has no lines of cuckoo-ml")]
        if not dry_run:
            _write(path, rest)
        return [Step("update", path, "removes the lines of cuckoo-ml")]
    if _digest(current) != entry.hash and not force:
        return [Step("keep", path, "was changed since it was installed, so it stays; --force removes it")]
    if not dry_run:
        path.unlink()
        for compiled in (path.with_suffix(".pyc"), *path.parent.glob(f"__pycache__/{path.stem}.*.pyc")):
            if path.suffix == ".py":
                compiled.unlink(missing_ok=True)
    return [Step("remove", path), *_put_back(entry, root, dry_run)]


def _put_back(entry: _Entry, root: Path, dry_run: bool) -> list[Step]:
    """Put back the foreign file that was moved aside for a piece, if it is still there."""
    if entry.aside is None or not (root / entry.aside).exists():
        return []
    if not dry_run:
        (root / entry.aside).replace(entry.path)
    return [Step("restore", entry.path, f"from {Path(entry.aside).name}, which was there before")]


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


# -- files -------------------------------------------------------------------------------------------------------------
def _kind(piece: Piece) -> str:
    return "block" if isinstance(piece, Block) else "file"


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallError(f"{path}: cannot be read ({error.strerror}).") from error


def _free(path: Path) -> Path:
    """The path if nothing exists there, else the first numbered one that is free."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not os.path.lexists(candidate))


def _place(path: Path, root: Path) -> str:
    """A path as install.json has it: from the host's folder if it lies there, else absolute."""
    path = root / path
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _make_folders(folder: Path, undo: ExitStack) -> list[Path]:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        try:
            path.mkdir()
        except OSError as error:
            raise InstallError(f"{path}: cannot be created ({error.strerror}); run this as the host's user.") from error
        undo.callback(path.rmdir)
    return missing


def _move(path: Path, aside: Path, undo: ExitStack) -> None:
    try:
        path.replace(aside)
    except OSError as error:
        raise InstallError(f"{path}: cannot be moved ({error.strerror}); run this as the host's user.") from error
    undo.callback(aside.replace, path)


def _write(path: Path, content: str, undo: ExitStack | None = None) -> None:
    """Replace a file in one rename; mode and, for root, owner stay (or are the folder's), and a link stays a link."""
    before = _read(path) if undo is not None else None
    try:
        replace_file(path, content.encode("utf-8", "surrogateescape"), owner_of_folder=True)
    except OSError as error:
        raise InstallError(f"{path}: cannot be written ({error.strerror}); run this as the host's user.") from error
    if undo is not None:
        undo.callback(path.unlink) if before is None else undo.callback(_write, path, before)


def _read_manifest(root: Path, home: Path, *, require: bool = False) -> _Manifest:
    """What install.json lists; empty where there is none, unless ``require``. Raises InstallError."""
    text = _read(home / MANIFEST)
    if text is None:
        if require:
            why = f"is missing, so nothing was installed into {root}; run cuckoo-ml install first."
            raise InstallError(f"{home / MANIFEST}: {why}")
        return _Manifest()
    try:
        manifest = json.loads(text)
        entries = tuple(
            _Entry(piece["path"], root / piece["path"], piece["kind"], piece["hash"], piece.get("aside"))
            for piece in manifest["pieces"]
        )
        installed_into = manifest.get("root")
        copied = installed_into is not None and Path(installed_into) != root.resolve()
        copied = copied and (Path(installed_into) / home.relative_to(root) / MANIFEST).is_file()
        return _Manifest(entries, tuple(map(str, manifest["folders"])), installed_into if copied else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "remove it, then run cuckoo-ml install --force"
        raise InstallError(f"{home / MANIFEST}: cannot be read ({error}); {remedy}.") from error
