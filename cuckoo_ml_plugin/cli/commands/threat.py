"""The command ``threat-scores``: a study of a table of threat-exchange scores, or of the stored analyses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cuckoo_ml_plugin.cli.console import print_json, safe_text, share_text, show_missing, stderr, stdout, table
from cuckoo_ml_plugin.cli.options import Finite
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.threat_study.reading.score_table import ReadingOptions

if TYPE_CHECKING:
    from cuckoo_ml_plugin.threat_study.cubic import Cubic
    from cuckoo_ml_plugin.threat_study.groups import By
    from cuckoo_ml_plugin.threat_study.study import Study

_MAX_ROWS = 15  # of a table on the terminal
_MAX_COLUMNS = {"disagreements": 6}


@click.command("threat-scores")
@click.argument("file", required=False, type=click.Path(path_type=Path, readable=False))
@click.option(
    "--by",
    type=click.Choice(["machine", "tag", "submitter"]),
    help="Study the stored analyses in these groups instead.",
)
@click.option(
    "--target", metavar="PROVIDER", help="The provider to predict (default: vt or virustotal, otherwise the last)."
)
@click.option(
    "--predictor", metavar="PROVIDER", help="The provider that predicts (default: the best rank correlation)."
)
@click.option(
    "--threshold", type=Finite(0, 1), default=0.05, show_default=True, help="Larger differences are disagreements."
)
@click.option("--device", metavar="COLUMN", default="device", show_default=True, help="The column of devices.")
@click.option("--domain", metavar="COLUMN", default="domain", show_default=True, help="The column of domains.")
@click.option(
    "--count",
    metavar="COLUMN",
    default="count",
    show_default=True,
    help="The column that counts sightings of a domain.",
)
@click.option(
    "--percent", metavar="NAME", multiple=True, help="A column or provider that holds percentages; repeatable."
)
@click.option("--leave-out", metavar="NAME", multiple=True, help="A column or provider to leave out; repeatable.")
@click.option("--clip", is_flag=True, help="Clip values outside [0, 1] instead of refusing them.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The folder for tables, plots and page (default: NAME-threat-scores).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON; the folder is then written only with --output.")
@click.pass_obj
def threat_scores(
    home: Home,
    /,
    file: Path | None,
    by: By | None,
    target: str | None,
    predictor: str | None,
    threshold: float,
    output: Path | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Study FILE, a table of threat-exchange scores in CSV or Parquet, or the stored analyses by group."""
    from cuckoo_ml_plugin.threat_study.study import study_file, study_json

    if (file is None) == (by is None):
        raise click.UsageError("Give either a FILE or --by.")
    if by is not None:
        _stored(home, by, (target, predictor, threshold), output, as_json)
        return
    assert file is not None
    study = study_file(file, ReadingOptions(**reading), target, predictor, threshold)
    if output or not as_json:
        _write(study, output or Path(f"{file.stem}-threat-scores"))
    if as_json:
        print_json(study_json(study))
        return
    _show(study)


def _stored(
    home: Home, by: By, options: tuple[str | None, str | None, float], output: Path | None, as_json: bool
) -> None:
    """Print the scores by group; with a folder, also write the whole study of that table."""
    from cuckoo_ml_plugin.engine.engine import Engine
    from cuckoo_ml_plugin.threat_study.groups import group_scores, groups_json
    from cuckoo_ml_plugin.threat_study.levels import levels_of
    from cuckoo_ml_plugin.threat_study.study import study_table

    engine = Engine(home.require())
    if not engine.store.count():
        raise CuckooMLError(f"{home.path}: there are no threat scores; {engine.step_to_model()}")
    groups = group_scores(engine.store, by)
    if output:
        _write(study_table(groups.table, f"stored analyses by {by}", *options), output)
    levels = levels_of(groups.table)
    entries = groups_json(groups, levels)
    if as_json:
        print_json(entries)
        return
    for note in levels.notes:
        stdout.print(safe_text(f"Note: {note}", 400), style="yellow", soft_wrap=True)
    columns = [by, "provider", "joined", "mean", "highest", "study's sum", "indicators", "analyses"]
    rows = [row for entry in entries for row in _rows_of_group(entry, by)]
    stdout.print(table(f"Threat scores by {by}", columns, rows, numbers=range(2, len(columns))))
    stdout.print(
        "joined: of an exchange, the probability that at least one indicator is malicious (noisy-or); of any other"
        " provider, the highest. The study's sum adds the joined scores of the exchanges: 0 to their number.",
        soft_wrap=True,
    )


def _rows_of_group(entry: dict[str, Any], by: By) -> list[tuple[object, ...]]:
    """A row for each provider with a score of one group, and one for its exchanges together."""
    together = f"{entry['joint']:.2f}", "", "", f"{entry['score']:.2f}", entry["indicators"], entry["analyses"]
    has_exchange = any(entry["providers"][name] is not None for name in entry["exchanges"])
    if not has_exchange:
        together = "", "", "", "", entry["indicators"], entry["analyses"]
    rows: list[tuple[object, ...]] = [
        (entry[by], "all exchanges" if has_exchange else "no exchange has a score", *together)
    ]
    for name in sorted(entry["providers"], key=lambda name: name not in entry["exchanges"]):
        spread = [share_text(entry[key][name]) for key in ("providers", "mean", "highest")]
        if entry["providers"][name] is not None:
            rows.append(("", name, *spread, "", "", ""))
    return rows


def _write(study: Study, folder: Path) -> None:
    from cuckoo_ml_plugin.threat_study.study_files import write_study

    page, missing = write_study(study, folder)
    written = "tables and" if missing else "tables, plots and"
    stderr.print(safe_text(f"Wrote {written} the page {page}", 1000), soft_wrap=True)
    if missing:
        show_missing("There are no plots", missing)


def _show(study: Study) -> None:
    """Print the notes and the most useful tables; the page has all of them."""
    from cuckoo_ml_plugin.threat_study.result_tables import result_tables

    for note in study.notes:
        stdout.print(safe_text(f"Note: {note}", 400), style="yellow", soft_wrap=True)
    levels = {f"{level.what}s" for level in study.all_levels}
    for result in result_tables(study):
        if result.name in {"disagreements", "errors", *levels}:
            width = _MAX_COLUMNS.get(result.name)
            rows = [[_cell(cell) for cell in row[:width]] for row in result.rows[:_MAX_ROWS]]
            more = f" (the first {_MAX_ROWS} of {len(result.rows):,})" if len(result.rows) > _MAX_ROWS else ""
            numbers = [i for i, cell in enumerate(result.rows[0]) if not isinstance(cell, str)]
            stdout.print(table(f"{result.title}{more}", result.columns[:width], rows, numbers))
    for what, cubics in study.cubics.items():
        for cubic in cubics:
            stdout.print(safe_text(f"Per {what}: {_sentence(cubic)}", 400), soft_wrap=True)
    if not study.disagreements:
        stdout.print(f"No disagreement above {study.threshold:g}.")


def _sentence(cubic: Cubic) -> str:
    third, second, first, constant = cubic.coefficients
    formula = f"{third:.4f} x³ {second:+.4f} x² {first:+.4f} x {constant:+.4f}"
    left_out = f", {cubic.rmse_left_out:.4f} when each row is left out" if cubic.rmse_left_out is not None else ""
    return f"{cubic.target} = {formula}, x = {cubic.predictor}; RMSE {cubic.rmse:.4f} on {cubic.rows:,} rows{left_out}."


def _cell(cell: object) -> object:
    return f"{cell:.4f}".removesuffix(".0000") if isinstance(cell, float) else cell
