"""A model and its corpus in one object, for plots and the atlas: behaviours, analyses, clusters, tree, counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.fit.corpus import Progress
from cuckoo_ml_plugin.landscape.behaviour_index import BehaviourIndex, IndexBuilder
from cuckoo_ml_plugin.landscape.positions import positions
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.store.packed_behaviour import Counts

_EPOCH = date(1970, 1, 1)
UNKNOWN_DAY = -1


@dataclass(slots=True)
class Tree:
    """The condensed tree of t nodes, of which 0 is the root; empty without HDBSCAN.

    Attributes:
        parents: (t,) the node above, -1 above the root.
        births, deaths: (t,) densities (1 / distance) between which a node is one group.
        clusters: (t,) the cluster of each node, -1 outside all clusters.
        sizes: (t,) analyses in each node and below it.
    """

    parents: NDArray[np.int64]
    births: NDArray[np.float64]
    deaths: NDArray[np.float64]
    clusters: NDArray[np.int64]
    sizes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NewerAnalysis:
    """An analysis that was stored after the fit."""

    target: str
    family: str | None
    day: int


@dataclass(slots=True)
class Landscape:
    """N fitted analyses with n distinct behaviours in c clusters.

    Attributes:
        places: (n, 2) on the map, in [-1, 1].
        labels, certainties, outlier_scores, anomaly_scores: (n,) from the model; the label -1 is no cluster.
        kin_of_point: (n,) the kin of each behaviour, -1 for none.
        point_of: (N,) the behaviour of each analysis.
        analyses, sha256, families, targets: one for each analysis; None where unknown.
        days: (N,) days from 1970 to each analysis (to its storing if its host gave no date), or UNKNOWN_DAY.
        counts: (N, k) count features, NaN where one is missing; ``count_names`` names the columns.
        threshold: the anomaly score from which an analysis is called anomalous.
        behaviours: what a search by behaviour finds; empty unless it was asked for.
        newer: analyses with behaviour that the store has and the model has not, by id.
    """

    model: Model
    clusters: list[ClusterFacts]
    kins: list[ClusterFacts]
    places: NDArray[np.float64]
    labels: NDArray[np.int64]
    kin_of_point: NDArray[np.int64]
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
    behaviours: BehaviourIndex
    newer: dict[str, NewerAnalysis]

    @property
    def cluster_of(self) -> NDArray[np.int64]:
        """(N,) the cluster of each analysis."""
        return self.labels[self.point_of]


def landscape(
    engine: Engine, progress: Progress | None = None, *, with_map: bool = True, with_behaviours: bool = False
) -> Landscape:
    """Gather everything about the model in force.

    Args:
        progress: called while the map is computed.
        with_map: whether to compute the places, which take longest; otherwise they are zero.
        with_behaviours: whether to gather what a search by behaviour needs.

    Raises:
        ModelError: there is no model, or it cannot be read.
        StoreError: the store cannot be read.
        CuckooMLError: openTSNE is not installed.
    """
    model = engine.require_model()
    fitted = model.clustering
    vectors = fitted.index.in_order()
    members = list(model.members.all())
    builder = IndexBuilder(model) if with_behaviours else None
    stored = _stored(engine, {member.analysis: point for point, member in members}, builder)
    names = tuple(model.facts["count_names"])
    counts = np.full((len(members), len(names)), np.nan)
    for row, (_, member) in enumerate(members):
        own_counts = stored.counts.get(member.analysis, {})
        counts[row] = [own_counts.get(name, np.nan) for name in names]
    return Landscape(
        model=model,
        clusters=model.clusters,
        kins=model.kins,
        places=positions(vectors, progress) if with_map else np.zeros((len(vectors), 2)),
        labels=np.asarray(fitted.labels),
        kin_of_point=np.asarray(model.kin.labels),
        certainties=np.asarray(fitted.certainties),
        outlier_scores=np.asarray(fitted.outlier_scores),
        anomaly_scores=np.asarray(model.fitted_scores),
        point_of=np.array([point for point, _ in members], np.int64),
        analyses=[member.analysis for _, member in members],
        sha256=[member.sha256 for _, member in members],
        families=[stored.families.get(member.analysis, member.label) for _, member in members],
        targets=[stored.targets.get(member.analysis, "") for _, member in members],
        days=np.array([stored.days.get(member.analysis, UNKNOWN_DAY) for _, member in members], np.int64),
        counts=counts,
        count_names=names,
        tree=_tree(model),
        threshold=engine.settings.anomaly.threshold,
        behaviours=builder.index() if builder else BehaviourIndex(),
        newer=stored.newer,
    )


@dataclass(slots=True)
class _Stored:
    """What the store holds of each analysis, by id."""

    targets: dict[str, str] = field(default_factory=dict)
    families: dict[str, str | None] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    newer: dict[str, NewerAnalysis] = field(default_factory=dict)


def _stored(engine: Engine, points: dict[str, int], builder: IndexBuilder | None) -> _Stored:
    """``points``: the fitted behaviour of each analysis; an analysis that is none of them is newer than the model."""
    stored = _Stored()
    for analysis, joined, counts in engine.store.iter_behaviours(on_damaged=lambda *_: None):
        point = points.get(analysis.analysis)
        if point is None:
            day = _day(analysis.analysed_at or analysis.stored_at)
            stored.newer[analysis.analysis] = NewerAnalysis(analysis.target, analysis.label, day)
            continue
        if builder is not None:
            builder.read(point, joined)
        stored.targets[analysis.analysis] = analysis.target
        stored.families[analysis.analysis] = analysis.label
        stored.days[analysis.analysis] = _day(analysis.analysed_at or analysis.stored_at)
        stored.counts[analysis.analysis] = counts
    return stored


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
    in_tree = (own >= 0) & (own < len(parents))
    np.add.at(sizes, own[in_tree], np.diff(np.asarray(model.members.starts))[in_tree])  # analyses, not voices
    leaving = np.minimum(np.nan_to_num(np.asarray(fitted.lambdas, np.float64), posinf=0.0), 1 / fitted.same)
    np.maximum.at(deaths, own[in_tree], leaving[in_tree])
    for node in range(len(parents) - 1, 0, -1):  # children come after their parents
        above = parents[node]
        sizes[above] += sizes[node]
        deaths[above] = max(deaths[above], births[node])
    return Tree(parents, births, deaths, np.asarray(fitted.node_clusters), sizes)


def offsets(tree: Tree) -> NDArray[np.float64]:
    """The left edge (t,) of each node in analyses; children stand within the width of their parent."""
    starts = np.zeros(len(tree.parents))
    used = np.zeros(len(tree.parents))
    for node in range(1, len(tree.parents)):
        above = tree.parents[node]
        starts[node] = starts[above] + used[above]
        used[above] += tree.sizes[node]
    return starts
