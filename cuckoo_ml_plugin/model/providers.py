"""Threat scores: what a model expects each provider to say, given the others, and what a finding says of them.

A provider's prediction is a sum of small regression trees over the other providers' joined scores (gradient boosting,
Friedman 2001), kept as plain arrays. ``fit/providers.py`` fits them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.section import (
    MAX_INDICATORS,
    Disagreement,
    IndicatorFinding,
    ProviderFinding,
    ThreatFinding,
)
from cuckoo_ml_plugin.finding.threat import Expectation, disagreement_with
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape
from cuckoo_ml_plugin.report.threat_scores import EXCHANGE, NOTHING, ThreatScore, origin_of

UNSAID: Final = -1.0
"""Stands for a provider that has no score; scores are never below 0."""
LEAST_THRESHOLD: Final = 0.05
"""A smaller difference is no disagreement, however well the providers agree otherwise; the value is the study's."""
LEAST_OFF: Final = 0.02
"""Least average difference that is assumed between a provider's scores and their predictions."""
_MAX_DEPTH = 16  # a model's file cannot keep a worker busy


@dataclass(frozen=True, slots=True)
class ProviderModels(ModelPart):
    """For each of p providers two sums of t trees with m nodes: of its score, and of how far that is usually off.

    Attributes:
        names: the providers.
        features: (p, 2, t, m) the provider whose score decides at each node.
        splits: (p, 2, t, m) the highest score that goes to the left.
        children: (p, 2, t, m, 2) the nodes on the left and on the right; a leaf is its own child.
        values: (p, 2, t, m) what a leaf adds.
        base: (p, 2) what the leaves add to; NaN for a provider without a model.
        allowed: (p,) how many times further off than usual a score may be.
        depth: steps from the root to the deepest leaf.
    """

    names: tuple[str, ...]
    features: Annotated[NDArray[np.int64], Shape("p", 2, "t", "m")]
    splits: Annotated[NDArray[np.float32], Shape("p", 2, "t", "m")]
    children: Annotated[NDArray[np.int64], Shape("p", 2, "t", "m", 2)]
    values: Annotated[NDArray[np.float64], Shape("p", 2, "t", "m")]
    base: Annotated[NDArray[np.float64], Shape("p", 2)]
    allowed: Annotated[NDArray[np.float64], Shape("p")]
    depth: int

    @classmethod
    def none(cls) -> ProviderModels:
        """The models of a corpus that predicts no provider."""
        p = (0, 2, 0, 0)
        return cls((), np.zeros(p, np.int64), np.zeros(p, np.float32), np.zeros((*p, 2), np.int64), np.zeros(p),
                   np.zeros((0, 2)), np.zeros(0), 0)  # fmt: skip

    @classmethod
    def from_model(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any] | None) -> ProviderModels:
        """The models from their arrays and their facts in model.json; :meth:`none` for a model that lacks them.

        Raises:
            ValueError, TypeError, KeyError: they do not belong together.
        """
        if not facts or not arrays:
            return cls.none()
        names = tuple(str(name) for name in facts["providers"])
        models = cls.from_arrays(arrays, names=names, depth=int(facts["depth"]))
        if len(models.features) != len(names) or not 0 < models.depth <= _MAX_DEPTH:
            raise ValueError("the providers and their models do not belong together")
        return models

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name; none where no provider is predicted."""
        return ModelPart.arrays(self) if self.names else {}

    def facts(self) -> dict[str, Any]:
        """The entry in model.json."""
        return {"providers": list(self.names), "depth": self.depth}

    def expect(self, provider: str, joined: Mapping[str, float]) -> Expectation | None:
        """What the other providers' scores predict for one, and how far its own may lie from that.

        None for a provider without a model, and where no other fitted provider has a score.

        Args:
            joined: each provider's joined score, see :func:`joined_scores`.
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
        """Both sums of a provider's trees for the joined scores (p,)."""
        features, splits = self.features[number], self.splits[number]
        which, tree = np.ogrid[: features.shape[0], : features.shape[1]]
        node = np.zeros(features.shape[:2], np.int64)
        for _ in range(self.depth):
            right = x[features[which, tree, node]] > splits[which, tree, node]
            node = self.children[number][which, tree, node, right.astype(np.int64)]
        score, off = self.base[number] + self.values[number][which, tree, node].sum(axis=1)
        return float(score), float(off)


def joined_scores(scores: Sequence[ThreatScore]) -> dict[str, float]:
    """Each provider's scores of all indicators: joined by noisy-or for an exchange, the highest for any other.

    A percentage of similar code, a level or points are no probabilities, so noisy-or does not apply to them.
    """
    joined: dict[str, float] = {}
    for score in scores:
        before = joined.get(score.provider, 0.0)
        if origin_of(score.provider) == EXCHANGE:
            joined[score.provider] = 1.0 - (1.0 - before) * (1.0 - score.score)
        else:
            joined[score.provider] = max(before, score.score)
    return joined


def threat_finding(scores: Sequence[ThreatScore], models: ProviderModels | None) -> ThreatFinding | None:
    """The threat scores of one analysis as a finding has them; None where no provider has a score."""
    if not scores:
        return None
    joined = joined_scores(scores)
    providers: list[ProviderFinding] = []
    disagreements: list[Disagreement] = []
    for provider, score in joined.items():
        expectation = models.expect(provider, joined) if models else None
        if expectation and abs(expectation.prediction - score) > expectation.threshold:
            disagreements.append(disagreement_with(expectation, provider, score))
        providers.append(_provider(provider, score, scores, expectation))
    disagreements.sort(key=lambda disagreement: -abs(disagreement.prediction - disagreement.score))
    exchanges = [score for provider, score in joined.items() if origin_of(provider) == EXCHANGE]
    joint = 1.0 - math.prod(1.0 - score for score in exchanges)
    return ThreatFinding(
        providers=providers, joint=round(joint, 4), exchanges=len(exchanges), disagreements=disagreements
    )


def _provider(
    provider: str, joined: float, scores: Sequence[ThreatScore], expectation: Expectation | None
) -> ProviderFinding:
    own = [score for score in scores if score.provider == provider and score.kind != NOTHING]
    highest = sorted((score for score in own if score.score > 0), key=lambda score: -score.score)[:MAX_INDICATORS]
    return ProviderFinding(
        provider=provider,
        origin=origin_of(provider),
        score=round(joined, 4),
        mean=round(sum(score.score for score in own) / len(own), 4) if own else None,
        indicators=len(own),
        highest=[
            IndicatorFinding(kind=score.kind, indicator=score.indicator, score=round(score.score, 4))
            for score in highest
        ],
        prediction=round(expectation.prediction, 4) if expectation else None,
        threshold=round(expectation.threshold, 4) if expectation else None,
    )
