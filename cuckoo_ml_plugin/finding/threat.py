"""Threat scores in a finding: what a provider is expected to say, and the sentence for one that says something else."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from cuckoo_ml_plugin.finding.section import Disagreement, Finding, Reason, ThreatFinding
from cuckoo_ml_plugin.finding.threat_words import display_name

_SHOWN: Final = 0.005  # the least score that two decimals do not make 0


class Expectation(NamedTuple):
    """The score in [0, 1] that the other providers predict for one, and how far its own may lie from that."""

    prediction: float
    threshold: float


def threat_reasons(finding: ThreatFinding | None) -> list[Reason]:
    """``threat_scores_disagree`` for each disagreement; the value is prediction - score."""
    return [
        Reason(
            kind="threat_scores_disagree",
            text=disagreement.text,
            value=round(disagreement.prediction - disagreement.score, 4),
        )
        for disagreement in (finding.disagreements if finding else [])
    ]


def disagreement_with(expectation: Expectation, provider: str, score: float) -> Disagreement:
    """The disagreement of a provider's score with what the other providers predict for it."""
    verb = "say" if provider == "detections" else "says"
    small = "less than 0.01" if score else "nothing, which is no clean bill"
    own = f"{score:.2f}" if score >= _SHOWN else small
    text = (
        f"{display_name(provider)} {verb} {own}; the other providers' scores predict"
        f" {expectation.prediction:.2f} (differences of up to {expectation.threshold:.2f} are usual for such scores)."
    )
    return Disagreement(
        provider=provider,
        score=round(score, 4),
        prediction=round(expectation.prediction, 4),
        threshold=round(expectation.threshold, 4),
        text=text,
    )


def shown_threat_scores(finding: Finding) -> ThreatFinding | None:
    """The threat scores as people are shown them.

    Where nothing is known of the behaviour, a score of 0 is no news and would read like a clean bill.
    """
    threat = finding.threat_scores
    if threat is None or finding.status != "no_behaviour":
        return threat
    telling = [provider for provider in threat.providers if provider.score > 0]
    return msgspec.structs.replace(threat, providers=telling) if telling else None
