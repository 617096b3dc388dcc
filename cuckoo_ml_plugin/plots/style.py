"""The style of all plots: figures, colours, and names as short plain text."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from cuckoo_ml_plugin.plumbing.extras import optional_package
from cuckoo_ml_plugin.plumbing.text import display_text

# Okabe and Ito's palette, which people with any colour vision can tell apart, and four more colours.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#8c6bb1", "#8c564b", "#7f7f7f")
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


def colour_of(number: int) -> str:
    """The colour of a cluster by its number: first the palette, then hues a golden angle apart."""
    if number < len(PALETTE) - 1:
        return PALETTE[number]
    red, green, blue = colorsys.hls_to_rgb((number * 0.61803398875) % 1.0, 0.38 + 0.14 * (number % 3), 0.6)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
