"""The report section as the panel reads it back from a report or a database: the right types, or an error."""

from __future__ import annotations

import json

import msgspec

from cuckoo_ml_plugin.errors import ReportError

_MOST = 100  # of any list


class ModelPart(msgspec.Struct):
    id: str = ""
    fitted_at: str = ""
    analyses: int = 0
    clusters: int = 0


class LabelPart(msgspec.Struct):
    label: str
    count: int


class ClusterPart(msgspec.Struct):
    id: str
    name: str
    size: int
    probability: float
    labels: list[LabelPart] = []


class ReasonPart(msgspec.Struct):
    kind: str
    text: str
    value: float | int | None = None


class AnomalyPart(msgspec.Struct):
    score: float
    outlier_score: float
    anomalous: bool
    reasons: list[ReasonPart] = []


class SimilarPart(msgspec.Struct):
    analysis: str
    similarity: float
    sha256: str | None = None
    cluster: str | None = None
    label: str | None = None


class EvidencePart(msgspec.Struct):
    kind: str
    value: str
    in_cluster: float
    in_corpus: float


class IndicatorPart(msgspec.Struct):
    kind: str
    indicator: str
    score: float


class ProviderPart(msgspec.Struct):
    provider: str
    score: float
    indicators: int = 0
    highest: list[IndicatorPart] = []
    prediction: float | None = None
    threshold: float | None = None


class DisagreementPart(msgspec.Struct):
    provider: str
    text: str


class ThreatPart(msgspec.Struct):
    joint: float
    providers: list[ProviderPart] = []
    disagreements: list[DisagreementPart] = []


class Section(msgspec.Struct):
    """The section ``cuckooml`` (docs/section.md); what an older version did not write has its default."""

    status: str
    message: str = ""
    model: ModelPart | None = None
    cluster: ClusterPart | None = None
    anomaly: AnomalyPart | None = None
    similar: list[SimilarPart] = []
    evidence: list[EvidencePart] = []
    threat_scores: ThreatPart | None = None
    counts: dict[str, float | int] = {}


def read_section(raw: object) -> Section:
    """The section out of JSON text, a dict, or what a database gives for one. Raises ReportError."""
    try:
        if not isinstance(raw, (str, bytes)):
            raw = json.dumps(raw, default=str)  # a database's own types
        found = json.loads(raw)
        if isinstance(found, dict):
            found = {key: value[:_MOST] if isinstance(value, list) else value for key, value in found.items()}
        return msgspec.convert(found, Section)
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        raise ReportError(f"The section cuckooml of this report cannot be read ({str(error)[:200]}).") from error
