"""Writes a study into a folder: tables as CSV, plots as PNG, all of it as JSON and as one self-contained page."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.plumbing.csv_file import write_csv
from cuckoo_ml_plugin.plumbing.files import replace_file
from cuckoo_ml_plugin.plumbing.text import display_text, printable_values
from cuckoo_ml_plugin.threat_study.plots import Plot, plots_of
from cuckoo_ml_plugin.threat_study.result_tables import ResultTable, result_tables
from cuckoo_ml_plugin.threat_study.study import Study, study_json
from cuckoo_ml_plugin.version import __version__

PAGE = "threat-scores.html"
_MAX_CELL = 200  # characters of a text in a table on the page
_MOST_ROWS = 200  # of a table on the page; its CSV file has all rows


def write_study(study: Study, folder: Path) -> tuple[Path, MissingPackageError | None]:
    """Write all files into a folder, which is created if needed; files of an earlier study are replaced.

    Returns:
        The path of the page; and why there are no plots, where matplotlib is not installed.

    Raises:
        OSError: the folder cannot be written.
    """
    missing, plots = None, []
    try:
        plots = plots_of(study)
    except MissingPackageError as error:
        missing = error
    tables = result_tables(study)
    page = render_page(study, tables, plots)
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        write_csv(folder / f"{table.name}.csv", table.columns, table.rows)
    for plot in plots:
        replace_file(folder / f"{plot.name}.png", plot.png)
    shown = printable_values(study_json(study))
    replace_file(folder / "study.json", json.dumps(shown, indent=1, allow_nan=False).encode())
    path = folder / PAGE
    replace_file(path, page.encode("utf-8", "replace"))
    return path, missing


def render_page(study: Study, tables: list[ResultTable], plots: list[Plot]) -> str:
    """The HTML page, without scripts and outside resources, every value escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["cell"] = _cell
    source = (files("cuckoo_ml_plugin.threat_study") / "study.html").read_text(encoding="utf-8")
    template = environment.from_string(source)
    pictures = [(plot.title, base64.b64encode(plot.png).decode("ascii")) for plot in plots]
    return str(template.render(study=study, tables=tables, pictures=pictures, most=_MOST_ROWS, version=__version__))


def _cell(value: Any) -> str:
    """A value as text: six decimals, no control characters, 200 characters at most."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, int):
        return f"{value:,}"
    return display_text(value, _MAX_CELL)
