"""``refresh``: findings of past analyses, brought up to date after a refit."""

from __future__ import annotations

from pathlib import Path

import click

from cuckoo_ml_plugin.cli.console import answer_json, answers, progress_bar, safe, table
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home


@click.command()
@click.option("--reports", is_flag=True, help="Write into the host's report.json files as well.")
@click.option(
    "--analyses",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where these are (default: analyses, beside the home).",
)
@click.option("--mongodb", metavar="URL", help="Write into the host's MongoDB, mongodb://127.0.0.1:27017/cuckoo.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def refresh(home: Home, reports: bool, analyses: Path | None, mongodb: str | None, as_json: bool) -> None:
    """Bring findings of past analyses up to date with the model in force; may be stopped and repeated."""
    from cuckoo_ml_plugin.engine.refresh import refresh as bring_up_to_date
    from cuckoo_ml_plugin.hosts.mongodb import MongoReports

    folder = (analyses or home.path.parent / "analyses") if reports or analyses else None
    if folder is not None and not folder.is_dir():
        raise click.UsageError(f"{folder}: there are no analyses there; name the host's storage/analyses: --analyses.")
    documents = MongoReports(mongodb) if mongodb else None
    with progress_bar("Refreshing") as tell:
        done = bring_up_to_date(Engine(home), analyses=folder, documents=documents, progress=tell)
    if as_json:
        counts = {name: getattr(done, name) for name in ("model", "looked_at", "findings", "reports", "documents")}
        answer_json(counts | {"failed": [{"analysis": one, "reason": reason} for one, reason in done.failed]})
    else:
        rows = [
            ("looked at", f"{done.looked_at:,}"),
            ("findings brought up to date", f"{done.findings:,}"),
            ("reports written", f"{done.reports:,}"),
            ("documents written", f"{done.documents:,}"),
            ("failed", f"{len(done.failed):,}"),
        ]
        answers.print(table(f"Model {done.model}", ["", "analyses"], rows, numbers=[1]))
        for analysis, reason in done.failed:
            answers.print(safe(f"{analysis}: {reason}", 600), soft_wrap=True)
    if done.failed:
        raise click.exceptions.Exit(1)
