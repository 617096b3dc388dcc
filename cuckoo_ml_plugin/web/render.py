"""Templates to HTML. Every value that a template prints is made presentable first, then escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cuckoo_ml_plugin.web import format as text

_COLOURS = 10


@dataclass(frozen=True, slots=True)
class Look:
    """The host's own names of styles, and whether it is dark."""

    name: str
    frame: str
    head: str
    table: str
    dark: bool = False


CUCKOO2 = Look("cuckoo2", "panel panel-default", "panel-heading", "table table-striped")
CAPE = Look(
    "cape", "card dynamic-layout-target layout-centered", "card-header", "table table-striped table-sm", dark=True
)
PLAIN = Look("plain", "cml-frame", "cml-frame-head", "cml-table")
PLAIN_DARK = Look("plain", "cml-frame", "cml-frame-head", "cml-table", dark=True)
LOOKS = {look.name: look for look in (CUCKOO2, CAPE, PLAIN)}


def render(template: str, look: Look, **values: Any) -> str:
    """The HTML of a template of this package; it can be written as UTF-8 whatever was in the values."""
    return _environment().get_template(template).render(look=look, **values)


@cache
def style() -> str:
    """The style sheet."""
    return (files("cuckoo_ml_plugin.web") / "style.css").read_text(encoding="utf-8")


@cache
def style_version() -> str:
    """Changes with the style sheet, so that browsers fetch a new one."""
    return sha256(style().encode()).hexdigest()[:12]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cuckoo_ml_plugin.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_presentable,
    )
    environment.filters.update(
        percent=text.percent,
        at_least=text.at_least,
        number=text.number,
        score=text.score,
        age=text.age,
        day=text.day,
        kind_name=text.kind_name,
        cut=text.shown,
        whole=_whole,
    )
    environment.globals.update(style=lambda: Markup(style()), style_version=style_version, mix=mix)
    return environment


def _presentable(value: object) -> object:
    return value if isinstance(value, Markup) else text.shown(value)


def _whole(address: str) -> Markup:
    """An address of ours, which is not cut; quoted where it is made."""
    return escape(address)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar: where it begins and how wide it is, both in percent, and the number of its colour."""

    name: str
    count: int
    start: float
    width: float
    colour: int


def mix(counts: Sequence[tuple[str, int]], size: int) -> list[Part]:
    """The parts of a bar that shows ``counts`` of ``size``; what is beyond ten parts, or in none, stays empty."""
    parts: list[Part] = []
    start = 0.0
    whole = max(size, sum(max(count, 0) for _, count in counts), 1)
    for colour, (name, count) in enumerate(counts[:_COLOURS]):
        width = 100 * max(count, 0) / whole
        parts.append(Part(name, count, round(start, 3), round(width, 3), colour))
        start += width
    return parts
