"""The only module that calls functions which hdbscan, fast-hdbscan and scikit-learn do not document as their interface.

HDBSCAN on weighted points needs its steps one by one (spanning tree, linkage, condensed tree, scores), and no library
offers them all in public. Their names and signatures may change with any release, so each function is checked when it
is used: a version that differs gives one sentence instead of a traceback, or worse, of other clusters.

hdbscan has no wheel for some machines, such as ARM. Where it is not installed, scikit-learn's port of it does the same
steps and gives the same clusters; only the plot-free measures that hdbscan alone has (DBCV) are then missing.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.plumbing.commands import install_command

TESTED_VERSIONS = {
    "hdbscan": ("0.8.44",),
    "fast-hdbscan": ("0.3.4",),
    "scikit-learn": ("1.9.1",),
}
"""The releases that the tests ran with, the newest last. Add one after a run of the tests with it."""

_TREE_FIELDS = frozenset(("parent", "child", "lambda_val", "child_size"))
_UNWEIGHTED = np.zeros(1, np.float32)
"""A single weight stands for none in fast-hdbscan. Without any, it leaves more than 30 dimensions to pynndescent, whose
tree is approximate; with one for each point (0.3.4), it adds distances to squared distances."""

Floats = NDArray[np.floating[Any]]


def reference_tree(points: NDArray[np.float32], min_samples: int) -> Floats:
    """hdbscan's exact spanning tree of the points (n, d): edges (n - 1, 3) of from, to, mutual reachability distance.

    It needs nothing compiled and is the reference for the other trees, but takes minutes for tens of thousands. Where
    hdbscan is not installed, this is fast-hdbscan's tree.
    """
    if not has_reference():
        return boruvka_tree(points, min_samples)
    import hdbscan

    fitted = hdbscan.HDBSCAN(
        min_cluster_size=2,
        min_samples=min_samples,
        gen_min_span_tree=True,
        approx_min_span_tree=False,
        core_dist_n_jobs=1,
    ).fit(points.astype(np.float64))
    return np.asarray(fitted.minimum_spanning_tree_.to_numpy(), np.float64)


def boruvka_tree(points: NDArray[np.float32], min_samples: int) -> Floats:
    """fast-hdbscan's exact spanning tree of the points (n, d), as ``reference_tree`` gives it, ties aside.

    Raises CuckooMLError: the installed fast-hdbscan is not as tested.
    """
    compute = _function(
        "fast-hdbscan",
        "fast_hdbscan.hdbscan",
        "compute_minimum_spanning_tree",
        ("data", "min_samples", "sample_weights", "reproducible"),
    )
    data = np.ascontiguousarray(points, np.float32)
    try:
        answer = compute(data, min_samples=min_samples, sample_weights=_UNWEIGHTED, reproducible=True)
        edges = np.asarray(answer[0], np.float64)
    except (TypeError, ValueError, LookupError) as error:
        raise _untested("fast-hdbscan", f"compute_minimum_spanning_tree fails ({error})") from error
    if edges.shape != (len(points) - 1, 3):
        raise _untested("fast-hdbscan", "compute_minimum_spanning_tree returns no list of edges")
    return edges


def linkage(edges: Floats) -> Floats:
    """The single-linkage tree (n - 1, 4) of a spanning tree's edges (n - 1, 3), which ascend in distance.

    Raises CuckooMLError: the installed hdbscan, or scikit-learn in its place, is not as tested.
    """
    if has_reference():
        return np.asarray(_function("hdbscan", "hdbscan._hdbscan_linkage", "label", ("L",))(edges))
    tree = _function("scikit-learn", f"{_PORT}._linkage", "make_single_linkage", ("mst",))(_records(edges, _EDGE))
    return np.column_stack([np.asarray(tree[name], np.float64) for name in tree.dtype.names])


def select_clusters(
    points: NDArray[np.float32], linkage_tree: Floats, min_cluster_size: int, selection_epsilon: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]:
    """Labels (n,), membership probabilities (n,) and the condensed tree of n points by excess of mass.

    The condensed tree is a structured array of parent, child, lambda_val (1 / distance) and child_size.

    Raises CuckooMLError: the installed hdbscan, or scikit-learn in its place, is not as tested.
    """
    if not has_reference():
        return _select_by_port(linkage_tree, min_cluster_size, selection_epsilon)
    to_labels = _function(
        "hdbscan",
        "hdbscan.hdbscan_",
        "_tree_to_labels",
        ("X", "single_linkage_tree", "min_cluster_size", "cluster_selection_epsilon"),
    )
    answer = to_labels(
        points, linkage_tree, min_cluster_size=min_cluster_size, cluster_selection_epsilon=selection_epsilon
    )
    if len(answer) != 5 or not set(getattr(answer[3], "dtype", np.dtype(int)).names or ()) >= _TREE_FIELDS:
        raise _untested("hdbscan", "_tree_to_labels returns no condensed tree")
    labels, probabilities, _, condensed, _ = answer
    return np.asarray(labels, np.int64), np.asarray(probabilities, np.float64), condensed


def outlier_scores(condensed: NDArray[Any]) -> NDArray[np.float64]:
    """The GLOSH score (n,) of each point of a condensed tree; NaN where it is undefined.

    Raises CuckooMLError: the installed hdbscan is not as tested.
    """
    if not has_reference():
        return _glosh(condensed)
    return np.asarray(_function("hdbscan", "hdbscan._hdbscan_tree", "outlier_scores", ("tree",))(condensed))


def has_reference() -> bool:
    """Whether hdbscan is installed and can be imported."""
    try:
        import_module("hdbscan")
    except ImportError:
        return False
    return True


_PORT = "sklearn.cluster._hdbscan"
_EDGE = np.dtype([("current_node", np.int64), ("next_node", np.int64), ("distance", np.float64)])
_MERGE = np.dtype([("left_node", np.intp), ("right_node", np.intp), ("value", np.float64), ("cluster_size", np.intp)])
_CONDENSED = np.dtype([("parent", np.intp), ("child", np.intp), ("lambda_val", np.float64), ("child_size", np.intp)])


def _records(columns: Floats, kind: np.dtype[Any]) -> NDArray[Any]:
    """The columns of an array as the fields of a structured one."""
    records = np.empty(len(columns), kind)
    for number, name in enumerate(kind.names or ()):
        records[name] = columns[:, number]
    return records


def _select_by_port(
    linkage_tree: Floats, min_cluster_size: int, selection_epsilon: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]:
    """As ``select_clusters``, by scikit-learn."""
    to_labels = _function(
        "scikit-learn", f"{_PORT}._tree", "tree_to_labels", ("single_linkage_tree", "min_cluster_size")
    )
    condense = _function("scikit-learn", f"{_PORT}._tree", "_condense_tree", ("hierarchy", "min_cluster_size"))
    merges = _records(linkage_tree, _MERGE)
    try:
        labels, _ = to_labels(merges, min_cluster_size)
        tree = condense(merges, min_cluster_size)
        condensed = np.empty(len(tree), _CONDENSED)
        for name, theirs in zip(_CONDENSED.names or (), ("parent", "child", "value", "cluster_size"), strict=True):
            condensed[name] = tree[theirs]
    except (TypeError, ValueError, LookupError) as error:
        raise _untested("scikit-learn", f"its port of HDBSCAN fails ({error})") from error
    return *_merged_by_epsilon(condensed, np.asarray(labels, np.int64), selection_epsilon), condensed


def _merged_by_epsilon(
    condensed: NDArray[Any], labels: NDArray[np.int64], epsilon: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and probabilities (n,) after clusters that split off below a distance are merged (Malzer & Baum 2020).

    As hdbscan does: each such cluster is replaced by the first group above it that split off above the distance, or by
    the last one below the root. scikit-learn's own code for this fails with NumPy 2.4.

    Args:
        condensed: the condensed tree.
        labels: (n,) the clusters by excess of mass.
    """
    total = len(labels)
    parents = np.full(int(max(condensed["parent"].max(), condensed["child"].max())) + 1, -1)
    parents[condensed["child"]] = condensed["parent"]
    births = np.zeros(len(parents))
    births[condensed["child"]] = condensed["lambda_val"]
    groups = set()
    for cluster in range(int(labels.max(initial=-1)) + 1):
        group = lowest_common(parents, parents[np.flatnonzero(labels == cluster)])
        if births[group] * epsilon > 1:
            while parents[group] > total:  # the root has the number ``total``
                group = int(parents[group])
                if births[group] * epsilon < 1:
                    break
        groups.add(group)
    group_of = np.full(len(parents), -1)
    for node in range(total, len(parents)):  # a group has a higher number than what is above it
        above = group_of[parents[node]] if parents[node] >= 0 else -1
        group_of[node] = above if above >= 0 else node if node in groups else -1
    numbers = np.full(len(parents) + 1, -1)
    tops = np.unique(group_of[group_of >= 0])
    numbers[tops] = np.arange(len(tops))
    top_of = group_of[parents[:total]]
    deepest = np.zeros(len(parents))
    np.maximum.at(deepest, condensed["parent"], condensed["lambda_val"])
    limits = deepest[top_of]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where((limits > 0) & np.isfinite(limits), np.minimum(births[:total], limits) / limits, 1.0)
    return np.asarray(numbers[top_of], np.int64), np.where(top_of >= 0, shares, 0.0)


def lowest_common(parents: NDArray[np.int64], groups: NDArray[np.int64]) -> int:
    """The lowest group of a tree that holds all of these groups (k,); ``parents``: (t,) the group above each."""
    holders = set(groups.tolist())
    while len(holders) > 1:  # replace the lowest by its parent; numbers grow downwards
        lowest = max(holders)
        holders.remove(lowest)
        holders.add(int(parents[lowest]))
    return int(holders.pop())


def _glosh(condensed: NDArray[Any]) -> NDArray[np.float64]:
    """GLOSH (Campello et al., TKDD 2015) as hdbscan computes it: 1 - density of the point / densest of its cluster."""
    points = int(condensed["parent"].min())  # clusters are numbered from there on
    deepest = np.zeros(int(max(condensed["parent"].max(), condensed["child"].max())) + 1)
    np.maximum.at(deepest, condensed["parent"], condensed["lambda_val"])
    clusters = condensed[condensed["child"] >= points]
    for parent, child in zip(clusters["parent"][::-1], clusters["child"][::-1], strict=True):  # children come later
        deepest[parent] = max(deepest[parent], deepest[child])
    leaves = condensed[condensed["child"] < points]
    limit = deepest[leaves["parent"]]
    density = leaves["lambda_val"]
    scores = np.zeros(points)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores[leaves["child"]] = np.where((limit == 0) | ~np.isfinite(density), 0.0, (limit - density) / limit)
    return scores


def _function(package: str, module: str, name: str, parameters: tuple[str, ...]) -> Callable[..., Any]:
    """A function that takes at least these parameters. Raises CuckooMLError."""
    called = f"{module}.{name}({', '.join(parameters)})"
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
        known = set(signature(function).parameters)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise _untested(package, f"there is no {called}") from error
    if not known.issuperset(parameters):
        raise _untested(package, f"there is no {called}")
    return function


def _untested(package: str, difference: str) -> CuckooMLError:
    try:
        installed = version(package)
    except PackageNotFoundError:
        installed = "(not installed)"
    tested = TESTED_VERSIONS[package]
    return CuckooMLError(
        f"{package} {installed} cannot be used: {difference}; CuckooML was tested with {package} "
        f"{', '.join(tested)}, so run {install_command(f'{package}=={tested[-1]}')}"
    )
