"""The model: what a fit leaves on disk, and ``score``: from a behaviour to a finding. NumPy only, in a millisecond.

model = Model.load(home.models / "current")
finding = model.score(extract(read_report(path)))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.errors import ModelError
from cuckoo_ml_plugin.finding.evidence import Evidence, cluster_evidence, rarest_evidence
from cuckoo_ml_plugin.finding.finding import (
    AnomalyFinding,
    ClusterFinding,
    Finding,
    LabelCount,
    ModelFacts,
    SimilarAnalysis,
)
from cuckoo_ml_plugin.finding.reasons import Reason, cluster_reasons, label_reasons, novelty_reasons
from cuckoo_ml_plugin.finding.threat import ThreatFinding, threat_reasons
from cuckoo_ml_plugin.model.anomaly import CANDIDATES as NOVELTY_CANDIDATES
from cuckoo_ml_plugin.model.anomaly import AnomalyDetector, AnomalyScore
from cuckoo_ml_plugin.model.changes import Change
from cuckoo_ml_plugin.model.clustering import NOISE, Clustering, Placement
from cuckoo_ml_plugin.model.embedding import Embedding
from cuckoo_ml_plugin.model.fences import CountFences
from cuckoo_ml_plugin.model.folder import read_model
from cuckoo_ml_plugin.model.frequencies import Frequencies
from cuckoo_ml_plugin.model.members import Members
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.model.providers import ProviderModels, threat_finding
from cuckoo_ml_plugin.model.token_rows import TokenRows
from cuckoo_ml_plugin.settings import AnomalySettings, ScoringSettings, Settings

DEFAULTS = Settings()
_SAME_EXPLAINED = 1e-5
_COUNT_REASONS = 6  # the counts furthest from what is usual; more would drown the other reasons


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What is known of one cluster: labels and their counts, most frequent first; ``evidence`` as tokens.

    ``first_seen`` and ``last_seen`` are when its analyses were made, ``first_stored`` is when the first was stored.
    """

    id: str
    name: str
    size: int
    labels: dict[str, int]
    evidence: list[Evidence]
    first_seen: str
    last_seen: str
    first_stored: str = ""  # in models from before 0.2.0


class _Facts(msgspec.Struct):
    """What model.json must say; each is used somewhere as what it is here."""

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


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted model; every array may be memory-mapped.

    Attributes:
        facts: id, time and size of the fit, settings, lineage: what model.json holds beside the clusters.
        clusters: in the order of the clustering's numbers.
        embedding, clustering: where groups are found; novelty, novelty_index, detector: where new behaviour is.
        rows: known tokens of each fitted behaviour; frequencies: of tokens; members: analyses of each behaviour.
        fences: usual values of the count features.
        fitted_scores: (n,) anomaly score of each fitted behaviour, as if it had not been there.
        providers: what each provider of threat scores is expected to say, given the others.
    """

    facts: dict[str, Any]
    clusters: list[ClusterFacts]
    embedding: Embedding
    clustering: Clustering
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

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Open a model's folder. Raises ModelError when it is incomplete, damaged or not one of ours."""
        facts, arrays = read_model(folder)
        try:
            return cls._from(facts, arrays)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise ModelError(f"{folder}: its parts do not belong together ({error}); run cuckoo-ml refit.") from error

    @classmethod
    def _from(cls, facts: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Model:
        rooms: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in arrays.items():
            room, _, rest = name.partition(".")
            rooms.setdefault(room, {})[rest] = array
        checked = msgspec.convert(facts, _Facts)
        for moment in (checked.fitted_at, checked.read_at):
            datetime.fromisoformat(moment.replace("Z", "+00:00"))
        fitted = facts["settings"]["clustering"]
        return cls(
            facts=facts,
            clusters=checked.clusters,
            embedding=Embedding.from_arrays(rooms["embedding"]),
            clustering=Clustering.from_arrays(rooms["clustering"], fitted["min_samples"], fitted["certainty"]),
            novelty=Embedding.from_arrays(rooms["novelty"]),
            novelty_index=NeighbourIndex.from_arrays(rooms["novelty_index"]),
            detector=AnomalyDetector.from_arrays(rooms["detector"]),
            rows=TokenRows.from_arrays(rooms["rows"]),
            frequencies=Frequencies.from_arrays(rooms["frequencies"]),
            members=Members.from_arrays(rooms["members"]),
            fences=CountFences(tuple(facts["count_names"]), np.array(rooms["fences"]["quantiles"])),
            novelty_vectors=rooms["novelty_vectors"]["all"],
            fitted_scores=rooms["fitted_scores"]["all"],
            providers=ProviderModels.from_arrays(rooms.get("providers", {}), facts.get("providers")),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by room and name, as :func:`model_files.write_model` takes them."""
        rooms = (
            "embedding", "clustering", "novelty", "novelty_index", "detector", "rows", "frequencies", "members",
            "providers",
        )  # fmt: skip
        found = {f"{room}.{name}": array for room in rooms for name, array in getattr(self, room).arrays().items()}
        return found | {
            "fences.quantiles": self.fences.quantiles,
            "novelty_vectors.all": self.novelty_vectors,
            "fitted_scores.all": self.fitted_scores,
        }

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    def brief(self) -> ModelFacts:
        """Which model this is, as a finding says it."""
        facts = self.facts
        return ModelFacts(
            id=self.id, fitted_at=facts["fitted_at"], analyses=facts["analyses"], clusters=len(self.clusters)
        )

    def score(
        self,
        behaviour: Behaviour,
        *,
        analysis: str | None = None,
        label: str | None = None,
        scoring: ScoringSettings = DEFAULTS.scoring,
        anomaly: AnomalySettings = DEFAULTS.anomaly,
    ) -> Finding:
        """The finding for one behaviour; neither the model nor the store is touched.

        Args:
            analysis: its id, so that it is not listed as similar to itself.
            label: its family, if any is known, to compare with its cluster's.

        Raises:
            ModelError: the model's parts contradict each other.
        """
        try:
            threat = threat_finding(behaviour.scores, self.providers)
            if not behaviour.has_behaviour:
                message = "Nothing was seen of the sample when it ran: there is no behaviour to compare."
                counts = behaviour.counts
                return Finding("no_behaviour", message, model=self.brief(), threat_scores=threat, counts=counts)
            return self._score(behaviour, analysis, label, scoring, anomaly, threat)
        except (IndexError, ValueError, TypeError, OverflowError) as error:
            raise ModelError(
                f"{self.id}: the model's parts contradict each other ({error}); run cuckoo-ml refit."
            ) from error

    def _score(
        self,
        behaviour: Behaviour,
        analysis: str | None,
        label: str | None,
        scoring: ScoringSettings,
        anomaly: AnomalySettings,
        threat: ThreatFinding | None,
    ) -> Finding:
        hashes = behaviour.hashes()
        columns, places = self._known(hashes)
        vector = self.embedding.embed(columns, len(hashes)).vector
        placement = self.clustering.place(vector)
        shown = np.zeros(len(hashes), np.int64)  # how many fitted analyses show each token
        shown[places] = self.frequencies.corpus[columns]
        strange = np.flatnonzero(shown == 0)
        shown[strange] = self.frequencies.of_rare(hashes[strange])
        unusual = self._unusual(columns, len(hashes), int(np.count_nonzero(shown)), analysis)
        similar = self._similar(columns, placement, analysis, max(scoring.similar, 1))
        most_alike = similar[0]["similarity"] if similar else 0.0
        reasons = [*self._reasons(placement, unusual, most_alike, behaviour, label, anomaly), *threat_reasons(threat)]
        if not np.isfinite((placement.probability, placement.outlier_score, unusual.score)).all():
            raise ValueError("an array holds what is no number")
        anomalous = bool(unusual.score >= anomaly.threshold)
        return Finding(
            "scored",
            model=self.brief(),
            cluster=self._cluster(placement),
            anomaly=AnomalyFinding(
                score=round(float(unusual.score), 4),
                outlier_score=round(float(placement.outlier_score), 4),
                anomalous=anomalous,
                reasons=reasons,
            ),
            similar=similar[: scoring.similar],
            evidence=self._evidence(
                behaviour, hashes, columns, places, shown, placement.cluster, anomalous, scoring.evidence
            ),
            threat_scores=threat,
            counts=behaviour.counts,
        )

    def _known(self, hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns of the known tokens, ascending, and where each stands among the behaviour's tokens."""
        vocabulary = self.embedding.hashes
        if not len(vocabulary) or not len(hashes):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        places = np.argsort(hashes)
        ascending = hashes[places]  # neighbours in the search need the same parts of the vocabulary
        columns = np.minimum(np.searchsorted(vocabulary, ascending), len(vocabulary) - 1)
        known = vocabulary[columns] == ascending
        return columns[known], places[known]

    def _unusual(self, columns: NDArray[np.int64], tokens: int, seen: int, analysis: str | None) -> AnomalyScore:
        """The anomaly score; what was fitted itself is scored as if it had not been there.

        A behaviour that one other analysis showed is a repeat of that, and not as new as it was.
        """
        embedded = self.novelty.embed(columns, tokens)
        neighbours, distances = self.novelty_index.nearest(embedded.vector, NOVELTY_CANDIDATES + 1)
        fitted = self._fitted(neighbours[distances == 0], embedded.explained, analysis)
        vectors = self.novelty_vectors[neighbours]
        found = self.detector.score(embedded.vector, embedded.explained, seen, tokens, neighbours, vectors)
        return found if fitted is None else replace(found, score=float(self.fitted_scores[fitted]))

    def _fitted(self, points: NDArray[np.int64], explained: float, analysis: str | None) -> int | None:
        """Which of the fitted behaviours in one place an analysis is, or repeats; None: it is the second one there.

        Behaviours that differ only in what the model does not know are in one place, and have one score.
        """
        same = points[np.abs(self.detector.explained[points] - explained) <= _SAME_EXPLAINED]
        often = self.detector.multiplicities[same]
        for point in same[often == 1].tolist():
            if analysis is None or any(one.analysis == analysis for one in self.members.of_point(point)):
                return int(point)
        return int(same[0]) if often.sum() > 1 else None

    def _cluster(self, placement: Placement) -> ClusterFinding | None:
        if placement.cluster == NOISE:
            return None
        facts = self.clusters[placement.cluster]
        return ClusterFinding(
            id=facts.id,
            name=facts.name,
            size=facts.size,
            probability=round(float(placement.probability), 4),
            labels=[LabelCount(label=label, count=count) for label, count in facts.labels.items()][:20],
        )

    def _reasons(
        self,
        placement: Placement,
        unusual: AnomalyScore,
        most_alike: float,
        behaviour: Behaviour,
        label: str | None,
        anomaly: AnomalySettings,
    ) -> list[Reason]:
        facts = self.clusters[placement.cluster] if placement.cluster != NOISE else None
        name = f"{facts.name} ({facts.id})" if facts and facts.name != facts.id else facts.id if facts else None
        return [
            *novelty_reasons(unusual, most_alike, anomaly.threshold),
            *cluster_reasons(
                cluster=name,
                probability=placement.probability,
                outlier_score=placement.outlier_score,
                high_outlier_score=anomaly.high_outlier_score,
                low_probability=anomaly.low_probability,
            ),
            *label_reasons(label, name, facts.labels if facts else {}),
            *self.fences.abnormal(behaviour.counts, _COUNT_REASONS),
        ]

    def _similar(
        self, columns: NDArray[np.int64], placement: Placement, analysis: str | None, k: int
    ) -> list[SimilarAnalysis]:
        points = placement.neighbours
        alike = self.rows.similarities(columns, points, len(self.embedding.hashes))
        found: list[SimilarAnalysis] = []
        for i in np.lexsort((placement.distances, -np.round(alike, 6))):
            if len(found) >= k:
                break
            if alike[i] <= 0:
                continue
            point = int(points[i])
            cluster = int(self.clustering.labels[point])
            for member in self.members.of_point(point, k + 1):
                if member.analysis != analysis:
                    found.append(
                        SimilarAnalysis(
                            analysis=member.analysis,
                            sha256=member.sha256,
                            similarity=round(float(alike[i]), 4),
                            cluster=self.clusters[cluster].id if cluster != NOISE else None,
                            label=member.label,
                        )
                    )
        return found[:k]

    def _evidence(
        self,
        behaviour: Behaviour,
        hashes: NDArray[np.uint64],
        columns: NDArray[np.int64],
        places: NDArray[np.int64],
        shown: NDArray[np.int64],
        cluster: int,
        anomalous: bool,
        k: int,
    ) -> list[Evidence]:
        analyses = max(int(self.facts["analyses"]), 1)
        in_corpus = shown / analyses
        in_cluster = np.zeros(len(columns))
        if cluster != NOISE:
            in_cluster = self.frequencies.in_cluster(cluster, columns) / max(self.clusters[cluster].size, 1)
        tied: list[Evidence] = []
        if cluster != NOISE:
            kinds = self.embedding.kinds[columns]
            some = k if not anomalous else (k + 1) // 2
            tied = cluster_evidence(behaviour.tokens, places, kinds, in_cluster, in_corpus[places], some)
        if cluster != NOISE and not anomalous:
            return tied
        within = np.zeros(len(behaviour.tokens))
        if cluster != NOISE:
            within = self.frequencies.rare_in_cluster(cluster, hashes) / max(self.clusters[cluster].size, 1)
        within[places] = in_cluster
        rare = rarest_evidence(behaviour.tokens, behaviour.kind_ids(), within, in_corpus, k)
        return [*tied, *(piece for piece in rare if piece not in tied)][:k]

    def with_facts(self, **facts: Any) -> Model:
        """The same model with other facts."""
        return replace(self, facts={**self.facts, **facts})
