"""The page as one file: style, program and data are inside it, and its security policy lets it load nothing."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from cuckoo_ml_plugin.atlas.page_data import page_data, script_json
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.fit.corpus import Progress
from cuckoo_ml_plugin.landscape.landscape import landscape
from cuckoo_ml_plugin.plumbing.files import replace_file
from cuckoo_ml_plugin.version import __version__

_PROGRAM = (
    "data.js", "colours.js", "filter.js", "map.js", "panels.js", "search.js", "links.js", "lists.js", "about.js",
    "tree.js", "legend.js", "time.js", "main.js",
)  # fmt: skip
_PAGE = files("cuckoo_ml_plugin.atlas") / "page"


def write_atlas(engine: Engine, path: Path, progress: Progress | None = None) -> int:
    """Write the page, or replace it as a whole. Returns its size in bytes.

    Raises:
        ModelError, StoreError, CuckooMLError: as :func:`~cuckoo_ml_plugin.landscape.landscape.landscape`.
        OSError: the file cannot be written.
    """
    html = render(script_json(page_data(engine, landscape(engine, progress, with_behaviours=True)))).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, html)
    return len(html)


def render(data: str) -> str:
    """The page with the data that :func:`~cuckoo_ml_plugin.atlas.page_data.script_json` has written as text."""
    style = _read("atlas.css")
    # One function in strict mode, so that nothing outside can reach the program's names.
    program = '(function () {\n"use strict";\n' + "\n".join(map(_read, _PROGRAM)) + "})();\n"
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(program)}'"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(_read("page.html"))
    return page.render(
        policy=policy, style=Markup(style), program=Markup(program), data=Markup(data), version=__version__
    )


def _read(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
