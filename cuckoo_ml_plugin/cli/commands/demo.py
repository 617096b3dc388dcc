"""The command ``demo``: make sample analyses, import them, fit a model, score new ones, and show every answer."""

from __future__ import annotations

from pathlib import Path

import click

from cuckoo_ml_plugin.cli.commands.ask import anomalies, clusters, score
from cuckoo_ml_plugin.cli.commands.fit import refit
from cuckoo_ml_plugin.cli.commands.import_ import import_
from cuckoo_ml_plugin.cli.console import progress_bar, safe_text, stdout
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home


@click.command()
@click.option("--analyses", type=click.IntRange(min=60), default=320, show_default=True, help="How many to make.")
@click.pass_obj
def demo(home: Home, analyses: int) -> None:
    """Fill the home with sample analyses in the formats of both hosts, and walk through the commands."""
    from cuckoo_ml_samples import generate

    reports = home.path / "demo"
    if home.store_file.exists() and not reports.exists():
        raise CuckooMLError(
            f"{home.path}: this home holds analyses that are not the demo's; name another folder with --home."
        )
    home.create()
    _step(1, f"Make {analyses} sample analyses of invented malware, in the report formats of Cuckoo 2.0.7 and CAPE")
    with progress_bar("Making") as update_bar:
        corpus = generate(reports, analyses=analyses, progress=update_bar)
    stdout.print(
        safe_text(f"{len(corpus.fitted)} analyses to learn from and {len(corpus.new)} new ones, in {reports}", 500),
        soft_wrap=True,
    )
    _step(2, "cuckoo-ml import: read the reports, extract behaviour, store it")
    _run(home, import_, paths=tuple(corpus.import_paths), labels=reports / "labels.tsv", jobs=None, as_json=False)
    _step(3, "cuckoo-ml refit: compute weights, vectors, clusters and anomaly scores")
    _run(home, refit, if_needed=False, as_json=False)
    _step(4, "cuckoo-ml clusters: list the clusters")
    _run(home, clusters, cluster=None, limit=50, as_json=False)
    _step(5, "cuckoo-ml anomalies: list the analyses that are unlike the rest")
    _run(home, anomalies, limit=8, order="score", days=None, as_json=False)
    new = sorted(sample.path for sample in corpus.new)
    _step(6, "cuckoo-ml score: score new analyses against the model")
    _run(home, score, reports=tuple(new), write=False, as_json=False)
    _step(7, "cuckoo-ml score --write: write the section into three reports: a known family, a file that VirusTotal's "
             "scanners miss, and a family never seen before")  # fmt: skip
    _run(home, score, reports=(new[0], new[2], new[-1]), write=True, as_json=False)
    _show_places(home, reports, new[0])


def _run(home: Home, command: click.Command, **parameters: object) -> None:
    context = click.Context(command, obj=home)
    try:
        context.invoke(command, **parameters)
    except click.exceptions.Exit as end:
        if end.exit_code:
            raise CuckooMLError(f"the demo stopped at {command.name}; the lines above say why.") from end


def _step(number: int, text: str) -> None:
    stdout.print()
    stdout.rule(safe_text(f"{number}. {text}"), align="left", style="dim")


def _show_places(home: Home, reports: Path, written: Path) -> None:
    stdout.print()
    stdout.rule(safe_text("Where to find everything"), align="left", style="dim")
    for name, path in (
        ("reports", reports),
        ("a report with a section", written),
        ("what each sample really is", reports / "truth.tsv"),
        ("settings", home.settings_file),
        ("store", home.store_file),
        ("model", home.models / "current"),
    ):
        stdout.print(safe_text(f"  {name:<26} {path}", 600), soft_wrap=True)
    stdout.print(safe_text(f"Continue with: {home.command('clusters')}", 1000), soft_wrap=True)
    stdout.print(safe_text(f"Explore all of it: {home.command('atlas')}", 1000), soft_wrap=True)
