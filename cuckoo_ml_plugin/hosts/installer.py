"""Putting an installation in place, and taking away exactly that again.

What was put where, with its hash, is kept in the home (``install.json``), by paths from the host's folder, so that the
folder can be moved or copied. A file that someone changed since, or that was never ours, is not touched: it is named,
and ``force`` moves it aside.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.hosts.layout import Block, OwnFile, Piece

MANIFEST = "install.json"
BEGIN, END = "# >>> cuckoo-ml: what stands up to the next mark is put here by cuckoo-ml install", "# <<< cuckoo-ml"


class InstallError(CuckooMLError):
    """An installation that cannot be put in place or taken away; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done, or that is done already: ``what`` is create, update, replace, keep, remove or restore."""

    what: str
    path: Path
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Change:
    """A step with what it writes: the whole new file, None to remove it."""

    step: Step
    content: str | None
    piece: Piece
    aside: Path | None = None
    foreign: bool = False  # what goes aside was never ours


@dataclass(frozen=True, slots=True)
class _Entry:
    """A piece that is in place: its file, with ``place`` as install.json has it."""

    place: str
    path: Path
    kind: str
    hash: str
    aside: str | None = None  # where a file lies that stood in the way and was not ours, as a place


@dataclass(frozen=True, slots=True)
class _Manifest:
    """install.json; ``others``: the folder of the host that it was copied from, if that is still installed into."""

    entries: tuple[_Entry, ...] = ()
    folders: tuple[str, ...] = ()
    others: str | None = None


def plan_install(pieces: Sequence[Piece], root: Path, home: Path, *, force: bool = False) -> list[Step]:
    """What :func:`install` would do. Raises InstallError as it would."""
    return [change.step for change in _changes(pieces, _read_manifest(root, home), force)]


def install(pieces: Sequence[Piece], root: Path, home: Path, *, force: bool = False) -> list[Step]:
    """Put every piece in place; may be repeated.

    Raises:
        InstallError: a file is in the way that is not ours or was changed (``force`` moves it aside as ``.before-
            cuckooml``), or one cannot be written; what was written by then is taken back.
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
    """Take away what :func:`install` put in place; a file that was changed since stays, unless ``force``.

    What stood in the way of a first ``install`` with ``force`` is put back.

    Raises:
        InstallError: nothing was installed with this home, or a file cannot be written.
    """
    manifest = _read_manifest(root, home, require=True)
    steps = []
    for entry in manifest.entries:
        if manifest.others is not None and Path(entry.place).is_absolute():
            steps.append(Step("keep", entry.path, f"also serves {manifest.others}, which this one was copied from"))
        else:
            steps += _take_away(entry, root, dry_run, force)
    if not dry_run:
        for folder in sorted((root / one for one in manifest.folders), key=lambda one: len(one.parts), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        (home / MANIFEST).unlink(missing_ok=True)
    return steps


def changed_pieces(root: Path, home: Path) -> list[tuple[Path, str]]:
    """Pieces that are not as they were put there, with what is wrong; our lines in a file of the host's may be edited.

    Raises InstallError as :func:`uninstall`.
    """
    found = []
    for entry in _read_manifest(root, home, require=True).entries:
        content = _read(entry.path)
        ours = _block_in(content)[1] if content is not None and entry.kind == "block" else content
        if ours is None:
            found.append((entry.path, "is missing" if content is None else "no longer has the lines of cuckoo-ml"))
        elif entry.kind == "file" and _digest(ours) != entry.hash:
            found.append((entry.path, "was changed since it was installed"))
    return found


# -- one piece ---------------------------------------------------------------------------------------------------------
def _changes(pieces: Sequence[Piece], manifest: _Manifest, force: bool) -> list[_Change]:
    known = {entry.path: entry.hash for entry in manifest.entries}
    found = []
    for piece in pieces:
        hash_then = known.get(piece.path)
        if isinstance(piece, Block):
            found.append(_block_change(piece, hash_then, force))
        else:
            found.append(_file_change(piece, hash_then, force))
    return found


def _file_change(piece: OwnFile, known: str | None, force: bool) -> _Change:
    current = _read(piece.path)
    if current is None:
        return _Change(Step("create", piece.path), piece.content, piece)
    if current == piece.content:
        return _Change(Step("keep", piece.path, "as it should be"), current, piece)
    if _digest(current) == known:
        return _Change(Step("update", piece.path), piece.content, piece)
    if not force:
        why = "was changed since it was installed" if known else "is there already and is not ours"
        raise InstallError(f"{piece.path}: {why}; move it away, or let --force put it aside and write a new one.")
    aside = _free(piece.path.with_name(f"{piece.path.name}.before-cuckooml"))
    step = Step("replace", piece.path, f"the old one becomes {aside.name}")
    return _Change(step, piece.content, piece, aside, foreign=known is None)


def _block_change(piece: Block, known: str | None, force: bool) -> _Change:
    current = _read(piece.path)
    if current is None:
        raise InstallError(f"{piece.path}: is missing; is this the right folder of the host?")
    rest, ours = _block_in(current)
    if any(line.strip() == piece.clash for line in rest.splitlines()):
        raise InstallError(f"{piece.path}: has {piece.clash} already; take that section out, then install again.")
    if ours == piece.content:
        return _Change(Step("keep", piece.path, "has our lines"), current, piece)
    if ours is not None and _digest(ours) != known and not force:
        note = "our lines were changed there, and stay; --force renews them"
        return _Change(Step("keep", piece.path, note), current, piece)
    glue = "" if not rest or rest.endswith("\n") else "\n"
    whole = f"{rest}{glue}{BEGIN}{'' if not glue else ' (and the line break before)'}\n{piece.content}{END}\n"
    return _Change(Step("update", piece.path, "adds our lines at its end"), whole, piece)


def _take_away(entry: _Entry, root: Path, dry_run: bool, force: bool) -> list[Step]:
    path = entry.path
    current = _read(path)
    if current is None:
        return [Step("keep", path, "is gone already"), *_put_back(entry, root, dry_run)]
    if entry.kind == "block":
        rest, ours = _block_in(current)
        if ours is None:
            return [Step("keep", path, "has no lines of ours")]
        if not dry_run:
            _write(path, rest)
        return [Step("update", path, "takes our lines out")]
    if _digest(current) != entry.hash and not force:
        return [Step("keep", path, "was changed since it was installed, so it stays; --force removes it")]
    if not dry_run:
        path.unlink()
        for compiled in (path.with_suffix(".pyc"), *path.parent.glob(f"__pycache__/{path.stem}.*.pyc")):
            if path.suffix == ".py":
                compiled.unlink(missing_ok=True)
    return [Step("remove", path), *_put_back(entry, root, dry_run)]


def _put_back(entry: _Entry, root: Path, dry_run: bool) -> list[Step]:
    """The file that stood where our piece was put, if it is still where it was moved to."""
    if entry.aside is None or not (root / entry.aside).exists():
        return []
    if not dry_run:
        (root / entry.aside).replace(entry.path)
    return [Step("restore", entry.path, f"from {Path(entry.aside).name}, which was there before")]


def _block_in(content: str) -> tuple[str, str | None]:
    """The file without our block, and the block's content (None without one; of several, all of theirs)."""
    rest: list[str] = []
    ours: list[str] | None = None
    opened: list[str] = []
    for line in content.splitlines(keepends=True):
        if line.startswith(BEGIN) and not opened:
            opened = [line]
        elif opened and line.startswith(END):
            if "line break before" in opened[0] and rest:
                rest[-1] = rest[-1].removesuffix("\n")
            ours = (ours or []) + opened[1:]
            opened = []
        elif opened:
            opened.append(line)
        else:
            rest.append(line)
    return "".join(rest + opened), None if ours is None else "".join(ours)


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
    """The path, or the first with a number that nothing has."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(one for one in chain([path], numbered) if not os.path.lexists(one))


def _place(path: Path, root: Path) -> str:
    """From the host's folder where it is in there, absolute elsewhere."""
    path = root / path
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _make_folders(folder: Path, undo: ExitStack) -> list[Path]:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        try:
            one.mkdir()
        except OSError as error:
            raise InstallError(f"{one}: cannot be made ({error.strerror}); run this as the host's user.") from error
        undo.callback(one.rmdir)
    return missing


def _move(path: Path, aside: Path, undo: ExitStack) -> None:
    try:
        path.replace(aside)
    except OSError as error:
        raise InstallError(f"{path}: cannot be moved ({error.strerror}); run this as the host's user.") from error
    undo.callback(aside.replace, path)


def _write(path: Path, content: str, undo: ExitStack | None = None) -> None:
    """In one rename, with the mode and, as root, the owner of what was there (or of the folder); a link stays one."""
    before = _read(path) if undo is not None else None
    file_itself = path.resolve()
    unfinished = file_itself.with_name(f".{path.name}.cuckooml")
    try:
        with unfinished.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(content)
        like = file_itself.stat() if file_itself.exists() else file_itself.parent.stat()
        if file_itself.exists():
            unfinished.chmod(like.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(unfinished, like.st_uid, like.st_gid)
        unfinished.replace(file_itself)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise InstallError(f"{path}: cannot be written ({error.strerror}); run this as the host's user.") from error
    if undo is not None:
        undo.callback(path.unlink) if before is None else undo.callback(_write, path, before)


def _read_manifest(root: Path, home: Path, *, require: bool = False) -> _Manifest:
    """Empty where there is none, unless one is required. Raises InstallError."""
    text = _read(home / MANIFEST)
    if text is None:
        if require:
            why = f"is missing, so nothing was installed into {root}; cuckoo-ml install does."
            raise InstallError(f"{home / MANIFEST}: {why}")
        return _Manifest()
    try:
        manifest = json.loads(text)
        entries = tuple(
            _Entry(one["path"], root / one["path"], one["kind"], one["hash"], one.get("aside"))
            for one in manifest["pieces"]
        )
        others = manifest.get("root")
        copied = others is not None and Path(others) != root.resolve()
        copied = copied and (Path(others) / home.relative_to(root) / MANIFEST).is_file()
        return _Manifest(entries, tuple(map(str, manifest["folders"])), others if copied else None)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "remove it, and install with --force"
        raise InstallError(f"{home / MANIFEST}: cannot be read ({error}); {remedy}.") from error
