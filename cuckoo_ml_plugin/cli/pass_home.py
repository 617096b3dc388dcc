"""The home for commands that ask: it must be there, so that a mistyped ``--home`` is told and not made."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from cuckoo_ml_plugin.home import Home


def pass_existing_home(command: Callable[..., Any]) -> Callable[..., Any]:
    """As ``click.pass_obj``, for a home that there is. The command raises CuckooMLError for another."""

    @click.pass_obj
    @wraps(command)
    def checked(home: Home, /, *arguments: Any, **options: Any) -> Any:
        return command(home.require(), *arguments, **options)

    return checked
