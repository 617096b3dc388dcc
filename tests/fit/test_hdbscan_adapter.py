"""A release of hdbscan or fast-hdbscan that changes an undocumented function gives a sentence, not a traceback."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cuckoo_ml_plugin
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.fit.groups import hdbscan_adapter
from cuckoo_ml_plugin.fit.groups.hdbscan_adapter import (
    TESTED_VERSIONS,
    boruvka_tree,
    linkage,
    outlier_scores,
    reference_tree,
    select_clusters,
)
from cuckoo_ml_plugin.plumbing.commands import install_command

POINTS = np.random.default_rng(7).normal(size=(60, 40)).astype(np.float32)
EDGES = reference_tree(POINTS, 2)
EDGES = EDGES[np.lexsort((EDGES[:, 1], EDGES[:, 0], EDGES[:, 2]))]
PUBLIC = {("hdbscan", "HDBSCAN"), ("hdbscan.validity", "validity_index")}


def condensed_tree() -> NDArray[Any]:
    return select_clusters(POINTS, linkage(EDGES), 4, 0.0)[2]


CALLS: dict[str, tuple[str, str, Callable[[], object]]] = {
    "label": ("hdbscan", "hdbscan._hdbscan_linkage", lambda: linkage(EDGES)),
    "_tree_to_labels": ("hdbscan", "hdbscan.hdbscan_", condensed_tree),
    "outlier_scores": ("hdbscan", "hdbscan._hdbscan_tree", lambda: outlier_scores(condensed_tree())),
    "compute_minimum_spanning_tree": ("fast-hdbscan", "fast_hdbscan.hdbscan", lambda: boruvka_tree(POINTS, 2)),
}


def assert_sentence(error: CuckooMLError, package: str, installed: str) -> None:
    sentence = str(error)
    assert sentence.startswith(f"{package} {installed} cannot be used: ")
    assert all(tested in sentence for tested in TESTED_VERSIONS[package])
    assert sentence.endswith(f"so run {install_command(f'{package}=={TESTED_VERSIONS[package][-1]}')}")
    assert "\n" not in sentence


@pytest.mark.parametrize("package", TESTED_VERSIONS)
def test_the_installed_version_is_a_tested_one(package: str) -> None:
    assert version(package) in TESTED_VERSIONS[package]


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_function_gives_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, module, call = CALLS[name]
    call()
    monkeypatch.delattr(import_module(module), name)
    monkeypatch.setattr(hdbscan_adapter, "version", lambda _: "9.9.9")
    with pytest.raises(CuckooMLError) as raised:
        call()
    assert_sentence(raised.value, package, "9.9.9")
    assert name in str(raised.value)


@pytest.mark.parametrize("name", CALLS)
def test_another_signature_gives_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, module, call = CALLS[name]

    def other(points: Any, samples: int) -> None:
        raise AssertionError("a function of another signature is not called")

    monkeypatch.setattr(import_module(module), name, other)
    with pytest.raises(CuckooMLError) as raised:
        call()
    assert_sentence(raised.value, package, version(package))


@pytest.mark.parametrize("answer", [([],), (np.zeros((3, 3)),), ()])
def test_another_result_of_the_tree_gives_one_sentence(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(data: Any, min_samples: int, sample_weights: Any, reproducible: bool) -> object:
        return answer

    monkeypatch.setattr("fast_hdbscan.hdbscan.compute_minimum_spanning_tree", other)
    with pytest.raises(CuckooMLError) as raised:
        boruvka_tree(POINTS, 2)
    assert_sentence(raised.value, "fast-hdbscan", version("fast-hdbscan"))


def test_both_trees_have_the_same_weights() -> None:
    """In more than 30 dimensions, where fast-hdbscan's own estimator approximates."""
    exact, fast = reference_tree(POINTS, 3), boruvka_tree(POINTS, 3)
    assert np.sort(fast[:, 2]) == pytest.approx(np.sort(exact[:, 2]), abs=1e-5)


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of everything that a file imports from hdbscan and fast_hdbscan."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules = [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [(alias.name, "") for alias in node.names]
        else:
            continue
        yield from (pair for pair in modules if pair[0].partition(".")[0] in ("hdbscan", "fast_hdbscan"))


def test_only_the_adapter_reaches_beyond_the_public_functions() -> None:
    root = Path(cuckoo_ml_plugin.__file__).parent
    python2 = root / "hosts" / "cuckoo2"
    for path in root.rglob("*.py"):
        if path == Path(hdbscan_adapter.__file__) or path.is_relative_to(python2):
            continue
        beyond = set(imported_names(path)) - PUBLIC
        assert not beyond, f"{path.relative_to(root)} imports {beyond}; put the call into fit/groups/hdbscan_adapter.py"


# -- machines without hdbscan, such as ARM ---------------------------------------------------------------------------


def groups(trial: int) -> NDArray[np.float32]:
    """Four groups of points of different density; in odd trials with many equal distances.

    Every third trial has three narrower groups in each, which an epsilon joins.
    """
    random = np.random.default_rng(trial)
    if trial % 3 == 2:
        centres = [random.normal(random.normal(size=5) * 3, 0.5, 5) for _ in range(4) for _ in range(3)]
        parts = [random.normal(centre, random.uniform(0.02, 0.1), (15, 5)) for centre in centres]
        return np.concatenate(parts).astype(np.float32)
    parts = [random.normal(random.normal(size=5) * 3, random.uniform(0.1, 1), (50, 5)) for _ in range(4)]
    points = np.concatenate(parts).astype(np.float32)
    return np.round(points) if trial % 2 else points


@pytest.mark.parametrize("trial", range(12))
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_scikit_learns_port_gives_what_hdbscan_gives(
    trial: int, epsilon: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = groups(trial)
    edges = reference_tree(points, 1 + trial % 5)
    edges[:, 2] = np.maximum(edges[:, 2], 1e-6)  # as a fit does
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0], edges[:, 2]))]
    tree = linkage(edges)
    labels, probabilities, condensed = select_clusters(points, tree, 2 + trial % 7, epsilon)
    scores = outlier_scores(condensed)
    assert labels.max() > 0
    assert 0 < scores.max() <= 1

    monkeypatch.setattr(hdbscan_adapter, "has_reference", lambda: False)
    np.testing.assert_array_equal(linkage(edges), tree)
    ours = select_clusters(points, tree, 2 + trial % 7, epsilon)
    np.testing.assert_array_equal(ours[0], labels)
    np.testing.assert_allclose(ours[1], probabilities)
    assert ours[2].dtype.names == condensed.dtype.names
    for name in ours[2].dtype.names or ():
        np.testing.assert_allclose(ours[2][name], condensed[name])
    np.testing.assert_allclose(outlier_scores(ours[2]), scores)


@pytest.mark.parametrize("name", ["make_single_linkage", "tree_to_labels", "_condense_tree"])
def test_another_scikit_learn_gives_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = linkage(EDGES)
    monkeypatch.setattr(hdbscan_adapter, "has_reference", lambda: False)
    module = "_linkage" if name == "make_single_linkage" else "_tree"
    monkeypatch.delattr(import_module(f"sklearn.cluster._hdbscan.{module}"), name)
    with pytest.raises(CuckooMLError) as raised:
        select_clusters(POINTS, tree, 4, 0.0) if module == "_tree" else linkage(EDGES)
    assert_sentence(raised.value, "scikit-learn", version("scikit-learn"))
