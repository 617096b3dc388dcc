"""The study of a table: levels, correlations, models of a target, and disagreements of score and prediction."""

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
    """A subject whose score and prediction differ by more than the threshold; ``off`` is prediction - score."""

    level: str
    name: str
    model: str
    score: float
    prediction: float
    off: float
    joint: float  # of all providers
    count: float | None  # how often the subject was seen


@dataclass(slots=True)
class Study:
    """The results for one table."""

    source: str
    target: str
    threshold: float
    levels: Levels
    correlations: dict[str, list[Pair]]  # by level
    cubics: dict[str, list[Cubic]]  # by level, from each other provider; the first one predicts
    boosted: Boosted | None
    disagreements: list[Disagreement]  # the greatest difference first
    notes: list[str] = field(default_factory=list)

    @property
    def all_levels(self) -> list[Level]:
        """The level of devices, if there is one, and the level of domains."""
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
        threshold: a difference of score and prediction above it is a disagreement.

    Raises:
        TableError: the table cannot be read, or lacks one of the providers.
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
    """Study a table; ``source`` is its name in results and errors. Raises TableError."""
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
    _note_missing_scores(study)
    for level in study.all_levels:
        study.correlations[level.what] = correlations(level)
        study.cubics[level.what] = _cubics(study, level, predictor)
    study.boosted = _trees(study)
    study.disagreements = _disagreements(study)
    return study


def _target(source: str, providers: list[str], requested: str | None) -> str:
    if requested is None:
        return next((name for name in providers if name.lower() in _USUAL_TARGETS), providers[-1])
    if requested not in providers:
        raise TableError(
            f"{source}: there is no provider {requested!r} for --target; choose from {', '.join(providers[:20])}."
        )
    return requested


def _others(providers: list[str], target: str) -> str:
    return ", ".join(name for name in providers if name != target) or "a table with a second provider"


def _note_missing_scores(study: Study) -> None:
    """Note the providers without scores, with nothing but 0, or with missing scores."""
    level = study.levels.domains
    for i, provider in enumerate(level.providers):
        scores = level.joined[~np.isnan(level.joined[:, i]), i]
        if not len(scores):
            study.notes.append(f"{provider} has no score in any row: it adds nothing to a sum and predicts nothing.")
        elif not scores.any():
            study.notes.append(f"{provider} is 0 in every row: it adds nothing to a sum and predicts nothing.")
        elif len(scores) < len(level.names):
            missing = len(level.names) - len(scores)
            study.notes.append(
                f"{provider} has no score for {missing:,} of {len(level.names):,} {level.what}s: "
                "they count as 0 in a sum and as unknown everywhere else."
            )


def _cubics(study: Study, level: Level, predictor: str | None) -> list[Cubic]:
    """A cubic from each other provider: first that from ``predictor``, then by rank correlation with the target."""
    others = [name for name in level.providers if name != study.target]
    y = level.joined[:, level.providers.index(study.target)]
    reason = _unpredictable_reason(study.target, level.what, y, others)
    if reason:
        study.notes.append(reason)
        return []
    cubics = []
    for name in others:
        try:
            cubics.append(fit_cubic(name, level.joined[:, level.providers.index(name)], study.target, y))
        except NotEnoughError as error:
            study.notes.append(f"Per {level.what}: {error}")
    ranks = {frozenset((pair.first, pair.second)): pair.spearman for pair in study.correlations[level.what]}

    def strength(cubic: Cubic) -> tuple[bool, float]:
        rank = ranks[frozenset((cubic.predictor, study.target))]
        return cubic.predictor == predictor, abs(rank.value) if rank else 0.0

    return sorted(cubics, key=strength, reverse=True)


def _unpredictable_reason(target: str, what: str, y: Floats, others: list[str]) -> str | None:
    """A sentence if no model of the target can be fitted; None otherwise."""
    if not others:
        return f"{target} is the only provider: there is nothing to predict it from."
    scores = y[~np.isnan(y)]
    if len(y) == 1:
        return f"There is one {what} only: there is nothing to fit."
    if len(scores) and np.ptp(scores) < 1e-12:
        return f"{target} is {scores[0]:g} for every {what}: there is nothing to predict."
    return None


def _trees(study: Study) -> Boosted | None:
    level = study.levels.domains
    y = level.joined[:, level.providers.index(study.target)]
    others = [name for name in level.providers if name != study.target]
    if _unpredictable_reason(study.target, level.what, y, others):
        return None
    informative = np.nan_to_num(level.answers).max(axis=0) > 0
    chosen = [i for i, name in enumerate(level.columns) if provider_of(name) in others and informative[i]]
    if not chosen:
        return None
    try:
        return fit_boosted([level.columns[i] for i in chosen], level.answers[:, chosen], study.target, y)
    except NotEnoughError as error:
        study.notes.append(str(error))
        return None


def _disagreements(study: Study) -> list[Disagreement]:
    disagreements = []
    for level, model, prediction in predictions(study):
        y = level.joined[:, level.providers.index(study.target)]
        off = prediction - y
        joint = level.joint
        for i in map(int, np.flatnonzero(np.abs(off) > study.threshold)):  # False where either is NaN
            values = (float(y[i]), float(prediction[i]), float(off[i]), float(joint[i]), _at(level.counts, i))
            disagreements.append(Disagreement(level.what, level.names[i], model, *values))
    return sorted(disagreements, key=lambda disagreement: -abs(disagreement.off))


def predictions(study: Study) -> list[tuple[Level, str, Floats]]:
    """Level, model and (n,) predictions of the target, for the first cubic of each level and for the trees.

    The trees predict each row by a fit without it.
    """
    predicted: list[tuple[Level, str, Floats]] = []
    for level in study.all_levels:
        if cubics := study.cubics[level.what]:
            x = level.joined[:, level.providers.index(cubics[0].predictor)]
            predicted.append((level, f"cubic from {cubics[0].predictor}", cubics[0].predict(x)))
    if study.boosted:
        predicted.append((study.levels.domains, "boosted trees", study.boosted.left_out))
    return predicted


def study_json(study: Study) -> dict[str, Any]:
    """The study as one JSON value: numbers are finite, missing ones are null."""
    levels = {level.what: _level_json(level) for level in study.all_levels}
    boosted = asdict(study.boosted) if study.boosted else None
    if boosted:
        for array in ("prediction", "left_out", "part"):
            del boosted[array]
    predicted = [
        {"level": level.what, "name": name, "model": model, "prediction": value}
        for level, model, values in predictions(study)
        for name, value in zip(level.names, _finite(values), strict=True)
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
        "disagreements": [asdict(disagreement) for disagreement in study.disagreements],
    }


def _level_json(level: Level) -> list[dict[str, Any]]:
    """An object for each subject; of a device's domains, also the mean and the highest score of each provider."""
    score, joint = level.score, level.joint
    spread = {"mean": level.spread.mean, "highest": level.spread.highest} if level.spread else {}
    return [
        {
            "name": name,
            "count": _at(level.counts, i),
            "parts": _at(level.parts, i),
            "providers": dict(zip(level.providers, _finite(level.joined[i]), strict=True)),
            **{word: dict(zip(level.providers, _finite(values[i]), strict=True)) for word, values in spread.items()},
            "score": float(score[i]),
            "joint": float(joint[i]),
        }
        for i, name in enumerate(level.names)
    ]


def _at(values: Floats | None, i: int) -> float | None:
    return None if values is None else float(values[i])


def _finite(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
