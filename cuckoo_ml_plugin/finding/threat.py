"""What the providers say of one analysis together, and what the others' scores predict for each. NumPy only.

A provider's prediction is a sum of small regression trees over the others' joined scores (gradient boosting, Friedman
2001), as plain arrays; ``providers_fit`` makes them.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypedDict

from cuckoo_ml_plugin.finding.reasons import Reason

_NAMES: Final = {
    "virustotal": "VirusTotal",
    "threatfox": "ThreatFox",
    "reversinglabs": "ReversingLabs",
    "detections": "The sandbox's own detections",
}


class IndicatorFinding(TypedDict):
    """One indicator's score, in [0, 1]."""

    kind: str
    indicator: str
    score: float


class ProviderFinding(TypedDict):
    """One provider: its joined score, and what the others' predict for it; None where they cannot."""

    provider: str
    score: float
    indicators: int
    highest: list[IndicatorFinding]
    prediction: float | None
    threshold: float | None


class DisagreementFinding(TypedDict):
    """A provider whose score is further from its prediction than the calibrated threshold."""

    provider: str
    score: float
    prediction: float
    threshold: float
    text: str


class ThreatFinding(TypedDict):
    """What a finding says of the threat scores of an analysis."""

    providers: list[ProviderFinding]
    joint: float
    disagreements: list[DisagreementFinding]


class Expectation(NamedTuple):
    """What a provider should say, in [0, 1], and how far it may be off."""

    prediction: float
    threshold: float


def threat_reasons(finding: ThreatFinding | None) -> list[Reason]:
    """``threat_scores_disagree`` for each disagreement; the value is prediction - score."""
    return [
        Reason(kind="threat_scores_disagree", text=one["text"], value=round(one["prediction"] - one["score"], 4))
        for one in (finding["disagreements"] if finding else [])
    ]


def _disagreement(provider: str, score: float, expected: Expectation) -> DisagreementFinding:
    verb = "say" if provider == "detections" else "says"
    text = (
        f"{_NAMES.get(provider, provider)} {verb} {score:.2f}; the other providers' scores predict "
        f"{expected.prediction:.2f} (up to {expected.threshold:.2f} apart is usual for such scores)."
    )
    return DisagreementFinding(
        provider=provider,
        score=round(score, 4),
        prediction=round(expected.prediction, 4),
        threshold=round(expected.threshold, 4),
        text=text,
    )
