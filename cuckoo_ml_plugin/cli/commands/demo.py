"""The demo: sample analyses made, imported, fitted, scored and written back, with what an analyst would want to see."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cuckoo_ml_plugin.cli.commands.ask import anomalies, clusters, score
from cuckoo_ml_plugin.cli.commands.fit import refit
from cuckoo_ml_plugin.cli.commands.import_ import import_
from cuckoo_ml_plugin.cli.console import answers, progress_bar, safe
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home

if TYPE_CHECKING:
    pass


def tour(home: Home, analyses: int) -> None:
    """Fill a home with the sample corpus and walk through the commands. Raises CuckooMLError."""
    from cuckoo_ml_samples import generate

    reports = home.path / "demo"
    if home.store_file.exists() and not reports.exists():
        raise CuckooMLError(f"{home.path}: holds analyses that are no demo; name another folder with --home.")
    home.create()
    _step(1, f"Make {analyses} sample analyses of invented malware, in the report formats of Cuckoo 2.0.7 and CAPE")
    with progress_bar("Making") as tell:
        corpus = generate(reports, analyses=analyses, progress=tell)
    answers.print(
        safe(f"{len(corpus.fitted)} to learn from, {len(corpus.new)} new ones, in {reports}", 500), soft_wrap=True
    )
    _step(2, "cuckoo-ml import: read them, extract behaviour, store it")
    _run(home, import_, paths=tuple(corpus.import_paths), labels=reports / "labels.tsv", jobs=None, as_json=False)
    _step(3, "cuckoo-ml refit: weights, vectors, clusters, anomaly scores")
    _run(home, refit, if_needed=False, as_json=False)
    _step(4, "cuckoo-ml clusters: what there is")
    _run(home, clusters, cluster=None, limit=50, as_json=False)
    _step(5, "cuckoo-ml anomalies: what is unlike the rest")
    _run(home, anomalies, limit=8, order="score", days=None, as_json=False)
    new = sorted(one.path for one in corpus.new)
    _step(6, "cuckoo-ml score: new analyses against the model")
    _run(home, score, reports=tuple(new), write=False, as_json=False)
    _step(7, "cuckoo-ml score --write: the section goes into the report; a known family, a file that VirusTotal's "
             "scanners overlook, and a family never seen")  # fmt: skip
    _run(home, score, reports=(new[0], new[2], new[-1]), write=True, as_json=False)
    _where(home, reports, new[0])


def _run(home: Home, command: click.Command, **parameters: object) -> None:
    context = click.Context(command, obj=home)
    try:
        context.invoke(command, **parameters)
    except click.exceptions.Exit as ended:
        if ended.exit_code:
            raise CuckooMLError(f"the demo ended at {command.name}; the lines above say why.") from ended


def _step(number: int, what: str) -> None:
    answers.print()
    answers.rule(safe(f"{number}. {what}"), align="left", style="dim")


def _where(home: Home, reports: Path, written: Path) -> None:
    answers.print()
    answers.rule(safe("Where everything lies"), align="left", style="dim")
    for what, path in (
        ("reports", reports),
        ("a report with its section", written),
        ("truth about the samples", reports / "truth.tsv"),
        ("settings", home.settings_file),
        ("store", home.store_file),
        ("model", home.models / "current"),
    ):
        answers.print(safe(f"  {what:<26} {path}", 600), soft_wrap=True)
    command = f"{_command()} --home {home.path}"
    missing = "" if find_spec("openTSNE") else ", after pip install 'cuckoo-ml-plugin[desk]'"
    answers.print(safe(f"Go on with: {command} clusters", 600), soft_wrap=True)
    answers.print(safe(f"See all of it: {command} atlas{missing}", 600), soft_wrap=True)


def _command() -> str:
    """How this program is called from a shell here: by its name only where the shell finds it."""
    program = Path(sys.argv[0])
    installed = program.name == "cuckoo-ml" and program.is_file()
    return str(program) if installed and shutil.which("cuckoo-ml") is None else "cuckoo-ml"


@click.command()
@click.option("--analyses", type=click.IntRange(min=60), default=320, show_default=True, help="How many to make.")
@click.pass_context
def demo(context: click.Context, analyses: int) -> None:
    """Make sample analyses of both hosts in the home, and show all that can be asked of them."""
    from cuckoo_ml_plugin.cli.commands.demo import tour

    tour(context.obj, analyses)
