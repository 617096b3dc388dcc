"""Is a refit called for? Enough new analyses, drift, or changed settings; and the sentence that says so."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from cuckoo_ml_plugin.engine.engine import readable_model
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.settings import Settings
from cuckoo_ml_plugin.store.store import Store

_OF_THE_FIT = ("features", "vectors", "clustering")  # sections of the settings that a fit depends on


@dataclass(frozen=True, slots=True)
class Need:
    """Whether a refit is called for, and the sentence that says why or why not."""

    needed: bool
    why: str


def need_for_refit(home: Home, store: Store, settings: Settings) -> Need:
    """Compare what is stored with what the model in force was fitted on. Raises StoreError."""
    model = readable_model(home)
    if model is None:
        stored, least = store.count(with_behaviour=True), settings.refit.min_analyses
        if stored >= least:
            return Need(True, f"There is no model that can be read, and {stored:,} analyses with behaviour are stored.")
        return Need(False, f"There is no model yet: {stored:,} analyses with behaviour are stored, {least:,} needed.")
    if _fitted_with(model.facts["settings"]) != _fitted_with(asdict(settings)):
        return Need(True, "The settings of the fit have changed.")
    return _new_or_drifted(model, store, settings)


def _new_or_drifted(model: Model, store: Store, settings: Settings) -> Need:
    known = int(model.facts["analyses"])
    since = datetime.fromisoformat(model.facts["read_at"])
    new = store.count(since=since, with_behaviour=True)
    wanted = max(settings.refit.new_analyses, math.ceil(settings.refit.new_share * known))
    if new >= wanted:
        return Need(True, f"{new:,} analyses have come since the last fit on {known:,}; {wanted:,} are enough.")
    anomalous, scored = store.anomalous_since(since)
    chance = _at_least(anomalous, scored, 1 - settings.anomaly.threshold)
    odds = f"{anomalous:,} of the {scored:,} new analyses that were scored are anomalous"
    if chance < settings.refit.drift_significance:
        often = f"once in {1 / max(chance, 1e-12):,.0f}"
        return Need(True, f"Drift: {odds}, and chance explains that less often than {often}.")
    why = f"{new:,} analyses have come since the last fit on {known:,}; {wanted:,} are needed. No drift: {odds}."
    return Need(False, why)


def _fitted_with(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that matter, as JSON gives them back."""
    return {
        f"{part}.{key}": list(value) if isinstance(value, tuple) else value
        for part in _OF_THE_FIT
        for key, value in settings.get(part, {}).items()
    }


def _at_least(successes: int, trials: int, share: float) -> float:
    """Chance of at least so many successes (binomial)."""
    from scipy.stats import binom

    return float(binom.sf(successes - 1, trials, share)) if trials else 1.0
