"""Numbers on the command line."""

from __future__ import annotations

import math
from typing import Any

import click

MOST = 2**31 - 1  # of what is counted: every database takes it
LONGEST_DAYS = 36_500


class Finite(click.FloatRange):
    """A number in a range; click takes ``nan`` for one in any."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises BadParameter."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number
