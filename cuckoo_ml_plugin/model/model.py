"""The model: it is read from its folder and scores a behaviour, with NumPy alone and in a millisecond::

model = Model.load(home.models / "current")
finding = model.score(extract(read_report(path)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.absence import reason_for_absence
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour, kind_of
from cuckoo_ml_plugin.behaviour.likeness import likenesses
from cuckoo_ml_plugin.errors import ModelError
from cuckoo_ml_plugin.finding.evidence import cluster_evidence, rarest_evidence
from cuckoo_ml_plugin.finding.reasons import (
    INCOMPLETE,
    INCOMPLETE_ELSEWHERE,
    by_weight,
    cluster_reasons,
    incomplete_reasons,
    label_reasons,
    novelty_reasons,
    single_source_reasons,
    static_reasons,
)
from cuckoo_ml_plugin.finding.section import (
    MAX_LABELS,
    AnomalyFinding,
    ClusterFinding,
    Evidence,
    Finding,
    KinFinding,
    LabelCount,
    ModelFacts,
    Reason,
    SimilarAnalysis,
    ThreatFinding,
)
from cuckoo_ml_plugin.finding.threat import threat_reasons
from cuckoo_ml_plugin.model.anomaly import LEAST_REFERENCE, SAME_PLACE, AnomalyDetector, AnomalyScore, place
from cuckoo_ml_plugin.model.anomaly import NEIGHBOURS as NOVELTY_NEIGHBOURS
from cuckoo_ml_plugin.model.embedding import EmbeddedBehaviour, Embedding
from cuckoo_ml_plugin.model.fences import CountFences
from cuckoo_ml_plugin.model.folder import read_model, remedy
from cuckoo_ml_plugin.model.frequencies import Frequencies
from cuckoo_ml_plugin.model.groups.changes import Change
from cuckoo_ml_plugin.model.groups.clustering import NOISE, Clustering, Placement
from cuckoo_ml_plugin.model.groups.kin import NO_KIN, Kin
from cuckoo_ml_plugin.model.habits import IS_ACTION, Habits, Lack, deeds_of
from cuckoo_ml_plugin.model.members import Members
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.model.providers import ProviderModels, threat_finding
from cuckoo_ml_plugin.model.token_rows import TokenRows
from cuckoo_ml_plugin.plumbing.sources import ONLY_FROM, kind_of_source
from cuckoo_ml_plugin.settings import AnomalySettings, ScoringSettings, Settings

DEFAULTS = Settings()
_SAME_EXPLAINED = 1e-5
_WITH_WEIGHT = 2**32  # a mark of this size and a mark of 1 are summed at once
_DEEPER = 16  # times as many neighbours are looked at where all are from one source
_MOST = 2**53  # of a count in model.json
_COUNT_REASONS = 6  # the counts furthest outside the fences; more would drown the other reasons
_PARTS = (
    "embedding", "clustering", "kin", "novelty", "novelty_index", "detector", "rows", "frequencies", "habits",
    "members", "providers", "fences",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What model.json holds of one cluster or one kin.

    Attributes:
        labels: each label and how many of its analyses carry it, most frequent first.
        evidence: the behaviour that is most typical of the cluster; of a kin none is kept.
        first_seen, last_seen: when the first and the last of its analyses ran.
        first_stored: when the first of them was stored; "" in models from before 0.2.0.
        kin: the id of the kin that the cluster lies in, None for none; None of a kin itself.
        sources: how many voices its analyses are (``plumbing/sources.py``); 0 in models from before 0.3.0.
        only_from: the kind of the small source from which alone it is known, ``submitter`` or ``day``; "" for none.
        label_sources: each label, and how many voices it is.
        samples: how many samples its analyses ran; 0 in models from before this was counted.
    """

    id: str
    name: str
    size: int
    labels: dict[str, int]
    evidence: list[Evidence]
    first_seen: str
    last_seen: str
    first_stored: str = ""
    kin: str | None = None
    sources: int = 0
    only_from: str = ""
    label_sources: dict[str, int] = field(default_factory=dict)
    samples: int = 0


class _Facts(msgspec.Struct):
    """The entries that model.json must have, with the types that the rest of the code relies on."""

    id: str
    fitted_at: str
    read_at: str
    analyses: int
    clustered: int
    clusters: list[ClusterFacts]
    count_names: list[str]
    settings: dict[str, dict[str, Any]]
    next_cluster: int
    before: str | None
    survived: int
    moved: int
    compared: int
    changes: list[Change]
    kins: list[ClusterFacts] = []
    next_kin: int = 0


class _Near(NamedTuple):
    """The fitted behaviours (k,) nearest to an analysis in the space of the anomaly scores, nearest first."""

    points: NDArray[np.int64]
    distances: NDArray[np.float64]
    likenesses: NDArray[np.float64]

    def take(self, rows: slice | NDArray[np.bool_]) -> _Near:
        return _Near(self.points[rows], self.distances[rows], self.likenesses[rows])


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted model; processes share its arrays, which are never changed.

    Attributes:
        facts: what model.json holds beside the clusters: id, time and size of the fit, settings, lineage.
        clusters, kins: in the order of the numbers that ``clustering`` and ``kin`` give them.
        embedding, clustering, kin: the space in which clusters are found, the clusters, and the kin above them.
        novelty, novelty_index, novelty_vectors, detector: the space in which anomaly scores are computed, where the
            fitted analyses lie in it (n, d + 1; in a model from before 0.3.0 their unit vectors, (n, d)), and what
            turns distances and likeness into scores.
        rows: tokens of each fitted behaviour.
        frequencies: how many analyses show each token.
        habits: what nearly all analyses of each cluster and each kin do.
        members: the analyses of each fitted behaviour.
        fences: usual values of the count features.
        fitted_scores: (n,) anomaly score of each fitted behaviour, computed as if it had not been fitted.
        providers: what each provider of threat scores is expected to say, given the others.
    """

    facts: dict[str, Any]
    clusters: list[ClusterFacts]
    kins: list[ClusterFacts]
    embedding: Embedding
    clustering: Clustering
    kin: Kin
    novelty: Embedding
    novelty_index: NeighbourIndex
    detector: AnomalyDetector
    rows: TokenRows
    frequencies: Frequencies
    members: Members
    fences: CountFences
    novelty_vectors: NDArray[np.float32]
    fitted_scores: NDArray[np.float64]
    providers: ProviderModels = field(default_factory=ProviderModels.none)
    habits: Habits = field(default_factory=Habits.none)

    @classmethod
    def load(cls, folder: Path, *, from_before: bool = False) -> Model:
        """Open a model's folder. Raises ModelError when it is incomplete, damaged or not a model.

        ``from_before``: as :func:`~cuckoo_ml_plugin.model.folder.read_model` takes it.
        """
        facts, arrays = read_model(folder, from_before=from_before)
        try:
            model = cls._from(facts, arrays)
            model._check()
            return model
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelError(f"{folder}: its parts do not belong together ({error}); {remedy(folder)}") from error

    @classmethod
    def _from(cls, facts: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Model:
        parts: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        checked = msgspec.convert(facts, _Facts)
        for timestamp in (checked.fitted_at, checked.read_at):
            datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
        fitted = facts["settings"]["clustering"]
        points = len(parts["fitted_scores"]["all"])
        return cls(
            facts=facts,
            clusters=checked.clusters,
            kins=checked.kins,
            embedding=Embedding.from_arrays(parts["embedding"]),
            clustering=Clustering.from_arrays(
                parts["clustering"], min_samples=fitted["min_samples"], certainty=fitted["certainty"]
            ),
            kin=Kin.from_arrays(parts["kin"]) if "kin" in parts else Kin.none(points),
            novelty=Embedding.from_arrays(parts["novelty"]),
            novelty_index=NeighbourIndex.from_arrays(parts["novelty_index"]),
            detector=AnomalyDetector.from_arrays(parts["detector"]),
            rows=TokenRows.from_arrays(parts["rows"]),
            frequencies=Frequencies.from_arrays(parts["frequencies"]),
            members=Members.from_arrays(parts["members"]),
            fences=CountFences.from_arrays(parts["fences"], names=tuple(facts["count_names"])),
            novelty_vectors=parts["novelty_vectors"]["all"],
            fitted_scores=parts["fitted_scores"]["all"],
            providers=ProviderModels.from_model(parts.get("providers", {}), facts.get("providers")),
            habits=Habits.from_arrays(parts["habits"]) if "habits" in parts else Habits.none(),
        )

    def require_members(self) -> None:
        """Raises ModelError unless each fitted analysis can be read; loading a model does not read them."""
        try:
            if any(not isinstance(member.analysis, str) for _, member in self.members.all()):
                raise ValueError("a name is no text")
        except (ValueError, TypeError, RecursionError) as error:
            raise self._contradiction(error) from error

    def _check(self) -> None:
        """Raises ValueError where arrays hold what no fit writes: someone may have written checksums, too."""
        for array in (self.kin.level, self.fitted_scores):
            if not np.isfinite(array).all():
                raise ValueError("an array holds a value that is not a number")
        groups = {"cluster": (self.clustering.labels, self.clusters), "kin": (self.kin.labels, self.kins)}
        for kind, (labels, facts) in groups.items():
            if len(labels) and not -1 <= labels.min() <= labels.max() < len(facts):
                raise ValueError(f"a behaviour is in a {kind} that there is not")
            if len({group.id for group in facts}) < len(facts):
                raise ValueError(f"an id of a {kind} is there twice")
        columns, points = self.rows.columns, len(self.fitted_scores)
        if len(columns) and not 0 <= columns.min() <= columns.max() < self.columns:
            raise ValueError("a behaviour has a token that there is not")
        lengths = {len(labels) for labels, _ in groups.values()} | {len(self.members.starts) - 1}
        if lengths != {points}:
            raise ValueError("its parts are of different sizes")
        numbers = [self.facts[name] for name in ("analyses", "next_cluster")] + [self.facts.get("next_kin", 0)]
        if not all(0 <= number < _MOST for number in numbers):
            raise ValueError("model.json holds a count that cannot be")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by part and name, as :func:`~cuckoo_ml_plugin.model.folder.write_model` takes them."""
        arrays = {f"{part}.{name}": array for part in _PARTS for name, array in getattr(self, part).arrays().items()}
        return arrays | {
            "novelty_vectors.all": self.novelty_vectors,
            "fitted_scores.all": self.fitted_scores,
        }

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    def brief(self) -> ModelFacts:
        """What a finding says of this model."""
        facts = self.facts
        return ModelFacts(
            id=self.id,
            fitted_at=facts["fitted_at"],
            analyses=facts["analyses"],
            clusters=len(self.clusters),
            samples=facts.get("samples") or None,
        )

    def score(
        self,
        behaviour: Behaviour,
        *,
        analysis: str | None = None,
        label: str | None = None,
        scoring: ScoringSettings = DEFAULTS.scoring,
        anomaly: AnomalySettings = DEFAULTS.anomaly,
        each_run: bool = False,
    ) -> Finding:
        """The finding for one behaviour; neither the model nor the store is touched.

        Args:
            analysis: its id; the analysis is not listed as similar to itself.
            label: its family, None when unknown; compared with the labels of its cluster.
            each_run: whether a file is listed as similar with each of its analyses, instead of with the most alike.

        Raises:
            ModelError: the model's parts contradict each other.
        """
        try:
            threat = threat_finding(behaviour.scores, self.providers)
            if not behaviour.has_behaviour:
                return Finding(
                    status="no_behaviour",
                    message=reason_for_absence(behaviour),
                    model=self.brief(),
                    threat_scores=threat,
                    counts=behaviour.counts,
                )
            return self._score(behaviour, analysis, label, scoring, anomaly, threat, each_run)[0]
        except (IndexError, ValueError, TypeError, OverflowError) as error:
            raise self._contradiction(error) from error

    def background_of(self, behaviour: Behaviour) -> frozenset[str]:
        """The tokens of a behaviour that a machine shows by itself, as far as the fit has learnt it."""
        columns, places = self._known(behaviour.hashes())
        return frozenset(behaviour.tokens[place] for place in places[self.embedding.is_background(columns)])

    def _score(
        self,
        behaviour: Behaviour,
        analysis: str | None,
        label: str | None,
        scoring: ScoringSettings,
        anomaly: AnomalySettings,
        threat: ThreatFinding | None,
        each_run: bool = False,
    ) -> tuple[Finding, Lack | None]:
        """The finding, and what the analysis lacks of the habits of its group."""
        hashes = behaviour.hashes()
        columns, places = self._known(hashes)
        occurrences = np.zeros(len(hashes), np.int64)  # how many fitted analyses show each token
        occurrences[places] = self.frequencies.corpus[columns]
        unknown = np.flatnonzero(occurrences == 0)
        rare = self.frequencies.rare_numbers(hashes[unknown])
        unknown, rare = unknown[rare >= 0], rare[rare >= 0]
        occurrences[unknown] = self.frequencies.rare_counts[rare]
        kinds = behaviour.kind_ids()
        vector = self.embedding.embed(columns, len(hashes)).vector
        nearest = self.clustering.nearest(vector)
        embedded = self.novelty.embed(columns, len(hashes))
        neighbours, distances = self.novelty_index.nearest(self._placed(embedded), NOVELTY_NEIGHBOURS + 1)
        candidates = np.union1d(nearest[0], neighbours)  # either space has neighbours that the other lacks
        shown = np.concatenate([columns, len(self.embedding.hashes) + rare]) if self.rows.has_aspects else columns
        sizes = self.rows.sizes_of_kinds(kinds, len(columns))
        similarities, weighted = self._likenesses(shown, sizes, columns, kinds[places], candidates)
        placement = self.clustering.place(vector, nearest, similarities[np.searchsorted(candidates, nearest[0])])
        seen = int(np.count_nonzero(occurrences))

        def likeness_to(points: NDArray[np.int64]) -> NDArray[np.float64]:
            return self._likenesses(shown, sizes, columns, kinds[places], points)[1]

        near = _Near(neighbours, distances, weighted[np.searchsorted(candidates, neighbours)])
        novelty, lone = self._anomaly_score(embedded, near, likeness_to, seen, len(hashes), analysis, anomaly.threshold)
        similar = self._similar(candidates, similarities, analysis, max(scoring.similar, 1), each_run)
        similarity = similar[0].similarity if similar else 0.0
        score = novelty.score if novelty else 0.0
        anomalous = novelty is not None and bool(score >= anomaly.threshold)
        kin = self._kin(placement, similarities[np.searchsorted(candidates, placement.neighbours)], anomalous)
        lack = self._lack(kinds, columns, places, candidates, similarities, placement.cluster, kin)
        own = self._reasons(placement, novelty, similarity, behaviour, label, anomaly)
        reasons = by_weight([*self._incomplete(lack, behaviour), *own, *lone, *threat_reasons(threat)])
        if not np.isfinite((placement.probability, placement.outlier_score, score)).all():
            raise ValueError("an array holds a value that is not a number")
        finding = Finding(
            status="scored",
            message=" ".join(part for part in (reason_for_absence(behaviour), self.uncalibrated) if part),
            model=self.brief(),
            cluster=self._cluster(placement),
            kin=kin,
            anomaly=AnomalyFinding(
                score=round(float(score), 4),
                outlier_score=round(float(placement.outlier_score), 4),
                anomalous=anomalous,
                reasons=reasons,
            )
            if novelty
            else None,
            similar=similar[: scoring.similar],
            evidence=self._evidence(
                behaviour, hashes, kinds, columns, places, occurrences, placement.cluster, anomalous, scoring.evidence
            ),
            threat_scores=threat,
            counts=behaviour.counts,
        )
        return finding, lack

    def group_of(self, lack: Lack) -> tuple[ClusterFacts, bool]:
        """The group that a :class:`Lack` speaks of, and whether it is a cluster; if not, it is a kin."""
        is_cluster = lack.group < len(self.clusters)
        return (self.clusters[lack.group] if is_cluster else self.kins[lack.group - len(self.clusters)]), is_cluster

    def lack_of(self, behaviour: Behaviour) -> Lack | None:
        """What a behaviour lacks of the habits of its group; None where it has no group that is large enough.

        Raises:
            ModelError: the model's parts contradict each other.
        """
        if not behaviour.has_behaviour:
            return None
        try:
            return self._score(behaviour, None, None, DEFAULTS.scoring, DEFAULTS.anomaly, None)[1]
        except (IndexError, ValueError, TypeError, OverflowError) as error:
            raise self._contradiction(error) from error

    def _contradiction(self, error: Exception) -> ModelError:
        return ModelError(f"{self.id}: the model's parts contradict each other ({error}); fit a new model.")

    def _known(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns of the known tokens, ascending, and where each stands among the behaviour's tokens."""
        vocabulary = self.embedding.hashes
        if not len(vocabulary) or not len(hashes):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        places = np.argsort(hashes)
        ascending = hashes[places]  # consecutive searches then read the same pages of the vocabulary
        columns = np.minimum(np.searchsorted(vocabulary, ascending), len(vocabulary) - 1)
        known = vocabulary[columns] == ascending
        return columns[known], places[known]

    @property
    def uncalibrated(self) -> str:
        """Why there are no anomaly scores, in a sentence; empty where there are."""
        if self.detector.is_calibrated:
            return ""
        return (
            f"There is no anomaly score: the model was fitted on fewer than {LEAST_REFERENCE} analyses, too few to say"
            " what is usual."
        )

    def _placed(self, embedded: EmbeddedBehaviour) -> NDArray[np.float32]:
        """Where an analysis lies among the points of ``novelty_index``."""
        if not self.detector.uses_likeness:
            return embedded.vector
        placed: NDArray[np.float32] = place(embedded.vector[None], np.array([embedded.explained]))[0]
        return placed

    def _likenesses(
        self,
        shown: NDArray[np.int64],
        sizes: NDArray[np.int64],
        columns: NDArray[np.int64],
        kinds: NDArray[np.uint8],
        points: NDArray[np.int64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The likeness (k,) with each of k fitted behaviours over all tokens, and over the tokens with weight.

        The second is 0 in a model from before 0.3.0, which does not use it.

        Args:
            shown: columns of the tokens that have one, as the rows number them.
            sizes: (a,) how many tokens the behaviour has in each aspect.
            columns: (t,) columns of the tokens that the embedding knows; kinds: (t,) their kinds.
        """
        marks = np.zeros(self.columns, np.int64)
        marks[shown] = 1
        if not self.detector.uses_likeness:
            return likenesses(sizes, self.rows.sizes_of(points), self.rows.sums(marks, points)), np.zeros(len(points))
        has_weight = ~self.embedding.is_background(columns)
        marks[columns[has_weight]] += _WITH_WEIGHT
        sums = self.rows.sums(marks, points)  # two counts in one
        own = self.rows.sizes_of_kinds(kinds[has_weight], int(np.count_nonzero(has_weight)))
        return (
            likenesses(sizes, self.rows.sizes_of(points), sums % _WITH_WEIGHT),
            likenesses(own, self.detector.sizes_of(points), sums // _WITH_WEIGHT),
        )

    def _anomaly_score(
        self,
        embedded: EmbeddedBehaviour,
        near: _Near,
        likeness_to: Callable[[NDArray[np.int64]], NDArray[np.float64]],
        seen: int,
        tokens: int,
        analysis: str | None,
        threshold: float,
    ) -> tuple[AnomalyScore | None, list[Reason]]:
        """The anomaly score; an analysis is scored as if it were not fitted. None where there are too few analyses.

        A behaviour that one other analysis showed is a repeat, and less new than that analysis was.

        With it come the reasons: ``single_source``, where the analysis would not be anomalous if a single small source
        made its own behaviour known.
        """
        fitted = self._fitted(near.points[near.distances <= SAME_PLACE], embedded.explained, analysis)
        source = -1
        if self.detector.uses_likeness:
            first = near.take(slice(None, NOVELTY_NEIGHBOURS))
            source = self.detector.source_of_most_alike(first.points, first.likenesses)
            counting = first if source < 0 else self._beyond(source, near, embedded, likeness_to)
            novelty = self.detector.score(counting.distances, counting.points, counting.likenesses, seen, tokens)
        else:
            vectors = self.novelty_vectors[near.points]
            novelty = self.detector.older_score(embedded.vector, embedded.explained, near.points, vectors, seen, tokens)
        if novelty is not None and fitted is not None:
            novelty = replace(novelty, score=float(self.fitted_scores[fitted]))
        if novelty is None or source < 0 or novelty.score < threshold:
            return novelty, []
        others = near if fitted is None else near.take(near.points != fitted)
        plain = self.detector.score(others.distances, others.points, others.likenesses, seen, tokens)
        if plain is None or plain.score >= threshold:
            return novelty, []
        count = int(np.count_nonzero(self.detector.sources[others.points] == source))
        return novelty, single_source_reasons(ONLY_FROM[kind_of_source(source)], count)

    def _beyond(
        self,
        source: int,
        near: _Near,
        embedded: EmbeddedBehaviour,
        likeness_to: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    ) -> _Near:
        """The nearest fitted behaviours that are not known from this source alone, at most ``NOVELTY_NEIGHBOURS``."""
        points, distances = near.points, near.distances
        counts = self.detector.sources[points] != source
        if counts.any():
            return near.take(counts).take(slice(None, NOVELTY_NEIGHBOURS))
        while not counts.any() and len(points) < len(self.fitted_scores):  # the source sent many that are alike
            wanted = min(_DEEPER * len(points), len(self.fitted_scores))
            points, distances = self.novelty_index.nearest(self._placed(embedded), wanted)
            counts = self.detector.sources[points] != source
        kept = points[counts][:NOVELTY_NEIGHBOURS]
        return _Near(kept, distances[counts][:NOVELTY_NEIGHBOURS], likeness_to(kept))

    def _fitted(self, points: NDArray[np.int64], explained: float, analysis: str | None) -> int | None:
        """The fitted behaviour whose score an analysis takes, as it is or repeats it.

        None for the second analysis of a behaviour that was fitted once, unless a small source alone made it known:
        then the second is as unusual as the first. Behaviours that differ only in what the model
        does not know have the same vector and the same score.

        Args:
            points: the fitted behaviours that have the analysis' vector.
            explained: share of the analysis' behaviour that the embedding explains.
        """
        same = points[np.abs(self.detector.explained[points] - explained) <= _SAME_EXPLAINED]
        multiplicities = self.detector.multiplicities[same]
        for point in same[multiplicities == 1].tolist():
            if analysis is None or (len(self.detector.sources) and self.detector.sources[point] >= 0):
                return int(point)
            if any(member.analysis == analysis for member in self.members.of_point(point)):
                return int(point)
        return int(same[0]) if multiplicities.sum() > 1 else None

    def _cluster(self, placement: Placement) -> ClusterFinding | None:
        if placement.cluster == NOISE:
            return None
        facts = self.clusters[placement.cluster]
        return ClusterFinding(
            id=facts.id,
            name=facts.name,
            size=facts.size,
            probability=round(float(placement.probability), 4),
            labels=_label_counts(facts),
            sources=facts.sources,
            only_from=facts.only_from,
            samples=facts.samples or None,
        )

    def _kin(self, placement: Placement, likenesses: NDArray[np.float64], anomalous: bool) -> KinFinding | None:
        """The kin of an analysis; a fitted one has the kin that the fit gave it, like its cluster.

        An analysis of which the embedding knows nothing has no neighbours there, no cluster and no kin. One that is in
        no cluster and anomalous is unlike anything known: whatever is nearest to it is no kin of it.
        """
        if not self.kins or not len(placement.neighbours):
            return None
        if placement.distances[0] == 0:
            kin, probability = self.kin.of_point(int(placement.neighbours[0]))
        elif placement.cluster == NOISE and anomalous:
            return None
        else:
            kin, probability = self.kin.place(
                placement.neighbours,
                placement.distances,
                likenesses,
                self.clustering.multiplicities[placement.neighbours],
                self._kin_of_cluster(placement),
            )
        if kin == NO_KIN:
            return None
        facts = self.kins[kin]
        return KinFinding(
            id=facts.id,
            name=facts.name,
            size=facts.size,
            probability=round(probability, 4),
            labels=_label_counts(facts),
            sources=facts.sources,
            only_from=facts.only_from,
            samples=facts.samples or None,
        )

    def _kin_of_cluster(self, placement: Placement) -> int | None:
        """The number of the kin of its cluster, -1 for a cluster without kin; None without a cluster."""
        if placement.cluster == NOISE:
            return None
        kin_id = self.clusters[placement.cluster].kin
        return [kin.id for kin in self.kins].index(kin_id) if kin_id is not None else NO_KIN

    def _lack(
        self,
        kinds: NDArray[np.uint8],
        columns: NDArray[np.int64],
        places: NDArray[np.int64],
        points: NDArray[np.int64],
        similarities: NDArray[np.float64],
        cluster: int,
        kin: KinFinding | None,
    ) -> Lack | None:
        """What an analysis lacks of the habits of its group.

        Args:
            kinds: (t,) the kinds of its tokens.
            columns, places: (k,) the known tokens' columns, and where they stand among its tokens.
            points, similarities: (m,) the fitted behaviours nearest to it, and their likeness. The group of each is its
                cluster, or its kin where the cluster is too small.
            cluster: the number of its cluster, -1 for none.
        """
        clusters = self.clustering.labels[points]
        kins = self.kin.labels[points]
        kins = np.where(kins != NO_KIN, len(self.clusters) + kins, -1)
        groups = np.where(self.habits.has_habits(clusters), clusters, kins)
        placed = cluster
        if kin is not None and not self.habits.has_habits(np.array([cluster]))[0]:
            placed = len(self.clusters) + [facts.id for facts in self.kins].index(kin.id)
        is_action = IS_ACTION[kinds]
        is_background = self.embedding.is_background(columns)
        actions = int(np.count_nonzero(is_action)) - int(np.count_nonzero(is_action[places[is_background]]))
        own = np.zeros(len(self.embedding.hashes), np.bool_)
        own[columns[is_action[places] & ~is_background]] = True
        return self.habits.lack(groups, similarities, placed, own, actions, deeds_of(kinds))

    def _incomplete(self, lack: Lack | None, behaviour: Behaviour) -> list[Reason]:
        """``incomplete_run``, unless no sample was run: then the message says why."""
        if lack is None or lack.score < (INCOMPLETE if lack.placed else INCOMPLETE_ELSEWHERE):
            return []
        if any(kind_of(token) == "task" for token in behaviour.tokens):
            return []
        group, is_cluster = self.group_of(lack)
        return incomplete_reasons(
            lack.score, f"{'cluster' if is_cluster else 'kin'} {_named(group)}", lack.analyses, lack.share, lack.deeds
        )

    def _reasons(
        self,
        placement: Placement,
        novelty: AnomalyScore | None,
        highest_similarity: float,
        behaviour: Behaviour,
        label: str | None,
        anomaly: AnomalySettings,
    ) -> list[Reason]:
        facts = self.clusters[placement.cluster] if placement.cluster != NOISE else None
        name = _named(facts) if facts else None
        return [
            *(static_reasons(len(behaviour.tokens)) if behaviour.is_static else []),
            *(novelty_reasons(novelty.score, novelty.unseen, highest_similarity, anomaly.threshold) if novelty else []),
            *cluster_reasons(
                cluster=name,
                probability=placement.probability,
                outlier_score=placement.outlier_score,
                high_outlier_score=anomaly.high_outlier_score,
                low_probability=anomaly.low_probability,
            ),
            *label_reasons(label, name, facts.labels if facts else {}, facts.label_sources if facts else {}),
            *self.fences.abnormal(behaviour.counts, _COUNT_REASONS),
        ]

    @property
    def columns(self) -> int:
        """How many tokens the rows tell apart."""
        return len(self.embedding.hashes) + len(self.frequencies.rare_hashes)

    @property
    def token_hashes(self) -> NDArray[np.uint64]:
        """The hash of each token that the rows may have, by its column: the embedding's, then the rare ones."""
        return np.concatenate([self.embedding.hashes, self.frequencies.rare_hashes])

    def _similar(
        self, points: NDArray[np.int64], similarities: NDArray[np.float64], analysis: str | None, k: int, each_run: bool
    ) -> list[SimilarAnalysis]:
        """The most alike fitted analyses, k of them; of each file the most alike one, or each with ``each_run``."""
        similar: list[SimilarAnalysis] = []
        files: set[str] = set()
        for i in np.lexsort((points, -np.round(similarities, 6))):
            if len(similar) >= k:
                break
            if similarities[i] <= 0:
                continue
            point = int(points[i])
            cluster = int(self.clustering.labels[point])
            if each_run:
                members = [member for member in self.members.of_point(point, k + 1) if member.analysis != analysis]
            else:  # at most ``len(files)`` of these are known from points before
                members = self.members.samples_of_point(point, k + len(files), analysis)
                members = [member for member in members if member.sha256 is None or member.sha256 not in files]
                files.update(member.sha256 for member in members if member.sha256 is not None)
            for member in members:
                if len(similar) < k:
                    similar.append(
                        SimilarAnalysis(
                            analysis=member.analysis,
                            sha256=member.sha256,
                            similarity=round(float(similarities[i]), 4),
                            cluster=self.clusters[cluster].id if cluster != NOISE else None,
                            label=member.label,
                        )
                    )
        return similar

    def _evidence(
        self,
        behaviour: Behaviour,
        hashes: NDArray[np.uint64],
        kinds: NDArray[np.uint8],
        columns: NDArray[np.int64],
        places: NDArray[np.int64],
        occurrences: NDArray[np.int64],
        cluster: int,
        anomalous: bool,
        k: int,
    ) -> list[Evidence]:
        analyses = max(int(self.facts["analyses"]), 1)
        in_corpus = occurrences / analyses
        in_cluster: NDArray[np.float64] = np.zeros(len(columns))
        background = self.embedding.is_background(columns)
        if cluster != NOISE:
            in_cluster = self.frequencies.in_cluster(cluster, columns) / max(self.clusters[cluster].size, 1)
        shared: list[Evidence] = []
        if cluster != NOISE:
            limit = k if not anomalous else (k + 1) // 2
            tying = np.where(background, 0.0, in_cluster)
            shared = cluster_evidence(behaviour.tokens, places, kinds[places], tying, in_corpus[places], limit)
        if cluster != NOISE and not anomalous:
            return shared
        all_in_cluster: NDArray[np.float64] = np.zeros(len(behaviour.tokens))
        if cluster != NOISE:
            all_in_cluster = self.frequencies.rare_in_cluster(cluster, hashes) / max(self.clusters[cluster].size, 1)
        all_in_cluster[places] = in_cluster
        in_corpus[places[background]] = 1.0  # nothing that a machine shows by itself is rare
        rare = rarest_evidence(behaviour.tokens, kinds, all_in_cluster, in_corpus, k)
        return [*shared, *(piece for piece in rare if piece not in shared)][:k]

    def with_facts(self, **facts: Any) -> Model:
        """A copy of the model in which these facts are replaced."""
        return replace(self, facts={**self.facts, **facts})


def _named(facts: ClusterFacts) -> str:
    return f"{facts.name} ({facts.id})" if facts.name != facts.id else facts.id


def _label_counts(facts: ClusterFacts) -> list[LabelCount]:
    return [
        LabelCount(label=label, count=count, sources=facts.label_sources.get(label, 0))
        for label, count in facts.labels.items()
    ][:MAX_LABELS]
