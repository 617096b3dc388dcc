"""The only module that calls functions which hdbscan and fast-hdbscan do not document as their interface.

HDBSCAN on weighted points needs its steps one by one (spanning tree, linkage, condensed tree, scores), and neither
library offers them all in public. Their names and signatures may change with any release, so each function is checked
when it is used: a version that differs gives one sentence instead of a traceback, or worse, of other clusters.
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

TESTED_VERSIONS = {
    "hdbscan": ("0.8.44",),
    "fast-hdbscan": ("0.3.4",),
}
"""The releases that the tests ran with, the newest last. Add one after a run of the tests with it."""

_TREE_FIELDS = frozenset(("parent", "child", "lambda_val", "child_size"))
_UNWEIGHTED = np.zeros(1, np.float32)
"""A single weight stands for none in fast-hdbscan. Without any, it leaves more than 30 dimensions to pynndescent, whose
tree is approximate; with one for each point (0.3.4), it adds distances to squared distances."""

Floats = NDArray[np.floating[Any]]


def reference_tree(points: NDArray[np.float32], min_samples: int) -> Floats:
    """hdbscan's exact spanning tree of the points (n, d): edges (n - 1, 3) of from, to, mutual reachability distance.

    It needs nothing compiled and is the reference for the other trees, but takes minutes for tens of thousands.
    """
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

    Raises CuckooMLError: the installed hdbscan is not as tested.
    """
    return np.asarray(_function("hdbscan", "hdbscan._hdbscan_linkage", "label", ("L",))(edges))


def select_clusters(
    points: NDArray[np.float32], linkage_tree: Floats, min_cluster_size: int, selection_epsilon: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]:
    """Labels (n,), membership probabilities (n,) and the condensed tree of n points by excess of mass.

    The condensed tree is a structured array of parent, child, lambda_val (1 / distance) and child_size.

    Raises CuckooMLError: the installed hdbscan is not as tested.
    """
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
    return np.asarray(_function("hdbscan", "hdbscan._hdbscan_tree", "outlier_scores", ("tree",))(condensed))


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
        f"{', '.join(tested)}, so run pip install '{package}=={tested[-1]}'."
    )
