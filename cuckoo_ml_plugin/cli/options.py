"""Numbers on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from cuckoo_ml_plugin.home import Home

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


def pass_existing_home(command: Callable[..., Any]) -> Callable[..., Any]:
    """As ``click.pass_obj``, for a home that there is. The command raises CuckooMLError for another."""

    @click.pass_obj
    @wraps(command)
    def checked(home: Home, /, *arguments: Any, **options: Any) -> Any:
        return command(home.require(), *arguments, **options)

    return checked
