"""The command ``import``: reports and labels into the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from cuckoo_ml_plugin.cli.console import print_json, progress_bar, safe_text, stdout, table
from cuckoo_ml_plugin.cli.late import store_late_analyses
from cuckoo_ml_plugin.engine.births import notice_births_among_imported
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.queries import did_you_mean
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id
from cuckoo_ml_plugin.plumbing.text import display_text
from cuckoo_ml_plugin.store.between_refits.marks import Mark

if TYPE_CHECKING:
    from cuckoo_ml_plugin.intake.import_reports import ImportResult

T = TypeVar("T")
_MOST_NAMED = 10  # files or analyses of one kind that are named


@click.command("import")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, readable=False))
@click.option(
    "--labels", type=click.Path(path_type=Path), help="A file of your own labels, with analysis<TAB>label on each line."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Number of reading processes (default: one per core)."
)
@click.option(
    "--mongodb",
    metavar="URL",
    help="Read a host's past analyses from its MongoDB instead, such as mongodb://127.0.0.1:27017/cuckoo.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def import_(
    home: Home, paths: tuple[Path, ...], labels: Path | None, jobs: int | None, mongodb: str | None, as_json: bool
) -> None:
    """Read report files, folders of them, or a host's storage/analyses into the store.

    Reports that are stored already and unchanged are skipped, so repeating an interrupted import continues it. With
    --labels alone, stored analyses are labelled.
    """
    from cuckoo_ml_plugin.intake.import_reports import ImportResult, find_reports, import_reports

    if not paths and labels is None and mongodb is None:
        raise click.UsageError("Name report files or folders, or give --mongodb or --labels.")
    if mongodb is not None and (paths or labels):
        raise click.UsageError("Give --mongodb alone, and files and labels in an import of their own.")
    if mongodb is not None:
        engine = Engine(home)
        result, began = _import_mongodb(engine, mongodb)
        _report_result(engine, result, None, as_json, _births_since(engine, began) if result.stored else "")
        return
    engine = Engine(home if paths else home.require())
    began = Mark(0, 0)
    if home.exists or any(path.exists() for path in paths):
        began = engine.store.mark()
        store_late_analyses(engine)
        with progress_bar("Importing") as update_bar:
            result = import_reports(engine.store, paths, labels=labels, jobs=jobs, progress=update_bar)
    else:  # every path is mistyped, so no home is made
        result = ImportResult(unreadable=[(file.path, file.problem or "") for file in find_reports(paths)])
    _report_result(engine, result, labels, as_json, _births_since(engine, began) if result.stored else "")


def _births_since(engine: Engine, began: Mark) -> str:
    """Look for births among what was imported; the answer says why nobody could, if so."""
    try:
        with progress_bar("Looking for new groups") as update_bar:
            if notice_births_among_imported(engine, began, update_bar):
                return ""
    except CuckooMLError as error:
        return f"New groups were not looked for: {error}"
    return f"New groups were not looked for among so many analyses; a refit finds them: {engine.home.command('refit')}"


def _import_mongodb(engine: Engine, url: str) -> tuple[ImportResult, Mark]:
    """Import; returns also where the store was before."""
    from cuckoo_ml_plugin.intake.import_mongodb import MongoAnalyses, import_mongodb

    analyses = MongoAnalyses(url)  # before the store, so that a mistyped URL makes no home
    began = engine.store.mark()
    with progress_bar("Importing") as update_bar:
        return import_mongodb(engine.store, analyses, progress=update_bar), began


def _report_result(
    engine: Engine, result: ImportResult, labels: Path | None, as_json: bool, on_births: str = ""
) -> None:
    """Print what the import did; exit with 1 if nothing could be read."""
    nothing = not result.read and not result.skipped
    if as_json:
        print_json(
            {
                "read": result.read,
                "stored": result.stored,
                "skipped": result.skipped,
                "without_behaviour": result.without_behaviour,
                "passed_over": [{"path": path, "reason": reason} for path, reason in result.passed_over],
                "remarks": [{"analysis": name, "remark": remark} for name, remark in result.remarks],
                "unreadable": [{"path": path, "reason": reason} for path, reason in result.unreadable],
                "repeats": [{"path": path, "analysis": name} for path, name in result.repeats],
                "renamed": [{"path": path, "analysis": name} for path, name in result.renamed],
                "labelled": result.labelled,
                "unknown_labels": result.unknown_labels,
                "bad_label_lines": [{"line": line, "reason": reason} for line, reason in result.bad_label_lines],
            }
        )
    else:
        _show_import(engine, result, labels)
        if on_births:
            stdout.print(safe_text(on_births, 1000), soft_wrap=True)
        if current_id(engine.home.models) is None and engine.home.exists and engine.store.count():
            stdout.print(safe_text(f"There is no model yet; {engine.step_to_model()}", 1000), soft_wrap=True)
    if nothing and result.unreadable:
        raise click.exceptions.Exit(1)


def _show_passed_over(result: ImportResult) -> None:
    """How many files were passed over for each reason, with the first names."""
    paths_by_reason: dict[str, list[str]] = {}
    for path, reason in result.passed_over:
        paths_by_reason.setdefault(reason, []).append(path)
    for reason, paths in sorted(paths_by_reason.items()):
        stdout.print(f"passed over, {len(paths):,} times: {reason}", soft_wrap=True)
        for path in paths[:_MOST_NAMED]:
            stdout.print(safe_text(f"  {path}", 600), soft_wrap=True)
        if len(paths) > _MOST_NAMED:
            stdout.print(f"  and {len(paths) - _MOST_NAMED:,} more (--json lists all)")


def _show_import(engine: Engine, result: ImportResult, labels: Path | None) -> None:
    rows = [
        ("read", result.read),
        ("stored", result.stored),
        ("skipped (unchanged)", result.skipped),
        ("the same run as one that is stored", len(result.repeats)),
        ("without behaviour", result.without_behaviour),
        ("unreadable", len(result.unreadable)),
        ("passed over", len(result.passed_over)),
    ]
    if labels:
        rows += [("labelled", result.labelled), ("named in the labels, not stored", len(result.unknown_labels))]
    if not result.found and not result.unreadable and not result.labelled:
        stdout.print("No report file was found (*.json, packed or not, at any depth).")
    stdout.print(table("Import", ["", "analyses"], [(name, f"{number:,}") for name, number in rows], numbers=[1]))
    if result.labelled and current_id(engine.home.models) is not None:
        text = f"The next refit updates names and labels of clusters: {engine.home.command('refit')}"
        stdout.print(safe_text(text, 1000), soft_wrap=True)
    for path, reason in result.unreadable:
        stdout.print(safe_text(f"unreadable: {reason if path in reason else f'{path}: {reason}'}", 600), soft_wrap=True)
    _show_passed_over(result)
    _show_first(result.remarks, lambda entry: f"{entry[0]}: {entry[1]}", "such remarks")
    for path, name in result.renamed:
        stdout.print(safe_text(f"stored as {name}, because its own id is taken: {path}", 600), soft_wrap=True)
    _show_first(result.unknown_labels, lambda name: f"{labels}: {_not_labelled(engine, name)}", "such names")
    _show_first(result.bad_label_lines, lambda entry: f"{labels}, line {entry[0]}: {entry[1]}", "such lines")


def _show_first(entries: Sequence[T], describe: Callable[[T], str], what: str) -> None:
    """Describe the first entries, and say how many more there are."""
    for entry in entries[:_MOST_NAMED]:
        stdout.print(safe_text(describe(entry), 1000), soft_wrap=True)
    if len(entries) > _MOST_NAMED:
        stdout.print(f"and {len(entries) - _MOST_NAMED:,} more {what} (--json lists all)")


def _not_labelled(engine: Engine, name: str) -> str:
    """What became of the label of a name that no stored analysis has. Raises StoreError."""
    from cuckoo_ml_plugin.intake.label_file import analysis_named

    hint = did_you_mean(engine, analysis_named(name))
    return f"no analysis {display_text(name, 100)} is stored, so its label was skipped; {hint}"
