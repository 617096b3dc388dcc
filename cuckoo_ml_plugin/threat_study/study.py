"""The study of a table: both levels, correlations, models of a target, and where score and prediction disagree."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.errors import NotEnoughError, TableError
from cuckoo_ml_plugin.threat_study.boosting import Boosted, fit_boosted
from cuckoo_ml_plugin.threat_study.correlations import Pair, correlations
from cuckoo_ml_plugin.threat_study.cubic import Cubic, fit_cubic
from cuckoo_ml_plugin.threat_study.levels import Level, Levels, levels_of
from cuckoo_ml_plugin.threat_study.reading.score_table import ReadingOptions, ScoreTable, provider_of, read_score_table

Floats = NDArray[np.float64]
THRESHOLD = 0.05
_USUAL_TARGETS = ("vt", "virustotal")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A thing whose score and prediction are further apart than the threshold; ``off`` is prediction - score."""

    level: str
    name: str
    model: str
    score: float
    prediction: float
    off: float
    joint: float  # of all providers
    count: float | None  # how often it was seen


@dataclass(slots=True)
class Study:
    """All that is said of one table."""

    source: str
    target: str
    threshold: float
    levels: Levels
    correlations: dict[str, list[Pair]]  # by level
    cubics: dict[str, list[Cubic]]  # by level: from each other provider, the one that predicts first
    boosted: Boosted | None
    disagreements: list[Disagreement]  # the furthest apart first
    notes: list[str] = field(default_factory=list)

    @property
    def all_levels(self) -> list[Level]:
        """Devices, where there are some, and domains."""
        return [level for level in (self.levels.devices, self.levels.domains) if level]


def study_file(
    path: Path,
    reading: ReadingOptions | None = None,
    target: str | None = None,
    predictor: str | None = None,
    threshold: float = THRESHOLD,
) -> Study:
    """Read a table and study it.

    Args:
        target: the provider to predict; by default VirusTotal under its usual names, else the last one.
        predictor: the provider that the cubic predicts from; by default the one with the highest rank correlation.
        threshold: from where on a difference of score and prediction is a disagreement.

    Raises:
        TableError: see :func:`~cuckoo_ml_plugin.threat_study.reading.score_table.read_score_table`; or there is no such provider.
        OSError: the file cannot be read.
    """
    return study_table(read_score_table(path, reading), path.name, target, predictor, threshold)


def study_table(
    table: ScoreTable,
    source: str,
    target: str | None = None,
    predictor: str | None = None,
    threshold: float = THRESHOLD,
) -> Study:
    """The same of a table that was read; ``source`` is what the study and its errors call it. Raises TableError."""
    levels = levels_of(table)
    providers = levels.domains.providers
    target = _target(source, providers, target)
    if predictor is not None and (predictor == target or predictor not in providers):
        raise TableError(f"{source}: {predictor!r} cannot predict {target}; choose from {_others(providers, target)}.")
    study = Study(
        source=source,
        target=target,
        threshold=threshold,
        levels=levels,
        correlations={},
        cubics={},
        boosted=None,
        disagreements=[],
        notes=[*table.notes, *levels.notes],
    )
    _note_silence(study)
    for level in study.all_levels:
        study.correlations[level.what] = correlations(level)
        study.cubics[level.what] = _cubics(study, level, predictor)
    study.boosted = _trees(study)
    study.disagreements = _disagreements(study)
    return study


def _target(source: str, providers: list[str], asked: str | None) -> str:
    if asked is None:
        return next((name for name in providers if name.lower() in _USUAL_TARGETS), providers[-1])
    if asked not in providers:
        raise TableError(f"{source}: has no provider {asked!r} for --target; it has {', '.join(providers[:20])}.")
    return asked


def _others(providers: list[str], target: str) -> str:
    return ", ".join(name for name in providers if name != target) or "a table with a second provider"


def _note_silence(study: Study) -> None:
    """Say which providers say nothing, or always 0."""
    level = study.levels.domains
    for i, provider in enumerate(level.providers):
        said = level.joined[~np.isnan(level.joined[:, i]), i]
        if not len(said):
            study.notes.append(f"{provider} says nothing in any row: it adds nothing to a score and predicts nothing.")
        elif not said.any():
            study.notes.append(f"{provider} is 0 in every row: it adds nothing to a score and predicts nothing.")
        elif len(said) < len(level.names):
            missing = len(level.names) - len(said)
            study.notes.append(
                f"{provider} says nothing of {missing:,} of {len(level.names):,} {level.what}s: "
                "these count as 0 in a score, and as unknown everywhere else."
            )


def _cubics(study: Study, level: Level, predictor: str | None) -> list[Cubic]:
    """A cubic from each other provider: that of ``predictor`` first, then by rank correlation with the target."""
    others = [name for name in level.providers if name != study.target]
    y = level.joined[:, level.providers.index(study.target)]
    why = _unpredictable(study.target, level.what, y, others)
    if why:
        study.notes.append(why)
        return []
    found = []
    for name in others:
        try:
            found.append(fit_cubic(name, level.joined[:, level.providers.index(name)], study.target, y))
        except NotEnoughError as error:
            study.notes.append(f"Per {level.what}: {error}")
    ranks = {frozenset((pair.first, pair.second)): pair.spearman for pair in study.correlations[level.what]}

    def strength(cubic: Cubic) -> tuple[bool, float]:
        rank = ranks[frozenset((cubic.predictor, study.target))]
        return cubic.predictor == predictor, abs(rank.value) if rank else 0.0

    return sorted(found, key=strength, reverse=True)


def _unpredictable(target: str, what: str, y: Floats, others: list[str]) -> str | None:
    """The sentence that says why nothing can be fitted."""
    if not others:
        return f"{target} is the only provider: there is nothing to predict it from."
    known = y[~np.isnan(y)]
    if len(y) == 1:
        return f"There is one {what} only: there is nothing to fit."
    if len(known) and np.ptp(known) < 1e-12:
        return f"{target} is {known[0]:g} for every {what}: there is nothing to predict."
    return None


def _trees(study: Study) -> Boosted | None:
    level = study.levels.domains
    y = level.joined[:, level.providers.index(study.target)]
    others = [name for name in level.providers if name != study.target]
    if _unpredictable(study.target, level.what, y, others):
        return None
    said = np.nan_to_num(level.answers).max(axis=0) > 0
    chosen = [i for i, name in enumerate(level.columns) if provider_of(name) in others and said[i]]
    if not chosen:
        return None
    try:
        return fit_boosted([level.columns[i] for i in chosen], level.answers[:, chosen], study.target, y)
    except NotEnoughError as error:
        study.notes.append(str(error))
        return None


def _disagreements(study: Study) -> list[Disagreement]:
    found = []
    for level, model, prediction in predictions(study):
        y = level.joined[:, level.providers.index(study.target)]
        off = prediction - y
        joint = level.joint
        for i in map(int, np.flatnonzero(np.abs(off) > study.threshold)):  # never where either is NaN
            one = (float(y[i]), float(prediction[i]), float(off[i]), float(joint[i]), _at(level.counts, i))
            found.append(Disagreement(level.what, level.names[i], model, *one))
    return sorted(found, key=lambda one: -abs(one.off))


def predictions(study: Study) -> list[tuple[Level, str, Floats]]:
    """Level, model and (n,) predictions of the target, of every model that predicts.

    Those of the trees come from trees that have not seen the row; those of a cubic from the one that predicts.
    """
    found: list[tuple[Level, str, Floats]] = []
    for level in study.all_levels:
        if cubics := study.cubics[level.what]:
            x = level.joined[:, level.providers.index(cubics[0].predictor)]
            found.append((level, f"cubic from {cubics[0].predictor}", cubics[0].predict(x)))
    if study.boosted:
        found.append((study.levels.domains, "boosted trees", study.boosted.left_out))
    return found


def study_json(study: Study) -> dict[str, Any]:
    """The study as one JSON value: numbers finite, what is missing is null."""
    levels = {level.what: _level_json(level) for level in study.all_levels}
    boosted = asdict(study.boosted) if study.boosted else None
    if boosted:
        for array in ("prediction", "left_out", "part"):
            del boosted[array]
    predicted = [
        {"level": level.what, "name": name, "model": model, "prediction": value}
        for level, model, values in predictions(study)
        for name, value in zip(level.names, _plain(values), strict=True)
    ]
    return {
        "source": study.source,
        "target": study.target,
        "threshold": study.threshold,
        "notes": study.notes,
        "levels": levels,
        "correlations": {what: [asdict(pair) for pair in pairs] for what, pairs in study.correlations.items()},
        "cubics": {what: [asdict(cubic) for cubic in cubics] for what, cubics in study.cubics.items()},
        "boosted": boosted,
        "predictions": predicted,
        "disagreements": [asdict(one) for one in study.disagreements],
    }


def _level_json(level: Level) -> list[dict[str, Any]]:
    score, joint = level.score, level.joint
    return [
        {
            "name": name,
            "count": _at(level.counts, i),
            "parts": _at(level.parts, i),
            "providers": dict(zip(level.providers, _plain(level.joined[i]), strict=True)),
            "score": float(score[i]),
            "joint": float(joint[i]),
        }
        for i, name in enumerate(level.names)
    ]


def _at(values: Floats | None, i: int) -> float | None:
    return None if values is None else float(values[i])


def _plain(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
