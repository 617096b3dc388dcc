"""To be described."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.threat import Expectation, IndicatorFinding, ProviderFinding, ThreatFinding, _disagreement
from cuckoo_ml_plugin.report.threat_scores import NOTHING, ThreatScore

UNSAID: Final = -1.0  # stands for a provider that says nothing; scores are never below 0


LEAST_THRESHOLD: Final = 0.05
"""As in the study: what is closer is no disagreement, however well the providers agree otherwise."""


LEAST_OFF: Final = 0.02
"""Nobody's scores are taken to be closer to their prediction than this on average."""


_DEEPEST = 16  # a model's file cannot keep a worker busy


_SHOWN = 5  # indicators of a provider that a finding lists


@dataclass(frozen=True, slots=True)
class ProviderModels:
    """For p providers two sums of t trees with m nodes each: the score, and how far it is usually off.

    Attributes:
        names: p providers.
        features: (p, 2, t, m) the provider that a node asks; splits: likewise, up to which score it goes left.
        children: (p, 2, t, m, 2) the nodes on the left and on the right; a leaf is its own child.
        values: (p, 2, t, m) what a leaf adds; base: (p, 2) what it is added to, NaN for a provider without a model.
        allowed: (p,) how many times further off than usual a score may be.
        depth: steps from the root to the deepest leaf.
    """

    names: tuple[str, ...]
    features: NDArray[np.int64]
    splits: NDArray[np.float32]
    children: NDArray[np.int64]
    values: NDArray[np.float64]
    base: NDArray[np.float64]
    allowed: NDArray[np.float64]
    depth: int

    @classmethod
    def none(cls) -> ProviderModels:
        """No provider can be predicted."""
        p = (0, 2, 0, 0)
        return cls((), np.zeros(p, np.int64), np.zeros(p, np.float32), np.zeros((*p, 2), np.int64), np.zeros(p),
                   np.zeros((0, 2)), np.zeros(0), 0)  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any] | None) -> ProviderModels:
        """From a model's room; a model from before there was one has none. Raises ValueError, TypeError, KeyError."""
        if not facts or not arrays:
            return cls.none()
        names = tuple(str(name) for name in facts["providers"])
        made = cls(names, depth=int(facts["depth"]), **{name: np.asarray(array) for name, array in arrays.items()})
        if len(made.features) != len(names) or len(made.allowed) != len(names) or not 0 < made.depth <= _DEEPEST:
            raise ValueError("the providers and their models do not belong together")
        return made

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What :meth:`from_arrays` takes; nothing where there is no model."""
        names = ("features", "splits", "children", "values", "base", "allowed") if self.names else ()
        return {name: getattr(self, name) for name in names}

    def facts(self) -> dict[str, Any]:
        """What goes into model.json."""
        return {"providers": list(self.names), "depth": self.depth}

    def expect(self, provider: str, joined: Mapping[str, float]) -> Expectation | None:
        """What the others' scores predict for a provider, and from where on it is a disagreement.

        None for a provider without a model, and where no other provider that was fitted says anything.
        """
        if provider not in self.names:
            return None
        number = self.names.index(provider)
        x = np.array([joined.get(name, UNSAID) for name in self.names], np.float32)
        x[number] = UNSAID
        if math.isnan(self.base[number, 0]) or not (x != UNSAID).any():
            return None
        score, off = self._sums(number, x)
        allowed = float(self.allowed[number]) * max(off, LEAST_OFF)
        return Expectation(min(max(score, 0.0), 1.0), min(max(allowed, LEAST_THRESHOLD), 1.0))

    def _sums(self, number: int, x: NDArray[np.float32]) -> tuple[float, float]:
        """Both sums of a provider's trees for (p,) joined scores."""
        features, splits = self.features[number], self.splits[number]
        which, tree = np.ogrid[: features.shape[0], : features.shape[1]]
        node = np.zeros(features.shape[:2], np.int64)
        for _ in range(self.depth):
            right = x[features[which, tree, node]] > splits[which, tree, node]
            node = self.children[number][which, tree, node, right.astype(np.int64)]
        score, off = self.base[number] + self.values[number][which, tree, node].sum(axis=1)
        return float(score), float(off)


def joined_scores(scores: Sequence[ThreatScore]) -> dict[str, float]:
    """Each provider's scores of all indicators, joined by noisy-or."""
    remaining: dict[str, float] = {}
    for one in scores:
        remaining[one.provider] = remaining.get(one.provider, 1.0) * (1.0 - one.score)
    return {provider: 1.0 - left for provider, left in remaining.items()}


def threat_finding(scores: Sequence[ThreatScore], models: ProviderModels | None) -> ThreatFinding | None:
    """All of it for one analysis; None where no provider says anything."""
    if not scores:
        return None
    joined = joined_scores(scores)
    providers, disagreements = [], []
    for provider, score in joined.items():
        expected = models.expect(provider, joined) if models else None
        if expected and abs(expected.prediction - score) > expected.threshold:
            disagreements.append(_disagreement(provider, score, expected))
        providers.append(_provider(provider, score, scores, expected))
    disagreements.sort(key=lambda one: -abs(one["prediction"] - one["score"]))
    joint = 1.0 - math.prod(1.0 - score for score in joined.values())
    return ThreatFinding(providers=providers, joint=round(joint, 4), disagreements=disagreements)


def _provider(
    provider: str, score: float, scores: Sequence[ThreatScore], expected: Expectation | None
) -> ProviderFinding:
    own = [one for one in scores if one.provider == provider and one.kind != NOTHING]
    highest = sorted((one for one in own if one.score > 0), key=lambda one: -one.score)[:_SHOWN]
    return ProviderFinding(
        provider=provider,
        score=round(score, 4),
        indicators=len(own),
        highest=[
            IndicatorFinding(kind=one.kind, indicator=one.indicator, score=round(one.score, 4)) for one in highest
        ],
        prediction=round(expected.prediction, 4) if expected else None,
        threshold=round(expected.threshold, 4) if expected else None,
    )
