"""The finding: what the plugin says of one analysis, as the report section ``cuckooml`` holds it (docs/section.md).

Its JSON schema is ``section.schema.json`` in this package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from cuckoo_ml_plugin.finding.evidence import Evidence
from cuckoo_ml_plugin.finding.reasons import Reason
from cuckoo_ml_plugin.finding.threat import ThreatFinding

SCHEMA = 1
Status = Literal["scored", "no_model", "no_behaviour", "failed"]


class ModelFacts(TypedDict):
    """Which model a finding is from."""

    id: str
    fitted_at: str
    analyses: int
    clusters: int


class LabelCount(TypedDict):
    label: str
    count: int


class ClusterFinding(TypedDict):
    """The cluster of an analysis; ``probability`` of the membership is in [0, 1]."""

    id: str
    name: str
    size: int
    probability: float
    labels: list[LabelCount]


class AnomalyFinding(TypedDict):
    """How unusual an analysis is; both scores are in [0, 1]."""

    score: float
    outlier_score: float
    anomalous: bool
    reasons: list[Reason]


class SimilarAnalysis(TypedDict):
    """A past analysis that behaved alike; ``similarity`` is in [0, 1]."""

    analysis: str
    sha256: str | None
    similarity: float
    cluster: str | None
    label: str | None


@dataclass(slots=True)
class Finding:
    """All that is said of one analysis."""

    status: Status
    message: str = ""
    model: ModelFacts | None = None
    cluster: ClusterFinding | None = None
    anomaly: AnomalyFinding | None = None
    similar: list[SimilarAnalysis] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    threat_scores: ThreatFinding | None = None
    counts: dict[str, int | float] = field(default_factory=dict)

    def section(self) -> dict[str, Any]:
        """The report section: JSON-ready, numbers finite, keys without ``.`` and ``$``."""
        return {
            "schema": SCHEMA,
            "status": self.status,
            "message": self.message[:1000],
            "model": self.model,
            "cluster": self.cluster,
            "anomaly": self.anomaly,
            "similar": self.similar,
            "evidence": self.evidence,
            "threat_scores": self.threat_scores,
            "counts": {key: value for key, value in self.counts.items() if _plain(key) and math.isfinite(value)},
        }


def seed_section(section: Mapping[str, Any], min_samples: int, min_cluster_size: int) -> dict[str, Any]:
    """What CuckooML wrote into ``info.clustering.hdbscan``, from a finding's section. -1 is the cluster of noise."""
    cluster, anomaly = section["cluster"], section["anomaly"]
    return {
        "clusterID": number_of_id(cluster["id"] if cluster else None),
        "clusterProbability": cluster["probability"] if cluster else 0.0,
        "outlierScore": anomaly["outlier_score"] if anomaly else 0.0,
        "min_samples": min_samples,
        "min_cluster_size": min_cluster_size,
    }


def number_of_id(cluster: str | None) -> int:
    """17 for the cluster c17, -1 for none: clusters as CuckooML numbered them."""
    return int(cluster[1:]) if cluster else -1


def _plain(key: str) -> bool:
    return "." not in key and "$" not in key
