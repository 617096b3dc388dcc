"""The plots of a study as PNG; names come from tables that others wrote and are drawn as plain text."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.plumbing.text import REPLACEMENT, display_text
from cuckoo_ml_plugin.threat_study.correlations import Pair
from cuckoo_ml_plugin.threat_study.levels import Level
from cuckoo_ml_plugin.threat_study.study import Study

_MOST_BARS = 25
_NOT_IN_FONT = "\u0500"  # the first character after Latin, Greek and Cyrillic
_BLUE, _ORANGE, _GREY = "#2f6db3", "#d9822b", "#8a8f98"


@dataclass(frozen=True, slots=True)
class Plot:
    """``name`` is that of its file; ``png`` its content."""

    name: str
    title: str
    png: bytes


def plots_of(study: Study) -> list[Plot]:
    """All plots for which there is something to show.

    Raises:
        CuckooMLError: matplotlib is not installed.
    """
    matplotlib = desk_package("matplotlib", "Plots")
    made: list[Plot] = []
    plain = {"text.parse_math": False, "text.usetex": False, "font.size": 9, "axes.grid": True, "grid.alpha": 0.25}
    with matplotlib.rc_context(plain):
        level = study.all_levels[0]
        made.append(_plot(f"{level.what}s", f"Scores per {level.what}", lambda axes: _bars(axes, level)))
        for level in study.all_levels:
            pairs = study.correlations[level.what]
            if any(pair.spearman for pair in pairs):
                made.append(_correlation_plot(level, pairs))
            if study.cubics[level.what]:
                made.append(_cubic_plot(study, level))
        if study.boosted:
            made += _boosted_plots(study)
    return made


def _plot(name: str, title: str, draw: Callable[[Any], None]) -> Plot:
    """One figure with one pair of axes; no window, no state that other code shares."""
    figure = desk_package("matplotlib.figure", "Plots").Figure(figsize=(6.4, 4.2), layout="constrained")
    draw(figure.add_subplot())
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=130, metadata={"Software": None})
    return Plot(name, title, written.getvalue())


def _label(name: str, limit: int = 28) -> str:
    """A name as the plots' font can draw it."""
    drawable = "".join(character if character < _NOT_IN_FONT else REPLACEMENT for character in name)
    return display_text(drawable, limit)


def _bars(axes: Any, level: Level) -> None:
    """The highest scores, what each provider adds to them."""
    order = np.argsort(-level.score, kind="stable")[:_MOST_BARS][::-1]
    left = np.zeros(len(order))
    for i, provider in enumerate(level.providers):
        width = np.nan_to_num(level.joined[order, i])
        axes.barh(np.arange(len(order)), width, left=left, label=_label(provider), height=0.75)
        left += width
    axes.set_yticks(np.arange(len(order)), [_label(level.names[i]) for i in order], fontsize=7)
    axes.set_xlabel("score: the sum over providers")
    axes.legend(fontsize=7)
    axes.grid(visible=False, axis="y")


def _correlation_plot(level: Level, pairs: list[Pair]) -> Plot:
    """Pearson below the diagonal, Spearman above."""
    names = level.providers
    shown = np.full((len(names), len(names)), np.nan)
    for pair in pairs:
        i, j = names.index(pair.first), names.index(pair.second)
        if pair.pearson and pair.spearman:
            shown[j, i], shown[i, j] = pair.pearson.value, pair.spearman.value

    def draw(axes: Any) -> None:
        image = axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1)
        axes.figure.colorbar(image, ax=axes, shrink=0.8)
        for i, j in zip(*np.nonzero(~np.isnan(shown)), strict=True):
            if len(names) <= 12:
                colour = "white" if abs(shown[i, j]) > 0.6 else "black"
                axes.text(j, i, f"{shown[i, j]:.2f}", ha="center", va="center", color=colour)
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

    title = f"{cubic.target} from {cubic.predictor} by a cubic, over {level.what}s"
    return _plot(f"cubic_{level.what}s", title, draw)


def _boosted_plots(study: Study) -> list[Plot]:
    boosted, level = study.boosted, study.levels.domains
    assert boosted is not None  # the caller has looked

    def curve(axes: Any) -> None:
        trees = np.arange(1, len(boosted.validation_curve) + 1)
        axes.plot(trees, boosted.training_curve, color=_GREY, label="training rows")
        axes.plot(trees, boosted.validation_curve, color=_BLUE, label="validation rows")
        axes.axvline(boosted.trees, color=_ORANGE, linestyle="--", label=f"stopped at {boosted.trees} trees")
        axes.set_xlabel("trees")
        axes.set_ylabel("RMSE")
        axes.set_ylim(0)
        axes.legend(fontsize=8)

    def importance(axes: Any) -> None:
        shown = boosted.importance[:_MOST_BARS][::-1]
        axes.barh(range(len(shown)), [one.rise for one in shown], xerr=[one.deviation for one in shown], color=_BLUE)
        axes.set_yticks(range(len(shown)), [_label(one.column) for one in shown])
        axes.set_xlabel("rise of the RMSE on test rows")

    def predicted(axes: Any) -> None:
        y = level.joined[:, level.providers.index(study.target)]
        off = np.abs(boosted.left_out - y) > study.threshold
        for rows, colour, what in ((~off, _BLUE, "agree"), (off, _ORANGE, f"more than {study.threshold:g} apart")):
            axes.scatter(y[rows], boosted.left_out[rows], s=14, alpha=0.6, color=colour, label=what)
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
        axes.set_xlabel(f"{_label(study.target)}: score")
        axes.set_ylabel("prediction by trees that have not seen the row")
        axes.legend(fontsize=8)

    return [
        _plot("predicted", f"{study.target}: score and prediction by boosted trees", predicted),
        _plot("validation_curve", "Validation curve", curve),
        _plot("importance", "Importance of each column for the boosted trees", importance),
    ]
