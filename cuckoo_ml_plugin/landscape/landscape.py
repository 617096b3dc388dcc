"""A model and its corpus in one place, as plots and the page draw it: behaviours, analyses, clusters, tree, counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.landscape.positions import Tell, positions
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.store.packed_behaviour import Counts

_EPOCH = date(1970, 1, 1)
UNKNOWN_DAY = -1


@dataclass(slots=True)
class Tree:
    """The condensed tree: t nodes, 0 is the root; empty without HDBSCAN.

    Attributes:
        parents: (t,) the node above, -1 above the root.
        births, deaths: (t,) densities (1 / distance) between which a node is one group.
        clusters: (t,) the cluster that it lies in, -1 outside of all.
        sizes: (t,) analyses in it and below.
    """

    parents: NDArray[np.int64]
    births: NDArray[np.float64]
    deaths: NDArray[np.float64]
    clusters: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(slots=True)
class Landscape:
    """N fitted analyses that show n distinct behaviours in c clusters.

    Attributes:
        places: (n, 2) on the map, in [-1, 1].
        labels, certainties, outlier_scores, anomaly_scores: (n,) as the model has them; -1 is no cluster.
        point_of: (N,) the behaviour of each analysis.
        analyses, sha256, families, targets: one for each analysis; None where unknown.
        days: (N,) days since 1970 on which each was analysed (stored, where the host did not say), or UNKNOWN_DAY.
        counts: (N, k) count features, NaN where one is missing; count_names names the columns.
        threshold: the anomaly score from which an analysis is called anomalous.
    """

    model: Model
    clusters: list[ClusterFacts]
    places: NDArray[np.float64]
    labels: NDArray[np.int64]
    certainties: NDArray[np.float64]
    outlier_scores: NDArray[np.float64]
    anomaly_scores: NDArray[np.float64]
    point_of: NDArray[np.int64]
    analyses: list[str]
    sha256: list[str | None]
    families: list[str | None]
    targets: list[str]
    days: NDArray[np.int64]
    counts: NDArray[np.float64]
    count_names: tuple[str, ...]
    tree: Tree
    threshold: float

    @property
    def cluster_of(self) -> NDArray[np.int64]:
        """(N,) the cluster of each analysis."""
        return self.labels[self.point_of]


def landscape(engine: Engine, tell: Tell | None = None, *, with_map: bool = True) -> Landscape:
    """Gather everything of the model in force. ``with_map``: also the places, which take longest.

    Raises:
        ModelError: there is no model, or it cannot be read.
        StoreError: the store cannot be read.
        CuckooMLError: openTSNE is not installed.
    """
    model = engine.require_model()
    fitted = model.clustering
    vectors = fitted.index.in_order()
    members = list(model.members.all())
    known = _stored(engine)
    names = tuple(model.facts["count_names"])
    counts = np.full((len(members), len(names)), np.nan)
    for row, (_, member) in enumerate(members):
        found = known.counts.get(member.analysis, {})
        counts[row] = [found.get(name, np.nan) for name in names]
    return Landscape(
        model=model,
        clusters=model.clusters,
        places=positions(vectors, tell) if with_map else np.zeros((len(vectors), 2)),
        labels=np.asarray(fitted.labels),
        certainties=np.asarray(fitted.certainties),
        outlier_scores=np.asarray(fitted.outlier_scores),
        anomaly_scores=np.asarray(model.fitted_scores),
        point_of=np.array([point for point, _ in members], np.int64),
        analyses=[member.analysis for _, member in members],
        sha256=[member.sha256 for _, member in members],
        families=[known.families.get(member.analysis, member.label) for _, member in members],
        targets=[known.targets.get(member.analysis, "") for _, member in members],
        days=np.array([known.days.get(member.analysis, UNKNOWN_DAY) for _, member in members], np.int64),
        counts=counts,
        count_names=names,
        tree=_tree(model),
        threshold=engine.settings.anomaly.threshold,
    )


@dataclass(slots=True)
class _Stored:
    """What the store knows of each analysis, by id."""

    targets: dict[str, str] = field(default_factory=dict)
    families: dict[str, str | None] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)


def _stored(engine: Engine) -> _Stored:
    known = _Stored()
    for stored, _, counts in engine.store.iter_behaviours(on_damaged=lambda *_: None):
        known.targets[stored.analysis] = stored.target
        known.families[stored.analysis] = stored.label
        known.days[stored.analysis] = _day(stored.analysed_at or stored.stored_at)
        known.counts[stored.analysis] = counts
    return known


def _day(moment: str) -> int:
    try:
        return (date.fromisoformat(moment[:10]) - _EPOCH).days
    except ValueError:
        return UNKNOWN_DAY


def _tree(model: Model) -> Tree:
    fitted = model.clustering
    parents = np.asarray(fitted.node_parents)
    births = np.nan_to_num(np.asarray(fitted.node_lambdas, np.float64), posinf=0.0)
    deaths = births.copy()
    sizes = np.zeros(len(parents), np.int64)
    own = np.asarray(fitted.parents)
    there = (own >= 0) & (own < len(parents))
    np.add.at(sizes, own[there], np.asarray(fitted.multiplicities)[there])
    leaving = np.minimum(np.nan_to_num(np.asarray(fitted.lambdas, np.float64), posinf=0.0), 1 / fitted.same)
    np.maximum.at(deaths, own[there], leaving[there])
    for node in range(len(parents) - 1, 0, -1):  # children come after their parents
        above = parents[node]
        sizes[above] += sizes[node]
        deaths[above] = max(deaths[above], births[node])
    return Tree(parents, births, deaths, np.asarray(fitted.node_clusters), sizes)


def offsets(tree: Tree) -> NDArray[np.float64]:
    """Where each node begins, in analyses from the left (t,): children stand within the width of their parent."""
    starts = np.zeros(len(tree.parents))
    used = np.zeros(len(tree.parents))
    for node in range(1, len(tree.parents)):
        above = tree.parents[node]
        starts[node] = starts[above] + used[above]
        used[above] += tree.sizes[node]
    return starts
