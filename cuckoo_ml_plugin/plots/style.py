"""The style of all plots: figures, and names as short plain text. Families' colours are in ``landscape/colours``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from cuckoo_ml_plugin.plumbing.extras import optional_package
from cuckoo_ml_plugin.plumbing.text import display_text

ACCENT, WARN, GREY = "#2f6fab", "#b8420f", "#9aa4ae"
_PLAIN = {
    "text.parse_math": False,
    "text.usetex": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "svg.hashsalt": "cuckoo-ml-plugin",  # makes the file the same each time
}

F = TypeVar("F", bound=Callable[..., Any])


def plain(draw: F) -> F:
    """Decorate a function that draws: it uses the style of this module, whatever a notebook has set."""

    @wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Any:
        with optional_package("matplotlib", "Plots").rc_context(_PLAIN):
            return draw(*arguments, **options)

    return drawn  # type: ignore[return-value]


def figure(width: float = 8.0, height: float = 5.0) -> Any:
    """A figure outside of pyplot's windows and state. Sizes are in inches."""
    return optional_package("matplotlib.figure", "Plots").Figure(figsize=(width, height), layout="constrained")


def name_of(text: object, limit: int = 28) -> str:
    """A name as one line of plain text. It never begins with ``_``, because matplotlib's legends omit such names."""
    name = display_text(text, limit)
    return f" {name}" if name.startswith("_") else name


def draw_notice(axes: Any, text: str) -> None:
    """Draw a sentence in the place of a plot that has no data."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=GREY, transform=axes.transAxes)
