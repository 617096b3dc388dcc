"""How long analyses are kept: ``[retention]`` in the settings, by age and by the number of repeats."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.forget import Chosen, Forgotten, forget
from cuckoo_ml_plugin.plumbing.times import utc_text
from cuckoo_ml_plugin.report.labels import ANALYST
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis, seen_at


def beyond_retention(engine: Engine, now: datetime | None = None) -> Chosen:
    """The analyses that ``[retention]`` no longer keeps.

    Of the repeats of one behaviour by one sample, those that the analyst labelled are kept first, then the newest.
    """
    kept = engine.settings.retention
    chosen = Chosen()
    if not (kept.days or kept.repeats):
        return chosen
    oldest = utc_text((now or datetime.now(timezone.utc)) - timedelta(days=kept.days)) if kept.days else ""
    repeats: dict[tuple[str, str], list[StoredAnalysis]] = {}
    for stored in engine.store.analyses_in_order(behaviours=False):
        sample = stored.sha256 or stored.target
        if seen_at(stored) < oldest:
            chosen.stored.append(stored)
        elif kept.repeats and sample:
            repeats.setdefault((sample, stored.digest), []).append(stored)
    for analyses in repeats.values():
        if len(analyses) > kept.repeats:
            analyses.sort(key=lambda stored: (ANALYST in stored.labels, seen_at(stored)), reverse=True)
            chosen.stored += analyses[kept.repeats :]
    chosen.names = {stored.analysis for stored in chosen.stored}
    return chosen


def apply_retention(engine: Engine) -> Forgotten:
    """Forget what ``[retention]`` no longer keeps. Raises as :func:`~cuckoo_ml_plugin.engine.forget.forget` does."""
    return forget(engine, beyond_retention(engine))
