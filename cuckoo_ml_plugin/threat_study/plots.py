"""The plots of a study as PNG. Names come from tables of unknown origin, so they are drawn as plain text."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cuckoo_ml_plugin.plumbing.extras import optional_package
from cuckoo_ml_plugin.plumbing.text import REPLACEMENT, display_text
from cuckoo_ml_plugin.threat_study.correlations import Pair
from cuckoo_ml_plugin.threat_study.levels import Level
from cuckoo_ml_plugin.threat_study.study import Study

_MOST_BARS = 25
_NOT_IN_FONT = "\u0500"  # the first character after Latin, Greek and Cyrillic
_BLUE, _ORANGE, _GREY = "#2f6db3", "#d9822b", "#8a8f98"


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: the name of its file without extension, its title, and its content as PNG."""

    name: str
    title: str
    png: bytes


def plots_of(study: Study) -> list[Plot]:
    """All plots of a study that have something to show.

    Raises:
        CuckooMLError: matplotlib is not installed.
    """
    matplotlib = optional_package("matplotlib", "Plots")
    plots: list[Plot] = []
    plain = {"text.parse_math": False, "text.usetex": False, "font.size": 9, "axes.grid": True, "grid.alpha": 0.25}
    with matplotlib.rc_context(plain):
        level = study.all_levels[0]
        plots.append(_plot(f"{level.what}s", f"Scores per {level.what}", lambda axes: _bars(axes, level)))
        for level in study.all_levels:
            pairs = study.correlations[level.what]
            if any(pair.spearman for pair in pairs):
                plots.append(_correlation_plot(level, pairs))
            if study.cubics[level.what]:
                plots.append(_cubic_plot(study, level))
        if study.boosted:
            plots += _boosted_plots(study)
    return plots


def _plot(name: str, title: str, draw: Callable[[Any], None]) -> Plot:
    """A plot of one pair of axes, without a window and without pyplot's shared state."""
    figure = optional_package("matplotlib.figure", "Plots").Figure(figsize=(6.4, 4.2), layout="constrained")
    draw(figure.add_subplot())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return Plot(name, title, buffer.getvalue())


def _label(name: str, limit: int = 28) -> str:
    """A name as the plots' font can draw it."""
    drawable = "".join(character if character < _NOT_IN_FONT else REPLACEMENT for character in name)
    return display_text(drawable, limit)


def _bars(axes: Any, level: Level) -> None:
    """The highest scores, with the part of each provider."""
    order = np.argsort(-level.score, kind="stable")[:_MOST_BARS][::-1]
    left = np.zeros(len(order))
    for i, provider in enumerate(level.providers):
        if provider in level.beside:
            continue
        width = np.nan_to_num(level.joined[order, i])
        axes.barh(np.arange(len(order)), width, left=left, label=_label(provider), height=0.75)
        left += width
    axes.set_yticks(np.arange(len(order)), [_label(level.names[i]) for i in order], fontsize=7)
    axes.set_xlabel("score (sum over exchanges)")
    if level.exchanges:
        axes.legend(fontsize=7)
    axes.grid(visible=False, axis="y")


def _correlation_plot(level: Level, pairs: list[Pair]) -> Plot:
    """A matrix with Pearson's coefficients below the diagonal and Spearman's above."""
    names = level.providers
    matrix = np.full((len(names), len(names)), np.nan)
    for pair in pairs:
        i, j = names.index(pair.first), names.index(pair.second)
        if pair.pearson and pair.spearman:
            matrix[j, i], matrix[i, j] = pair.pearson.value, pair.spearman.value

    def draw(axes: Any) -> None:
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        axes.figure.colorbar(image, ax=axes, shrink=0.8)
        for i, j in zip(*np.nonzero(~np.isnan(matrix)), strict=True):
            if len(names) <= 12:
                colour = "white" if abs(matrix[i, j]) > 0.6 else "black"
                axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(names)), [_label(name, 16) for name in names], rotation=45, ha="right")
        axes.set_yticks(range(len(names)), [_label(name, 16) for name in names])
        axes.grid(visible=False)

    title = f"Correlations over {level.what}s: Pearson below the diagonal, Spearman above"
    return _plot(f"correlations_{level.what}s", title, draw)


def _cubic_plot(study: Study, level: Level) -> Plot:
    cubic = study.cubics[level.what][0]
    x = level.joined[:, level.providers.index(cubic.predictor)]
    y = level.joined[:, level.providers.index(cubic.target)]

    def draw(axes: Any) -> None:
        axes.scatter(x, y, s=14, alpha=0.6, color=_BLUE, label=f"{len(x):,} {level.what}s")
        grid = np.linspace(np.nanmin(x), np.nanmax(x), 300)
        axes.plot(grid, cubic.predict(grid), color=_ORANGE, label=f"cubic, RMSE {cubic.rmse:.4f}")
        axes.set_xlabel(_label(cubic.predictor))
        axes.set_ylabel(_label(cubic.target))
        axes.set_ylim(-0.05, min(1.05, float(np.nanmax(y)) * 1.25 + 0.05))
        axes.legend(fontsize=8)

    title = f"{cubic.target} predicted from {cubic.predictor} by a cubic, over {level.what}s"
    return _plot(f"cubic_{level.what}s", title, draw)


def _boosted_plots(study: Study) -> list[Plot]:
    boosted, level = study.boosted, study.levels.domains
    assert boosted is not None  # plots_of has checked

    def curve(axes: Any) -> None:
        trees = np.arange(1, len(boosted.validation_curve) + 1)
        axes.plot(trees, boosted.training_curve, color=_GREY, label="training rows")
        axes.plot(trees, boosted.validation_curve, color=_BLUE, label="validation rows")
        axes.axvline(boosted.trees, color=_ORANGE, linestyle="--", label=f"best: {boosted.trees} trees")
        axes.set_xlabel("trees")
        axes.set_ylabel("RMSE")
        axes.set_ylim(0)
        axes.legend(fontsize=8)

    def importance(axes: Any) -> None:
        bars = boosted.importance[:_MOST_BARS][::-1]
        axes.barh(range(len(bars)), [bar.rise for bar in bars], xerr=[bar.deviation for bar in bars], color=_BLUE)
        axes.set_yticks(range(len(bars)), [_label(bar.column) for bar in bars])
        axes.set_xlabel("rise of the RMSE on test rows")

    def predicted(axes: Any) -> None:
        y = level.joined[:, level.providers.index(study.target)]
        disagree = np.abs(boosted.left_out - y) > study.threshold
        for rows, colour, what in (
            (~disagree, _BLUE, "agree"),
            (disagree, _ORANGE, f"differ by more than {study.threshold:g}"),
        ):
            axes.scatter(y[rows], boosted.left_out[rows], s=14, alpha=0.6, color=colour, label=what)
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
        axes.set_xlabel(f"{_label(study.target)}: score")
        axes.set_ylabel("prediction by trees fitted without the row")
        axes.legend(fontsize=8)

    return [
        _plot("predicted", f"{study.target}: score and prediction by boosted trees", predicted),
        _plot("validation_curve", "Validation curve", curve),
        _plot("importance", "Importance of each column for the boosted trees", importance),
    ]
