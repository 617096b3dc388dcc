"""What options of several commands share: bounds of numbers, and the check that the home exists."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from cuckoo_ml_plugin.home import Home

MAX_COUNT = 2**31 - 1  # the largest number that every database takes as a limit
MAX_DAYS = 36_500


class Finite(click.FloatRange):
    """A finite number in a range; click alone accepts ``nan`` in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises BadParameter."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def pass_existing_home(command: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the home to a command, as ``click.pass_obj`` does; the command raises CuckooMLError if it does not exist."""

    @click.pass_obj
    @wraps(command)
    def checked(home: Home, /, *arguments: Any, **options: Any) -> Any:
        return command(home.require(), *arguments, **options)

    return checked
