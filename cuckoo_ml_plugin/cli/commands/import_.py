"""Commands that fill the store: ``import`` and ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cuckoo_ml_plugin.cli.console import answer_json, answers, progress_bar, safe, table
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home

if TYPE_CHECKING:
    from cuckoo_ml_plugin.intake.import_reports import ImportResult


@click.command("import")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--labels", type=click.Path(path_type=Path), help="Analyst labels: analysis<TAB>label, a line each.")
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Processes that read (default: one a core).")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def import_(home: Home, paths: tuple[Path, ...], labels: Path | None, jobs: int | None, as_json: bool) -> None:
    """Read report files, folders of them, or a host's storage/analyses into the store.

    What is stored already and unchanged is skipped, so that an interrupted import goes on where it was. With --labels
    alone, what is stored is labelled.
    """
    from cuckoo_ml_plugin.intake.import_reports import ImportResult, find_reports, import_reports

    if not paths and labels is None:
        raise click.UsageError("Name reports or folders of them, or --labels.")
    engine = Engine(home if paths else home.require())
    if home.exists or any(path.exists() for path in paths):
        with progress_bar("Importing") as tell:
            result = import_reports(engine.store, paths, labels=labels, jobs=jobs, progress=tell)
    else:  # all mistyped: no reason to make a home
        result = ImportResult(unreadable=[(one.path, one.problem or "") for one in find_reports(paths)])
    nothing = not result.read and not result.skipped
    if as_json:
        answer_json(
            {
                "read": result.read,
                "stored": result.stored,
                "skipped": result.skipped,
                "without_behaviour": result.without_behaviour,
                "unreadable": [{"path": path, "reason": reason} for path, reason in result.unreadable],
                "renamed": [{"path": path, "analysis": name} for path, name in result.renamed],
                "labelled": result.labelled,
                "unknown_labels": result.unknown_labels,
                "bad_label_lines": [{"line": line, "reason": reason} for line, reason in result.bad_label_lines],
            }
        )
    else:
        _show_import(result, labels)
    if nothing and result.unreadable:
        raise click.exceptions.Exit(1)


def _show_import(result: ImportResult, labels: Path | None) -> None:
    rows = [
        ("read", result.read),
        ("stored", result.stored),
        ("skipped (unchanged)", result.skipped),
        ("without behaviour", result.without_behaviour),
        ("unreadable", len(result.unreadable)),
    ]
    if labels:
        rows.append(("labelled", result.labelled))
    if not result.found and not result.unreadable and not result.labelled:
        answers.print("No report file was found there: *.json or *.json.gz, in folders of any depth.")
    answers.print(table("Import", ["", "analyses"], [(name, f"{number:,}") for name, number in rows], numbers=[1]))
    if result.labelled:
        answers.print("Names and labels of clusters follow at the next cuckoo-ml refit.")
    for path, reason in result.unreadable:
        answers.print(safe(f"unreadable: {reason if path in reason else f'{path}: {reason}'}", 600), soft_wrap=True)
    for path, name in result.renamed:
        answers.print(safe(f"stored as {name}, as its own id is taken: {path}", 600), soft_wrap=True)
    for name in result.unknown_labels:
        answers.print(safe(f"{labels}: no analysis {name} is stored, so its label was left out", 600), soft_wrap=True)
    for line, reason in result.bad_label_lines:
        answers.print(safe(f"{labels}, line {line}: {reason}", 600), soft_wrap=True)
