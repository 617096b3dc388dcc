"""The command ``refresh``: findings of past analyses, updated after a refit."""

from __future__ import annotations

from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import print_json, progress_bar, safe_text, stdout, table
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home


@click.command()
@click.option("--reports", is_flag=True, help="Also update the host's report.json files.")
@click.option(
    "--analyses",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder of these files (default: those of the host that the home belongs to).",
)
@click.option(
    "--mongodb", metavar="URL", help="Also update the host's MongoDB, such as mongodb://127.0.0.1:27017/cuckoo."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def refresh(home: Home, reports: bool, analyses: Path | None, mongodb: str | None, as_json: bool) -> None:
    """Update the findings of past analyses to the model in force; an interrupted run can be repeated."""
    from cuckoo_ml_plugin.engine.refresh import refresh as refresh_findings
    from cuckoo_ml_plugin.hosts.mongodb import MongoReports

    folder = (analyses or home.host_analyses() or home.path.parent / "analyses") if reports or analyses else None
    if folder is not None and not folder.is_dir():
        raise click.UsageError(f"{folder}: there is no such folder; name the host's storage/analyses with --analyses.")
    documents = MongoReports(mongodb) if mongodb else None
    with progress_bar("Refreshing") as update_bar:
        result = refresh_findings(Engine(home), analyses=folder, documents=documents, progress=update_bar)
    if as_json:
        counts = {name: getattr(result, name) for name in ("model", "looked_at", "findings", "reports", "documents")}
        failed = [{"analysis": analysis, "reason": reason} for analysis, reason in result.failed]
        other_runs = [{"analysis": analysis, "where": where} for analysis, where in result.other_runs]
        print_json(counts | {"failed": failed, "other_runs": other_runs})
    else:
        rows = [
            ("checked", f"{result.looked_at:,}"),
            ("findings updated", f"{result.findings:,}"),
            ("reports updated", f"{result.reports:,}"),
            ("MongoDB documents updated", f"{result.documents:,}"),
            ("left alone: of another run", f"{len(result.other_runs):,}"),
            ("failed", f"{len(result.failed):,}"),
        ]
        stdout.print(table(f"Model {result.model}", ["", "analyses"], rows, numbers=[1]))
        for analysis, where in result.other_runs:
            text = f"{analysis}: {where} is of another run, because the host's ids began again; it is left alone"
            stdout.print(safe_text(text, 600), soft_wrap=True)
        for analysis, reason in result.failed:
            stdout.print(safe_text(f"{analysis}: {reason}", 600), soft_wrap=True)
    if result.failed:
        raise click.exceptions.Exit(1)
