"""What threat scores say in words, the same at each door: of one provider in its own terms, and of all together.

A score of 0 is no clean bill: exchanges and rules know only what somebody has seen before. So it is never shown as a
number that looks measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from cuckoo_ml_plugin.report.threat_scores import (
    DETECTIONS,
    EXCHANGE,
    MALSCORE,
    MALSCORE_MAX,
    SANDBOX,
    SIGMA,
    SIGMA_LEVELS,
    SIMILARITY,
    origin_of,
)

_DISPLAY_NAMES: Final = {
    "virustotal": "VirusTotal",
    "threatfox": "ThreatFox",
    "reversinglabs": "ReversingLabs",
    "detections": "The sandbox's own detections",
    "sigma": "Sigma",
    "malscore": "The sandbox's malscore",
    "mcrit": "MCRIT",
}
_SATURATED: Final = 0.95
_SATURATED_MEAN: Final = 0.9
_MANY: Final = 3
_PROVIDERS_NAMED: Final = 3
_NAME: Final = 40


class Told(NamedTuple):
    """What one provider says: its joined score, over how many indicators, and their mean and highest score."""

    provider: str
    score: float
    indicators: int
    mean: float | None


def display_name(provider: str) -> str:
    """A provider's name as it writes it itself."""
    return _DISPLAY_NAMES.get(provider, provider[:_NAME])


def is_saturated(joined: float, mean: float | None, indicators: float) -> bool:
    """Whether a joined score is close to 1, as it is for many indicators, and their scores are lower in the mean."""
    return mean is not None and indicators >= _MANY and joined >= _SATURATED and mean < _SATURATED_MEAN


def in_own_terms(provider: str, score: float, indicators: int, mean: float | None, highest: float | None) -> str:
    """What a provider says, in the terms of that provider: a percentage, a level, points, a rule, or shares."""
    score = share(score)
    if provider == DETECTIONS:
        return "a rule of the sandbox names a family" if score else "no rule of the sandbox names a family"
    if provider == SIGMA:
        level = max((name for name, value in SIGMA_LEVELS.items() if value <= score), key=SIGMA_LEVELS.__getitem__)
        return f"highest level of the rules that matched: {level}" if score else "no rule of level low or above matched"
    if provider == MALSCORE:
        points = f"{score * MALSCORE_MAX:.1f} of {MALSCORE_MAX:g}, from the sandbox's signatures"
        return points if score else "no points from the sandbox's signatures"
    if origin_of(provider) == SIMILARITY:
        return f"{score * 100:.0f} % similar to the code of a known family" if score else "no code of a known family"
    if not score:
        return "detects nothing" if indicators else "asked, and has no answer"
    if indicators > 1 and mean is not None and highest is not None:
        return f"joined over {indicators:,} indicators: mean {share(mean):.2f}, highest {share(highest):.2f}"
    return f"{indicators:,} {'indicator' if indicators == 1 else 'indicators'}"


def threat_notes(told: Sequence[Told], joint: float, status: str) -> list[str]:
    """What a reader must know of the scores of one analysis: whose the joint score is, what a 0 and what a 1 mean."""
    exchanges = [provider for provider in told if origin_of(provider.provider) == EXCHANGE]
    others = [provider for provider in told if origin_of(provider.provider) != EXCHANGE]
    notes = []
    if not exchanges:
        notes.append("No threat exchange has a score, so there is no joint score.")
    elif others and share(joint):
        notes.append(
            "The joint score is that of the threat exchanges; the sandbox's own judgement and code similarity stand"
            " beside it."
        )
    silent = [provider for provider in told if not share(provider.score)]
    if any(origin_of(provider.provider) == SANDBOX for provider in silent) and status == "no_behaviour":
        notes.append(
            "Nothing is known of what the sample does, so the sandbox's own rules had little to judge:"
            " no detection is not a clean bill."
        )
    elif silent:
        notes.append("No detection is not a clean bill: exchanges and rules know only what was seen before.")
    saturated = [
        provider for provider in exchanges if is_saturated(share(provider.score), provider.mean, provider.indicators)
    ]
    if saturated:
        names = ", ".join(display_name(provider.provider) for provider in saturated[:_PROVIDERS_NAMED])
        notes.append(
            f"{names}: the joined score nears 1 with the number of indicators, because it is the probability that at"
            " least one of them is malicious. The mean and the highest say more."
        )
    return notes


def share(value: float) -> float:
    """A number within [0, 1]; 0 for one that is not finite, which only a damaged section has."""
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
