"""A model on disk: a folder of ``.npy`` arrays and one ``model.json`` that lists them with shapes and checksums.

A model cannot run code: nothing in an array is unpickled. Arrays are read into memory that worker processes share and
that no change of a file reaches: a process that maps a file dies when somebody shortens it. ``models/current`` is a
link that is switched in one rename; a crash leaves the old model in force.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from cuckoo_ml_plugin.errors import ModelError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.files import UNFINISHED, exchange, replace_link, sync_folder
from cuckoo_ml_plugin.plumbing.sealed_memory import Memory, MemoryWriter, find

FORMAT = 1
CURRENT = "current"
_JSON = "model.json"
_MAX_JSON = 256 * 2**20
_MOST_NUMBER: Final = 2**53  # of a running number that is believed
_CHUNK: Final = 2**20  # bytes that are read, checked and put into memory at once
_ALIGNMENT: Final = 64  # bytes: where an array may begin
_PATIENCE: Final = 5.0  # seconds that a process waits for others which load the same model


def write_model(models: Path, model_id: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write a model's folder, whole or not at all. The model is in force only after :func:`publish`.

    Raises:
        ModelError: the disk is full or not writable; no part of the folder is left behind.
    """
    with _whole_folder(models, model_id) as folder:
        listing = {name: _write_array(folder / f"{name}.npy", array) for name, array in arrays.items()}
        number = 1 + max(map(_number, list_models(models)), default=0)
        _write_facts(folder, {"format": FORMAT, "id": model_id, **facts, "number": number, "arrays": listing})
    return models / model_id


def write_edited_copy(
    models: Path, original: str, model_id: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Path:
    """Write a copy of a model in which these facts and arrays are replaced, whole or not at all.

    Arrays that do not change are not copied: both folders have the same files. A copy that is there already is whole,
    and stays.

    Raises:
        ModelError: the original cannot be read, or the disk is full or not writable.
    """
    if (models / model_id).is_dir():
        return models / model_id
    described = _read_facts(models / original)
    listing = dict(described["arrays"])
    with _whole_folder(models, model_id) as folder:
        for name in listing:
            if name not in arrays:
                _share_file(models / original / f"{name}.npy", folder / f"{name}.npy")
        listing |= {name: _write_array(folder / f"{name}.npy", array) for name, array in arrays.items()}
        _write_facts(folder, {**described, **facts, "id": model_id, "arrays": listing})
    return models / model_id


@contextmanager
def _whole_folder(models: Path, model_id: str) -> Iterator[Path]:
    """A folder to write into, which becomes a model's when the block ends without an error. Raises ModelError."""
    models.mkdir(parents=True, exist_ok=True)
    unfinished = models / f"{UNFINISHED}{model_id}"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        yield unfinished
        sync_folder(unfinished)
        unfinished.rename(models / model_id)  # a whole folder, so files.replace_file does not do
        sync_folder(models)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        cause = error.strerror or f"the disk is full or fails: {error}"  # an error from NumPy has no strerror
        raise ModelError(
            f"{models}: the model cannot be written ({cause}); the previous model stays in force. Free disk space, then"
            f" run {Home(models.parent).command('refit')}"
        ) from error


def _write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    described = json.loads(json.dumps(facts, allow_nan=False))  # the form in which it is read back
    text = json.dumps({**described, "checksum": _checksum_of(described)}, indent=1)
    with (folder / _JSON).open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _share_file(original: Path, copy: Path) -> None:
    try:
        copy.hardlink_to(original)
    except OSError:  # the file system has no hard links
        shutil.copyfile(original, copy)


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    contiguous = np.ascontiguousarray(array)
    with path.open("wb") as file:
        # NumPy 2.2 and older declare no types here.
        np.lib.format.write_array(file, contiguous, allow_pickle=False)  # type: ignore[no-untyped-call,unused-ignore]
        file.flush()
        os.fsync(file.fileno())
    return {"dtype": contiguous.dtype.str, "shape": list(contiguous.shape), "checksum": _checksum(contiguous)}


def _checksum(array: NDArray[Any]) -> str:
    return xxhash.xxh3_128_hexdigest(array.reshape(-1).view(np.uint8).data if array.size else b"")


def _checksum_of(facts: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(facts, order="sorted"))


def remedy(folder: Path) -> str:
    """What to do about a model's folder that cannot be used."""
    home = Home(folder.absolute().parent.parent)
    return f"run {home.command('refit')}, or {home.command('models', 'rollback')}"


def read_model(folder: Path, *, from_before: bool = False) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The facts and the arrays of a model, in memory that no change of its files reaches.

    The processes of a user share this memory. A file is read once: what is checked is what is used.

    Args:
        from_before: whether a ``model.json`` without a checksum will do, as models from before 0.3.0 have it: a refit
            takes ids and names from it.

    Raises:
        ModelError: there is no model, or a file of it is missing, changed or not a model's.
    """
    facts = _read_facts(folder, from_before=from_before)
    places, size = _places(folder, facts["arrays"])
    name = f"cuckoo-ml-model-{_checksum_of(facts['arrays'])}"
    with _loading_alone(folder):
        memory: Memory | None = find(name, size)
        if memory is not None and not all(_checksum(place.array_in(memory)) == place.checksum for place in places):
            memory = None
        memory = _read_arrays(folder, places, name, size, memory)
    return facts, {place.name: place.array_in(memory) for place in places}


@dataclass(frozen=True, slots=True)
class _Place:
    """An array as ``model.json`` lists it, and where it stands in the memory of all arrays."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    checksum: str
    start: int

    @property
    def size(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    def array_in(self, memory: Memory) -> NDArray[Any]:
        count = math.prod(self.shape)
        array: NDArray[Any] = np.frombuffer(memory, self.dtype, count, self.start) if count else np.zeros(0, self.dtype)
        return array.reshape(self.shape)


def _places(folder: Path, listing: Mapping[str, Mapping[str, Any]]) -> tuple[list[_Place], int]:
    """The places of all arrays, and the size of the memory that holds them. Raises ModelError."""
    places, end = [], 0
    for name, listed in sorted(listing.items()):
        if Path(name).name != name:
            raise ModelError(f"{folder / _JSON}: it names an array outside the model's folder; {remedy(folder)}")
        try:
            dtype, shape = np.dtype(str(listed["dtype"])), tuple(listed["shape"])
            if dtype.hasobject or not dtype.itemsize or not all(type(n) is int and n >= 0 for n in shape):
                raise ValueError("it is no list of numbers")
            place = _Place(name, dtype, shape, str(listed["checksum"]), end)
        except (KeyError, ValueError, TypeError, SyntaxError) as error:
            raise ModelError(
                f"{folder / _JSON}: what it says of {name[:100]} cannot be ({error}); {remedy(folder)}"
            ) from error
        places.append(place)
        end = -(-(end + place.size) // _ALIGNMENT) * _ALIGNMENT
    return places, end


def _read_arrays(folder: Path, places: list[_Place], name: str, size: int, known: Memory | None) -> Memory:
    """The memory with all arrays; ``known``: where they are already, so that the files are only checked."""
    path = folder
    writer: MemoryWriter | None = None
    try:
        lengths = [_length_of(path := folder / f"{place.name}.npy") for place in places]
        if sum(place.size for place in places) > sum(lengths):  # before so much memory is taken
            raise ValueError("it is shorter than model.json says")
        writer = MemoryWriter(name, size) if known is None else None
        for place in places:
            path = folder / f"{place.name}.npy"
            if _read_array(path, place, writer) != place.checksum:
                raise ValueError("its content is another one")
        if writer is not None:
            known = writer.sealed()
        assert known is not None
        return known
    except FileNotFoundError as error:
        raise ModelError(f"{path}: it is missing; {remedy(folder)}") from error
    except (ValueError, EOFError, SyntaxError) as error:
        raise ModelError(f"{path}: it has changed since the model was fitted ({error}); {remedy(folder)}") from error
    except (OSError, MemoryError) as error:
        raise ModelError(f"{path}: it cannot be read into memory ({error}); {remedy(folder)}") from error
    finally:
        if writer is not None:
            writer.close()


def _length_of(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file")
    return status.st_size


def _read_array(path: Path, place: _Place, writer: MemoryWriter | None) -> str:
    """The checksum of an array, which goes into the memory that is written. Raises OSError, ValueError."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        if (np.lib.format.read_magic(file)) != (1, 0):  # type: ignore[no-untyped-call,unused-ignore]
            raise ValueError("it is no array of a model")
        shape, in_columns, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call,unused-ignore]
        if (shape, in_columns, dtype) != (place.shape, False, place.dtype):
            raise ValueError("it is another array")
        start, rest = place.start, place.size
        while rest:
            chunk = file.read(min(rest, _CHUNK))
            if not chunk:
                raise ValueError("it is too short")
            digest.update(chunk)
            if writer is not None:
                writer.write(memoryview(chunk), start)
            start, rest = start + len(chunk), rest - len(chunk)
    return digest.hexdigest()


@contextmanager
def _loading_alone(folder: Path) -> Iterator[None]:
    """Let one process after another load a model, so that the others find the memory of the first.

    Nobody waits for long: whoever does not get his turn loads the model beside the others.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # there is no such folder, or its file system knows no locks
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            deadline = time.monotonic() + _PATIENCE
            while not _locked(descriptor) and time.monotonic() < deadline:
                time.sleep(0.01)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_facts(folder: Path, *, from_before: bool = False) -> dict[str, Any]:
    path = folder / _JSON
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ValueError("it is too large")
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or not isinstance(facts.get("arrays"), dict):
            raise ValueError("it is not the description of a model")
        if not all(isinstance(listed, dict) for listed in facts["arrays"].values()):
            raise ValueError("its list of arrays is malformed")
        checksum = facts.pop("checksum", None)
        if checksum is None and not from_before:
            raise ValueError("it has no checksum, as models from before 0.3.0; a refit keeps ids and names")
        if checksum is not None and checksum != _checksum_of(facts):
            raise ValueError("it has changed since the model was fitted")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); {remedy(folder)}") from error
    if facts.get("format") != FORMAT:
        raise ModelError(f"{path}: it is from another version of cuckoo-ml-plugin; {remedy(folder)}")
    return facts


def publish(models: Path, model_id: str) -> None:
    """Put a model in force, in one rename. Raises ModelError."""
    try:
        replace_link(models / CURRENT, model_id)
    except OSError as error:
        raise ModelError(f"{models / CURRENT}: cannot be switched to {model_id} ({error.strerror}).") from error


def current_id(models: Path) -> str | None:
    """The id of the model in force, None without one.

    The link counts by its name alone, wherever it leads: a copy of a home uses its own model. Where copying has made a
    folder of the link, the folder says which model it is.
    """
    link = models / CURRENT
    try:
        return Path(os.readlink(link)).name or None
    except OSError:
        pass
    try:
        return _id_of_copy(link, (link / _JSON).stat().st_mtime_ns) if link.is_dir() else None
    except OSError:
        return CURRENT


def folder_in_force(models: Path, model_id: str) -> Path:
    """The folder of the model in force: where the link was made a folder by copying, that may be the only one."""
    folder, copy = models / model_id, models / CURRENT
    return copy if not folder.is_dir() and copy.is_dir() and not copy.is_symlink() else folder


@lru_cache(maxsize=16)
def _id_of_copy(copy: Path, _time: int) -> str:
    try:
        name = str(_read_facts(copy, from_before=True).get("id"))
    except ModelError:
        return CURRENT
    return name if Path(name).name == name else CURRENT


def mend_current(models: Path) -> None:
    """Make ``current`` the plain link that it is, where copying made it a folder or a link with a path. Raises OSError.

    Only who holds the lock of the models may do that.
    """
    link, name = models / CURRENT, current_id(models)
    if link.is_symlink():
        if name is not None and os.readlink(link) != name and (models / name).is_dir():
            replace_link(link, name)
    elif link.is_dir():
        leftover = models / f"{UNFINISHED}{CURRENT}"
        shutil.rmtree(leftover, ignore_errors=True)
        leftover.unlink(missing_ok=True)
        if name is None or name == CURRENT:  # nobody can read it
            link.rename(leftover)
            return
        place = leftover if (models / name).exists() else models / name
        place.symlink_to(name)
        if not exchange(place, link):
            place.unlink()
            link.rename(place)
            link.symlink_to(name)
        if place == leftover:
            shutil.rmtree(leftover, ignore_errors=True)
        sync_folder(models)


def list_models(models: Path) -> list[dict[str, Any]]:
    """The facts of every model that can be read, in the order of their making: clocks may jump."""
    models_facts = []
    for folder in sorted(models.glob("*")) if models.is_dir() else []:
        if folder.is_symlink() or not folder.is_dir() or folder.name.startswith(".") or folder.name == CURRENT:
            continue
        try:
            facts = _read_facts(folder)
        except ModelError:
            continue
        facts["folder"] = folder.name
        models_facts.append(facts)
    return sorted(models_facts, key=lambda facts: (_number(facts), str(facts.get("fitted_at")), facts["folder"]))


def _number(facts: Mapping[str, Any]) -> int:
    """The running number of a model among those of its home; 0 for one from before 0.3.0."""
    number = facts.get("number")
    return number if isinstance(number, int) and 0 < number < _MOST_NUMBER else 0


def prune(models: Path, keep: int) -> list[str]:
    """Remove all but the newest ``keep`` models, and what a crash left. The model in force stays. Returns the ids."""
    current = current_id(models)
    others = [facts["folder"] for facts in list_models(models) if facts["folder"] != current]
    kept = max(keep - (1 if current else 0), 0)
    removed = others[: max(len(others) - kept, 0)]
    for name in removed:
        remove_model(models, name)
    remove_leftovers(models)
    return removed


def remove_model(models: Path, name: str) -> None:
    """Remove a model's folder; a kill meanwhile leaves no part of it under a model's name. Raises ModelError."""
    unfinished = models / f"{UNFINISHED}{name}"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        (models / name).rename(unfinished)
    except OSError as error:
        raise ModelError(f"{models / name}: the model cannot be removed ({error.strerror}).") from error
    shutil.rmtree(unfinished, ignore_errors=True)


def remove_leftovers(models: Path) -> None:
    """Remove what a crash left of models that were being written or removed."""
    for leftover in models.glob(f"{UNFINISHED}*"):
        if leftover.is_symlink():
            leftover.unlink(missing_ok=True)
        else:
            shutil.rmtree(leftover, ignore_errors=True)
