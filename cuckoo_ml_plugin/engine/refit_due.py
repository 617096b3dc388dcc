"""Whether a refit is due: enough new analyses, drift, or changed settings; and the sentence that gives the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from cuckoo_ml_plugin.engine.engine import readable_model
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.sources import source_of
from cuckoo_ml_plugin.plumbing.text import counted
from cuckoo_ml_plugin.settings import Settings
from cuckoo_ml_plugin.store.store import Store

_FIT_SECTIONS = ("features", "vectors", "clustering")  # sections of the settings that a fit depends on


@dataclass(frozen=True, slots=True)
class RefitDecision:
    """Whether a refit is due, and the sentence that gives the reason."""

    due: bool
    reason: str


def refit_decision(home: Home, store: Store, settings: Settings, model: Model | None = None) -> RefitDecision:
    """Compare what is stored with what the model in force was fitted on. Raises StoreError.

    ``model``: the model in force, where it is loaded already; otherwise it is read, each of its members as well.
    """
    model = model or readable_model(home)
    if model is None:
        stored, least = store.count(with_behaviour=True), settings.refit.min_analyses
        if stored >= least:
            return RefitDecision(
                True, f"There is no readable model, and {stored:,} analyses with behaviour are stored."
            )
        known = f"{counted(stored, 'analysis', 'analyses')} with behaviour {'is' if stored == 1 else 'are'} stored"
        return RefitDecision(False, f"There is no model yet: {known}, and it needs {least:,}.")
    if _fit_settings(model.facts["settings"]) != _fit_settings(asdict(settings)):
        return RefitDecision(True, "The settings that a fit depends on have changed.")
    return _new_or_drifted(model, store, settings)


def _new_or_drifted(model: Model, store: Store, settings: Settings) -> RefitDecision:
    fitted = int(model.facts["analyses"])
    # By the store's own order, as clocks may jump. A store that does not know the fit has the time alone.
    since = store.mark_of(model.id) or datetime.fromisoformat(model.facts["read_at"].replace("Z", "+00:00"))
    new = store.count(since=since, with_behaviour=True)
    enough = max(settings.refit.new_analyses, math.ceil(settings.refit.new_share * fitted))
    growth = f"{new:,} new analyses since the last fit on {fitted:,}"
    if new >= enough:
        return RefitDecision(True, f"{growth}; {enough:,} are enough.")
    return _drift(store.anomalous_by_source(since), store.sent_by_submitter, growth, enough, settings)


def _drift(
    by_source: Sequence[tuple[str, str, int, int]],
    sent: Callable[[], Mapping[str, int]],
    growth: str,
    enough: int,
    settings: Settings,
) -> RefitDecision:
    """Whether more samples than by chance are anomalous, also without the source that sent most of these.

    Args:
        by_source: submitter, day, anomalous samples and all samples.
        sent: says how many of all stored analyses each submitter sent; asked only where there is a drift, as it counts
            the whole store.
    """
    anomalous = sum(count for _, _, count, _ in by_source)
    scored = sum(count for _, _, _, count in by_source)
    share = f"{anomalous:,} of the {scored:,} new samples that were scored are anomalous"

    def chance(anomalous: int, scored: int) -> float:
        return chance_of_at_least(anomalous, scored, 1 - settings.anomaly.threshold)

    whole = chance(anomalous, scored)
    if whole >= settings.refit.drift_significance:
        return RefitDecision(False, f"{growth}; {enough:,} are needed. No drift: {share}.")
    strongest, size = max(_sources(by_source, sent()), default=(0, 0))
    if chance(anomalous - strongest, scored - size) >= settings.refit.drift_significance:
        return RefitDecision(
            False, f"{growth}; {enough:,} are needed. {share.capitalize()}, but {strongest:,} are from one source."
        )
    times = f"{1 / max(whole, 1e-12):,.0f}"
    return RefitDecision(True, f"Drift: {share}; by chance, that happens at most once in {times} times.")


def _sources(by_source: Sequence[tuple[str, str, int, int]], sent: Mapping[str, int]) -> list[tuple[int, int]]:
    """Anomalous samples and all samples of each source.

    Of what has neither submitter nor day, each file stands for itself.
    """
    sources: dict[tuple[str, str], tuple[int, int]] = {}
    for submitter, day, anomalous, samples in by_source:
        if submitter or day:
            key = source_of(submitter, day, sent)
            before = sources.get(key, (0, 0))
            sources[key] = before[0] + anomalous, before[1] + samples
    return list(sources.values())


def _fit_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a fit depends on, with lists for tuples as JSON has them."""
    return {
        f"{section}.{key}": list(value) if isinstance(value, tuple) else value
        for section in _FIT_SECTIONS
        for key, value in settings.get(section, {}).items()
    }


def chance_of_at_least(successes: int, trials: int, probability: float) -> float:
    """The probability of at least so many successes in independent trials: the upper tail of a binomial distribution.

    Each term is computed from its neighbour as a multiple of the greatest, so that none overflows, and their sum is 1.

    Args:
        probability: of each success, in [0, 1].
    """
    if successes <= 0 or (probability >= 1 and successes <= trials):
        return 1.0
    if successes > trials or probability <= 0:
        return 0.0
    mode = min(int((trials + 1) * probability), trials)
    k = np.arange(trials + 1, dtype=np.float64)
    odds = probability / (1 - probability)
    above = np.cumprod((trials - k[mode:-1]) / (k[mode:-1] + 1) * odds)
    below = np.cumprod(k[mode:0:-1] / (trials - k[mode:0:-1] + 1) / odds)
    terms = np.concatenate([below[::-1], [1.0], above])
    return float(terms[successes:].sum() / terms.sum())
