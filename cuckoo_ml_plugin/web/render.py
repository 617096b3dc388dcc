"""Rendering of templates: every value that a template prints is made presentable first, then escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cuckoo_ml_plugin.plumbing.text import samples_and_runs
from cuckoo_ml_plugin.web import format as text

_COLOURS = 10
_MOST_COUNTED = 10**18


@dataclass(frozen=True, slots=True)
class Look:
    """The host's own names of CSS classes, and whether its pages are dark.

    Attributes:
        outer: around a frame and its heading.
        frame: around what is framed.
        head: around the heading; in the frame if ``head_inside``, else above it.
        heading, title: the level of the heading, and its classes.
        icon: the icon before the heading; "" where there are no fonts for it.
        body: around the content.
    """

    name: str
    frame: str
    head: str
    table: str
    dark: bool = False
    outer: str = ""
    head_inside: bool = True
    heading: str = "h3"
    title: str = ""
    icon: str = ""
    body: str = ""


CUCKOO2 = Look(
    "cuckoo2", "panel panel-default", "", "table table-striped",
    head_inside=False, heading="h4", icon="fa fa-clone",
)  # fmt: skip
CAPE = Look(
    "cape", "card bg-dark border-secondary", "card-header border-secondary",
    "table table-dark table-striped table-sm mb-0", dark=True, outer="mb-4 dynamic-layout-target layout-centered",
    heading="h5", title="mb-0 text-white", icon="fas fa-clone me-2 text-info", body="card-body",
)  # fmt: skip
PLAIN = Look("plain", "cml-frame", "cml-frame-head", "cml-table")
PLAIN_DARK = Look("plain", "cml-frame", "cml-frame-head", "cml-table", dark=True)
LOOKS = {look.name: look for look in (CUCKOO2, CAPE, PLAIN)}


def render(template: str, look: Look, **values: Any) -> str:
    """The HTML of a template of this package; it can be encoded as UTF-8 whatever the values hold."""
    return _environment().get_template(template).render(look=look, **values)


@cache
def style() -> str:
    """The style sheet."""
    return (files("cuckoo_ml_plugin.web") / "style.css").read_text(encoding="utf-8")


@cache
def style_version() -> str:
    """A hash of the style sheet, for its address: browsers fetch it again when it changes."""
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
        samples_and_runs=_samples_and_runs,
        cut=text.shown,
        whole=_whole,
    )
    environment.globals.update(style=lambda: Markup(style()), style_version=style_version, mix=mix)
    return environment


def _samples_and_runs(samples: int | None, runs: int) -> str:
    """As the function of that name; a section may hold numbers of any length."""
    return samples_and_runs(None if samples is None else min(samples, _MOST_COUNTED), min(runs, _MOST_COUNTED))


def _presentable(value: object) -> object:
    return value if isinstance(value, Markup) else text.shown(value)


def _whole(address: str) -> Markup:
    """One of our addresses: escaped, but never cut; it was quoted when it was made."""
    return escape(address)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: its start and width in percent, and the number of its colour."""

    name: str
    count: int
    start: float
    width: float
    colour: int


def mix(counts: Sequence[tuple[str, int]], size: int) -> list[Part]:
    """The parts of a bar that shows ``counts`` of ``size``: at most ten; the remainder of the bar stays empty."""
    parts: list[Part] = []
    start = 0.0
    total = max(size, sum(max(count, 0) for _, count in counts), 1)
    for colour, (name, count) in enumerate(counts[:_COLOURS]):
        width = 100 * max(count, 0) / total
        parts.append(Part(name, count, round(start, 3), round(width, 3), colour))
        start += width
    return parts
