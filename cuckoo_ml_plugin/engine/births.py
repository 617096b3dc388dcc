"""Births: between two refits, analyses that belong to nothing and are alike are noticed as a group in the making.

An analysis is a newcomer where the model places it in no cluster and it is anomalous, or less like everything that the
model knows than the members of a cluster are like each other. The fit measures how alike these are (``fit/births.py``).
Newcomers as alike as that, and more alike than either is to anything known, make a group (``store/births.py``).

Newcomers of earlier days are not known, also where a later fit has seen them: it found nothing that they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import Visible
from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.text import storable
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis
from cuckoo_ml_plugin.store.between_refits.births import BirthGroup, Newcomer, newest_first
from cuckoo_ml_plugin.store.between_refits.marks import Mark

Progress = Callable[[int, int], None]
MOST_IMPORTED: Final = 2_000
"""How many imported analyses are looked at for births; after more of them a refit is due, which finds the groups."""
_LOOKED_THROUGH: Final = 25  # analyses of the model, among which newcomers are passed over
_MAX_SAMPLE: Final = 4096  # characters


@dataclass(frozen=True, slots=True)
class Judged:
    """What an analysis is by its finding: a newcomer, or None where it belongs to something known."""

    newcomer: Newcomer | None
    level: float
    first_number: int  # that no cluster of the model has had


def notice_birth(engine: Engine, finding: Finding, behaviour: Behaviour, analysis: str, sample: str) -> None:
    """Note whether a stored and scored analysis is a newcomer, and give its finding the reason of its group.

    Args:
        finding: what the model says of it; reasons are added in place.
        sample: what tells its sample from others, such as the SHA-256; "" where nothing is known.

    Raises:
        ModelError, StoreError: the finding is as it was.
    """
    judged = newcomer_by(engine, finding, behaviour, analysis, sample)
    if judged is not None:
        note_newcomer(engine, finding, analysis, judged)


def newcomer_by(
    engine: Engine, finding: Finding, behaviour: Behaviour, analysis: str, sample: str
) -> Judged | None:  # fmt: skip
    """Whether a stored and scored analysis is a newcomer, None where nothing can be said; nothing is written.

    The arguments are those of :func:`notice_birth`. Raises ModelError, StoreError.
    """
    model = engine.model()
    level = None if model is None else birth_level(model)
    if model is None or level is None or finding.status != "scored" or finding.anomaly is None:
        return None
    known = None
    if finding.cluster is None and behaviour.behash is not None:
        known = _likeness_to_known(engine, model, behaviour, analysis)
    is_novel = finding.anomaly.score >= engine.settings.anomaly.threshold  # also a repeat, which is not anomalous
    first_number = int(model.facts["next_cluster"])
    if known is None or not (is_novel or known < level):
        return Judged(None, level, first_number)
    newcomer = Newcomer(
        analysis=analysis,
        digest=behaviour.digest,
        behash=behaviour.behash or b"",
        joined=behaviour.joined,
        sample=storable(sample or f"analysis:{analysis}", _MAX_SAMPLE),
        known=known,
    )
    return Judged(newcomer, level, first_number)


def note_newcomer(engine: Engine, finding: Finding, analysis: str, judged: Judged) -> None:
    """Write down what an analysis is, and give its finding the reason of its group. Raises StoreError."""
    if judged.newcomer is None:
        engine.store.drop_newcomer(analysis)
        return
    group = engine.store.add_newcomer(judged.newcomer, judged.level, judged.first_number)
    if group is not None and finding.anomaly is not None:
        finding.anomaly.reasons = engine.with_birth_reason(finding.anomaly.reasons, analysis)


def birth_level(model: Model) -> float | None:
    """The likeness from which on newcomers make a group, in [0, 1].

    None for a model without clusters, and for one from before births: the next refit measures it.
    """
    level = model.facts.get("birth_likeness")
    return float(level) if isinstance(level, (int, float)) and not isinstance(level, bool) else None


def _likeness_to_known(engine: Engine, model: Model, behaviour: Behaviour, analysis: str) -> float:
    """The likeness to the most alike analysis of the model that is no newcomer, in [0, 1]."""
    scoring = replace(engine.settings.scoring, similar=_LOOKED_THROUGH, evidence=0)
    similar = model.score(behaviour, analysis=analysis, scoring=scoring, anomaly=engine.settings.anomaly).similar
    newcomers = engine.store.newcomers_among([neighbour.analysis for neighbour in similar])
    known = [neighbour.similarity for neighbour in similar if neighbour.analysis not in newcomers]
    if known or len(similar) < _LOOKED_THROUGH:
        return max(known, default=0.0)
    return similar[-1].similarity  # whatever follows is at most as alike


def notice_births_among_imported(engine: Engine, since: Mark, progress: Progress | None = None) -> bool:
    """Look for births among the analyses that an import has stored after a mark, in the order of storing.

    Returns False, having looked at none, where there are more than ``MOST_IMPORTED``. Raises ModelError, StoreError.
    """
    model = engine.model()
    if model is None or birth_level(model) is None:
        return True
    names = engine.store.unscored_since(since, MOST_IMPORTED + 1)
    if len(names) > MOST_IMPORTED:
        return False
    for done, name in enumerate(names, 1):
        stored = engine.store.get(name)
        if stored is not None:
            with suppress(StoreError):  # its record is damaged
                behaviour = engine.behaviour_of(stored)
                finding = engine.score_without_store(behaviour, name, stored.label)
                notice_birth(engine, finding, behaviour, name, sample_of(stored))
        if progress is not None:
            progress(done, len(names))
    return True


def sample_of(stored: StoredAnalysis) -> str:
    """What tells the sample of a stored analysis from others."""
    return stored.sha256 or stored.sample or stored.target


def births(engine: Engine) -> list[BirthGroup]:
    """The groups in the making that are shown, those with the newest analyses first. Raises StoreError."""
    return engine.store.births(engine.settings.births.shown)


def visible_births(engine: Engine, groups: Iterable[BirthGroup], visible: Visible) -> list[BirthGroup]:
    """The groups by the analyses that a reader may see; those with too few of them are left out."""
    least = engine.settings.births.shown
    seen = []
    for group in groups:
        shown = set(visible(group.members))
        rest = BirthGroup(group.id, [member for member in group.members if member.analysis in shown])
        if rest.samples >= least:
            seen.append(rest)
    return sorted(seen, key=newest_first, reverse=True)


def birth_brief(group: BirthGroup) -> dict[str, Any]:
    """A group in the making, JSON-ready."""
    return {
        "id": group.id,
        "samples": group.samples,
        "runs": len(group.members),
        "days": group.days,
        "first": group.first,
        "last": group.last,
        "members": [
            {
                "analysis": member.analysis,
                "sha256": member.sha256,
                "target": member.target,
                "label": member.label,
                "day": member.day,
                "anomaly_score": member.anomaly_score,
                "likeness_to_known": round(member.known, 4),
            }
            for member in group.members
        ],
    }
