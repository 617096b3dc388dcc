"""A model folder from anywhere loads, or one sentence says what is wrong with it; it never runs code."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.model_facts import facts_of, write_facts

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.errors import ModelError
from cuckoo_ml_plugin.model.model import Model


@pytest.fixture
def folder(own_demo: DemoHome) -> Path:
    return own_demo.home / "models" / "current"


def arrays_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


class _Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def tamper(folder: Path) -> None:
    largest = max(arrays_of(folder), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[-1] ^= 1
    largest.write_bytes(content)


def lose(folder: Path) -> None:
    arrays_of(folder)[3].unlink()


def swap(folder: Path) -> None:
    first, second = arrays_of(folder)[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def put_in_a_foreign_array(folder: Path) -> None:
    np.save(arrays_of(folder)[0], np.zeros((3, 3), np.complex128))


def cut(folder: Path) -> None:
    path = arrays_of(folder)[0]
    path.write_bytes(path.read_bytes()[:64])


def forget_json(folder: Path) -> None:
    (folder / "model.json").unlink()


def write_nonsense(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"\x00\xff{{{")


def write_a_list(folder: Path) -> None:
    (folder / "model.json").write_text("[]")


def nest(folder: Path) -> None:
    (folder / "model.json").write_text("[" * 100_000)


def _edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what model.json says, by someone who can write checksums."""
    facts = facts_of(folder)
    change(facts)
    write_facts(folder, facts)


def forget_the_checksum(folder: Path) -> None:
    path = folder / "model.json"
    facts = json.loads(path.read_text())
    del facts["checksum"]
    path.write_text(json.dumps(facts))


def change_a_number_in_the_facts(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(path.read_text().replace('"analyses": 3', '"analyses": 4', 1))


def from_the_future(folder: Path) -> None:
    _edit(folder, lambda facts: facts.update(format=99))


def name_an_array_outside(folder: Path) -> None:
    _edit(folder, lambda facts: facts["arrays"].update({"../../../etc/passwd": {}}))


def forget_an_array_in_the_list(folder: Path) -> None:
    _edit(folder, lambda facts: facts["arrays"].pop("embedding.weights"))


def forget_the_settings(folder: Path) -> None:
    _edit(folder, lambda facts: facts.pop("settings"))


def turn_clusters_into_text(folder: Path) -> None:
    _edit(folder, lambda facts: facts.update(clusters="many"))


DAMAGES = [
    tamper, lose, swap, put_in_a_foreign_array, cut, forget_json, write_nonsense, write_a_list, nest, from_the_future,
    name_an_array_outside, forget_an_array_in_the_list, forget_the_settings, turn_clusters_into_text,
    change_a_number_in_the_facts, forget_the_checksum,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_model_is_one_sentence_and_a_refit_mends_it(
    own_demo: DemoHome, folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    with pytest.raises(ModelError) as error:
        Model.load(folder)
    assert str(folder.resolve()) in str(error.value) or str(folder) in str(error.value)
    done = cuckoo_ml(own_demo.home, "score", own_demo.corpus.new[0].path)
    assert done.code == 1
    assert done.err.count("Error: ") == 1
    assert "Traceback" not in done.err
    assert "refit" in done.err


def test_a_pickle_in_an_array_is_not_opened(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "was run"
    path = arrays_of(folder)[0]
    np.save(path, np.array([_Touch(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(ModelError):
        Model.load(folder)
    path.write_bytes(pickle.dumps(_Touch(mark)))
    with pytest.raises(ModelError):
        Model.load(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "number"), [("rows.starts", 2**40), ("clustering.centroids", np.nan), ("novelty.components", np.nan)]
)
def test_impossible_numbers_are_an_error_and_no_crash(
    own_demo: DemoHome, folder: Path, name: str, number: float
) -> None:
    """Someone who can write checksums can write any numbers: they must not end the process."""
    path = folder / f"{name}.npy"
    wrong = np.load(path)
    wrong[1:-1] = number
    np.save(path, wrong)
    checksum = xxhash.xxh3_128_hexdigest(wrong.reshape(-1).view(np.uint8).data)
    _edit(folder, lambda facts: facts["arrays"][name].update(checksum=checksum))
    done = cuckoo_ml(own_demo.home, "score", own_demo.corpus.new[0].path, "--json")
    assert "Traceback" not in done.err
    assert done.code in (0, 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    data=st.data(),
)
def test_any_fact_may_be_anything(demo: DemoHome, value: object, data: st.DataObject, tmp_path: Path) -> None:
    source = demo.home / "models" / "current"
    copy = tmp_path / "model"
    if not copy.exists():
        copy.mkdir()
        for path in source.iterdir():
            (copy / path.name).symlink_to(path.resolve())
        (copy / "model.json").unlink()
    facts = facts_of(source)
    facts[data.draw(st.sampled_from(sorted(facts)))] = value
    try:
        write_facts(copy, json.loads(json.dumps(facts, allow_nan=False)))
    except ValueError:  # no JSON has that
        return
    with contextlib.suppress(ModelError):
        model = Model.load(copy)
        section = model.score(Behaviour(["api:NtClose", "file_read:a"], {"api_calls": 1})).section()
        json.dumps(section, allow_nan=False)
