"""The arrays of a model's parts are checked against their declared types and shapes in one place."""

from __future__ import annotations

from dataclasses import make_dataclass
from types import GenericAlias
from typing import Annotated

import numpy as np
import pytest
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape
from cuckoo_ml_plugin.model.frequencies import Frequencies
from cuckoo_ml_plugin.model.groups.clustering import Clustering
from cuckoo_ml_plugin.model.members import Member, Members
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.model.providers import ProviderModels
from cuckoo_ml_plugin.model.token_rows import TokenRows


def rows() -> dict[str, NDArray[np.generic]]:
    columns, sizes = np.array([1, 4, 2], np.int32), np.zeros(16, np.int32)
    return {"starts": np.array([0, 2, 3]), "columns": columns, "sizes": sizes}


def test_a_part_is_read_from_the_arrays_that_it_writes() -> None:
    part = TokenRows.from_arrays(rows())
    assert list(part.arrays()) == ["starts", "columns", "sizes"]
    assert all(part.arrays()[name] is getattr(part, name) for name in part.arrays()), "mapped arrays stay mapped"


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("columns", None, "columns is missing"),
        ("columns", np.zeros(3), "columns holds float64 instead of int32"),
        ("columns", np.zeros((3, 1), np.int32), "columns has 2 dimensions instead of 1"),
        ("columns", np.zeros(2, np.int32), "starts does not end at 2"),
        ("starts", np.zeros(0, np.int64), "starts does not end at 3"),
        ("starts", np.array([0, 3, 4]), "starts does not end at 3"),
    ],
)
def test_arrays_that_do_not_fit_are_named(name: str, array: NDArray[np.generic] | None, reason: str) -> None:
    arrays = rows()
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    with pytest.raises(ValueError, match=f"arrays of TokenRows do not belong together: .*{reason}"):
        TokenRows.from_arrays(arrays)


def test_a_part_inside_a_part_has_its_prefix_and_shares_lengths() -> None:
    names = list(clustering_arrays(3))
    assert [name for name in names if name.startswith("index_")] == [
        "index_vectors", "index_numbers", "index_pivots", "index_radii", "index_starts",
    ]  # fmt: skip
    clustering = Clustering.from_arrays(clustering_arrays(3), min_samples=1, certainty=0.5)
    assert list(clustering.arrays()) == names
    other_index = {name: array for name, array in clustering_arrays(4).items() if name.startswith("index_")}
    with pytest.raises(ValueError, match="Clustering do not belong together: multiplicities has the length 3 instead"):
        Clustering.from_arrays(clustering_arrays(3) | other_index, min_samples=1, certainty=0.5)


def clustering_arrays(points: int) -> dict[str, NDArray[np.generic]]:
    index = NeighbourIndex.build(np.eye(5, dtype=np.float32)[:points], 1)
    integers, floats = np.zeros(points, np.int64), np.zeros(points)
    nodes, densities = np.zeros(0, np.int64), np.zeros(0)
    return Clustering(
        index=index, multiplicities=integers, labels=integers, probabilities=floats, outlier_scores=floats,
        certainties=floats, density_labels=integers, centroids=np.zeros((0, 5), np.float32), core_distances=floats,
        density_sizes=np.zeros(0, np.int64), likeness_weight=np.zeros(1), parents=integers,
        lambdas=floats, node_parents=nodes, node_lambdas=densities, node_clusters=nodes,
        node_max_lambdas=densities, node_depths=densities, min_samples=1, certainty=0.5,
    ).arrays()  # fmt: skip


def test_members_of_two_models_are_refused() -> None:
    members = Members.build([Member("1", None, None), Member("2", None, "zbot")], np.array([0, 1]), 2)
    assert len(Members.from_arrays(members.arrays())) == 2
    with pytest.raises(ValueError, match="offsets does not end at"):
        Members.from_arrays(members.arrays() | {"text": members.text[:-1]})


def test_arrays_that_an_older_version_did_not_write_are_empty() -> None:
    empty = {name: np.zeros(0, np.int64) for name in ("corpus", "columns", "counts", "rare_hashes", "rare_counts")}
    frequencies = Frequencies.from_arrays({**empty, "starts": np.array([0])})
    assert not len(frequencies.rare_pairs)
    with pytest.raises(ValueError, match="rare_pair_counts has the length 1"):
        Frequencies.from_arrays({**empty, "starts": np.array([0]), "rare_pair_counts": np.ones(1, np.int32)})


def test_a_model_without_providers_has_no_arrays_of_them() -> None:
    assert ProviderModels.none().arrays() == {}
    assert ProviderModels.from_model({}, None).names == ()


@pytest.mark.parametrize(
    "annotation",
    [GenericAlias(np.ndarray, (tuple, GenericAlias(np.dtype, (np.int64,)))), GenericAlias(np.ndarray, (np.int64,))],
    ids=["until NumPy 2.4", "from NumPy 2.5"],
)
def test_the_type_of_an_array_is_read_however_numpy_writes_it(annotation: GenericAlias) -> None:
    part = make_dataclass("Counts", [("values", Annotated[annotation, Shape("n")])], bases=(ModelPart,), frozen=True)
    values = np.array([3, 1])
    assert part.from_arrays({"values": values}).values is values  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="values holds float64 instead of int64"):
        part.from_arrays({"values": values / 2})  # type: ignore[attr-defined]
