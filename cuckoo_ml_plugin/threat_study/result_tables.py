"""The result tables of a study, for its CSV files, its page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cuckoo_ml_plugin.plumbing.csv_file import Cell
from cuckoo_ml_plugin.threat_study.correlations import Correlation
from cuckoo_ml_plugin.threat_study.levels import Level
from cuckoo_ml_plugin.threat_study.reading.score_table import SPREADS
from cuckoo_ml_plugin.threat_study.study import Study, predictions


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Rows under columns; ``name`` is the name of its file without extension."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]


def result_tables(study: Study) -> list[ResultTable]:
    """All tables that have rows, the most interesting first."""
    levels = study.all_levels
    tables = [
        _disagreements(study),
        *(_level(level) for level in levels),
        *(_correlations(study, level) for level in levels),
        _cubics(study),
        *_boosted(study),
        *(_predictions(study, level) for level in levels),
    ]
    return [table for table in tables if table.rows]


def _level(level: Level) -> ResultTable:
    """Name, each provider's score (of a device also mean and highest), sum and joint score; the highest sum first."""
    optional = {level.parts_what: level.parts, "count": level.counts}
    extra = {name: values for name, values in optional.items() if values is not None}
    score, joint = level.score, level.joint
    shown = [level.joined, *((level.spread.mean, level.spread.highest) if level.spread else ())]
    rows: list[list[Cell]] = [
        [
            level.names[i],
            *(_number(scores[i, j]) for j in range(len(level.providers)) for scores in shown),
            float(score[i]),
            float(joint[i]),
            *(_whole(values[i]) for values in extra.values()),
        ]
        for i in np.argsort(-score, kind="stable")
    ]
    spreads = [f" {word}" for word in SPREADS] if level.spread else []
    names = [f"{name}{spread}" for name in level.providers for spread in ("", *spreads)]
    columns = [level.what, *names, "score", "joint", *extra]
    return ResultTable(f"{level.what}s", f"Scores per {level.what}", columns, rows)


def _correlations(study: Study, level: Level) -> ResultTable:
    columns = ["provider", "provider ", "rows", "Pearson", "low", "high", "Spearman", "low ", "high ", "why not"]
    rows: list[list[Cell]] = [
        [pair.first, pair.second, pair.rows, *_interval(pair.pearson), *_interval(pair.spearman), pair.why]
        for pair in study.correlations[level.what]
    ]
    title = f"Correlations of providers over {level.what}s, with 95 % intervals"
    return ResultTable(f"correlations_{level.what}s", title, columns, rows)


def _interval(correlation: Correlation | None) -> list[Cell]:
    return [correlation.value, correlation.low, correlation.high] if correlation else [None, None, None]


def _cubics(study: Study) -> ResultTable:
    columns = ["level", "from", "to", "x^3", "x^2", "x", "1", "rows", "RMSE", "RMSE, row left out"]
    rows: list[list[Cell]] = [
        [what, cubic.predictor, cubic.target, *cubic.coefficients, cubic.rows, cubic.rmse, cubic.rmse_left_out]
        for what, cubics in study.cubics.items()
        for cubic in cubics
    ]
    return ResultTable("cubics", f"Cubic regression of {study.target}", columns, rows)


def _boosted(study: Study) -> Iterator[ResultTable]:
    boosted = study.boosted
    if not boosted:
        return
    yield ResultTable(
        "errors",
        f"Errors in predicting {study.target}: {boosted.trees} boosted trees, plain least squares, and the mean",
        ["model", "part", "rows", "RMSE", "mean absolute", "greatest"],
        [
            [errors.model, errors.part, errors.rows, errors.rmse, errors.mean_absolute, errors.greatest]
            for errors in boosted.errors
        ],
    )
    yield ResultTable(
        "importance",
        "Importance: rise of the RMSE on test rows when a column is shuffled",
        ["column", "rise", "deviation"],
        [[column.column, column.rise, column.deviation] for column in boosted.importance],
    )
    curve = zip(boosted.training_curve, boosted.validation_curve, strict=True)
    yield ResultTable(
        "validation_curve",
        "RMSE by number of trees",
        ["trees", "training", "validation"],
        [[trees, training, validation] for trees, (training, validation) in enumerate(curve, 1)],
    )


def _predictions(study: Study, level: Level) -> ResultTable:
    """Every subject with its score, the prediction of each model, and the difference."""
    models = [(model, values) for of_level, model, values in predictions(study) if of_level is level]
    y = level.joined[:, level.providers.index(study.target)]
    columns = [level.what, study.target, *(title for model, _ in models for title in (model, f"{model}: off"))]
    parts = study.boosted.part if study.boosted and level is study.levels.domains else None
    rows: list[list[Cell]] = []
    for i, name in enumerate(level.names) if models else ():
        row: list[Cell] = [name, _number(y[i])]
        for _, values in models:
            row += [_number(values[i]), _number(values[i] - y[i])]
        rows.append([*row, parts[i]] if parts else row)
    title = f"Predictions of {study.target} per {level.what}"
    return ResultTable(f"predictions_{level.what}s", title, [*columns, "part"] if parts else columns, rows)


def _disagreements(study: Study) -> ResultTable:
    columns = ["level", "name", "model", study.target, "prediction", "off", "joint of all", "count"]
    rows: list[list[Cell]] = [
        [
            disagreement.level,
            disagreement.name,
            disagreement.model,
            disagreement.score,
            disagreement.prediction,
            disagreement.off,
            disagreement.joint,
            None if disagreement.count is None else _whole(disagreement.count),
        ]
        for disagreement in study.disagreements
    ]
    title = f"Disagreements: {study.target} and its prediction differ by more than {study.threshold:g}"
    return ResultTable("disagreements", title, columns, rows)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _whole(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)
