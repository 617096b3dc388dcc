"""Putting an installation in place, and taking away exactly that again.

What was put where, with its hash, is kept in the home (``install.json``). A file that someone changed since, or that
was never ours, is not touched: it is named, and ``force`` moves it aside.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.hosts.layout import Block, OwnFile, Piece

MANIFEST = "install.json"
BEGIN, END = "# >>> cuckoo-ml: what stands up to the next mark is put here by cuckoo-ml install", "# <<< cuckoo-ml"


class InstallError(CuckooMLError):
    """An installation that cannot be put in place or taken away; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done, or that is done already: ``what`` is create, update, replace, keep or remove."""

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


def plan_install(pieces: Sequence[Piece], home: Path, *, force: bool = False) -> list[Step]:
    """What :func:`install` would do. Raises InstallError as it would."""
    return [change.step for change in _changes(pieces, _read_manifest(home), force)]


def install(pieces: Sequence[Piece], home: Path, *, force: bool = False) -> list[Step]:
    """Put every piece in place; may be repeated.

    Raises:
        InstallError: a file is in the way that is not ours or was changed (``force`` moves it aside as ``.before-
            cuckooml``), or one cannot be written.
    """
    before = _read_manifest(home)
    changes = _changes(pieces, before, force)
    folders = list(before.get("folders", []))
    for change in changes:
        if change.content is None or change.step.what == "keep":
            continue
        folders += [str(folder) for folder in _make_folders(change.step.path.parent)]
        if change.aside is not None:
            change.step.path.replace(change.aside)
        _write(change.step.path, change.content)
    entries = [{"path": str(piece.path), "kind": _kind(piece), "hash": _digest(piece.content)} for piece in pieces]
    _write(home / MANIFEST, json.dumps({"pieces": entries, "folders": sorted(set(folders))}, indent=1) + "\n")
    return [change.step for change in changes]


def uninstall(home: Path, *, dry_run: bool = False, force: bool = False) -> list[Step]:
    """Take away what :func:`install` put in place; a file that was changed since stays, unless ``force``.

    Raises:
        InstallError: nothing was installed with this home, or a file cannot be written.
    """
    manifest = _read_manifest(home)
    if not manifest:
        raise InstallError(f"{home / MANIFEST}: is missing, so nothing was installed with this home.")
    steps = [_take_away(entry, dry_run, force) for entry in manifest["pieces"]]
    if not dry_run:
        for folder in sorted(manifest["folders"], key=len, reverse=True):
            if Path(folder).is_dir() and not any(Path(folder).iterdir()):
                Path(folder).rmdir()
        (home / MANIFEST).unlink(missing_ok=True)
    return steps


def changed_pieces(home: Path) -> list[tuple[Path, str]]:
    """Pieces that are not as they were put there, with what is wrong; our lines in a file of the host's may be edited.

    Raises InstallError as :func:`uninstall`.
    """
    manifest = _read_manifest(home)
    if not manifest:
        raise InstallError(f"{home / MANIFEST}: is missing; run cuckoo-ml install.")
    found = []
    for entry in manifest["pieces"]:
        path = Path(entry["path"])
        content = _read(path)
        ours = _block_in(content)[1] if content is not None and entry["kind"] == "block" else content
        if ours is None:
            found.append((path, "is missing" if content is None else "no longer has the lines of cuckoo-ml"))
        elif entry["kind"] == "file" and _digest(ours) != entry["hash"]:
            found.append((path, "was changed since it was installed"))
    return found


# -- one piece ---------------------------------------------------------------------------------------------------------
def _changes(pieces: Sequence[Piece], manifest: dict[str, Any], force: bool) -> list[_Change]:
    known = {entry["path"]: entry["hash"] for entry in manifest.get("pieces", [])}
    found = []
    for piece in pieces:
        hash_then = known.get(str(piece.path))
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
    aside = piece.path.with_name(f"{piece.path.name}.before-cuckooml")
    return _Change(Step("replace", piece.path, f"the old one becomes {aside.name}"), piece.content, piece, aside)


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


def _take_away(entry: dict[str, str], dry_run: bool, force: bool) -> Step:
    path = Path(entry["path"])
    current = _read(path)
    if current is None:
        return Step("keep", path, "is gone already")
    if entry["kind"] == "block":
        rest, ours = _block_in(current)
        if ours is None:
            return Step("keep", path, "has no lines of ours")
        if not dry_run:
            _write(path, rest)
        return Step("update", path, "takes our lines out")
    if _digest(current) != entry["hash"] and not force:
        return Step("keep", path, "was changed since it was installed, so it stays; --force removes it")
    if not dry_run:
        path.unlink()
        for compiled in (path.with_suffix(".pyc"), *path.parent.glob(f"__pycache__/{path.stem}.*.pyc")):
            if path.suffix == ".py":
                compiled.unlink(missing_ok=True)
    return Step("remove", path)


def _block_in(content: str) -> tuple[str, str | None]:
    """The file without our block, and the block's content (None without one)."""
    lines = content.splitlines(keepends=True)
    starts = [i for i, line in enumerate(lines) if line.startswith(BEGIN)]
    ends = [i for i, line in enumerate(lines) if line.startswith(END)]
    if not starts or not ends or ends[-1] < starts[0]:
        return content, None
    before = "".join(lines[: starts[0]])
    if "line break before" in lines[starts[0]]:
        before = before[:-1]
    return before + "".join(lines[ends[-1] + 1 :]), "".join(lines[starts[0] + 1 : ends[-1]])


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


def _make_folders(folder: Path) -> list[Path]:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        try:
            one.mkdir()
        except OSError as error:
            raise InstallError(f"{one}: cannot be made ({error.strerror}); run this as the host's user.") from error
    return missing


def _write(path: Path, content: str) -> None:
    """In one rename, with the mode and, as root, the owner of what was there (or of the folder)."""
    unfinished = path.with_name(f".{path.name}.cuckooml")
    try:
        with unfinished.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(content)
        like = path.stat() if path.exists() else path.parent.stat()
        if path.exists():
            unfinished.chmod(like.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(unfinished, like.st_uid, like.st_gid)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InstallError(f"{path}: cannot be written ({error.strerror}); run this as the host's user.") from error


def _read_manifest(home: Path) -> dict[str, Any]:
    text = _read(home / MANIFEST)
    if text is None:
        return {}
    try:
        manifest = json.loads(text)
        if not all({"path", "kind", "hash"} <= entry.keys() for entry in manifest["pieces"]):
            raise ValueError("an entry lacks a field")
        return {"pieces": manifest["pieces"], "folders": list(manifest["folders"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "remove it, and install with --force"
        raise InstallError(f"{home / MANIFEST}: cannot be read ({error}); {remedy}.") from error
