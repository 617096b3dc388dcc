"""The command ``threat-scores``: the study of a table of threat-exchange scores, or of the stored analyses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cuckoo_ml_plugin.cli.console import answer_json, answers, errors, safe, share, table
from cuckoo_ml_plugin.cli.options import Finite
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.threat_study.reading.table import ReadingOptions

if TYPE_CHECKING:
    from cuckoo_ml_plugin.threat_study.cubic import Cubic
    from cuckoo_ml_plugin.threat_study.groups import By
    from cuckoo_ml_plugin.threat_study.study import Study

_SHOWN = 15  # rows of a table on the terminal
_NARROW = {"disagreements": 6}  # columns of it


@click.command("threat-scores")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--by", type=click.Choice(["machine", "tag", "submitter"]), help="Instead of FILE: the stored analyses, grouped."
)
@click.option(
    "--target", metavar="PROVIDER", help="The provider to predict (default: vt or virustotal, else the last)."
)
@click.option(
    "--predictor", metavar="PROVIDER", help="What the cubic predicts from (default: the best rank correlation)."
)
@click.option("--threshold", type=Finite(0, 1), default=0.05, show_default=True, help="From where on they disagree.")
@click.option("--device", metavar="COLUMN", default="device", show_default=True, help="The column of devices.")
@click.option("--domain", metavar="COLUMN", default="domain", show_default=True, help="The column of domains.")
@click.option("--count", metavar="COLUMN", default="count", show_default=True, help="How often a domain was seen.")
@click.option(
    "--percent", metavar="NAME", multiple=True, help="A column or provider that holds percentages; repeatable."
)
@click.option("--leave-out", metavar="NAME", multiple=True, help="A column or provider to leave out; repeatable.")
@click.option("--clip", is_flag=True, help="Cut values outside [0, 1] off instead of refusing them.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="The folder for tables, plots and page (default: FILE's name)."
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
    """A study of FILE, a table of scores by threat exchanges in CSV or Parquet; or of the stored analyses by group."""
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
        answer_json(study_json(study))
        return
    _show(study)


def _stored(
    home: Home, by: By, options: tuple[str | None, str | None, float], output: Path | None, as_json: bool
) -> None:
    """The table of joint scores by group, and with a folder the whole study of it."""
    from cuckoo_ml_plugin.engine.engine import Engine
    from cuckoo_ml_plugin.threat_study.groups import group_scores, groups_json
    from cuckoo_ml_plugin.threat_study.study import study_table

    if output:
        desk_package("matplotlib", "Plots")  # said before anything is computed
    groups = group_scores(Engine(home.require()).store, by)
    if output:
        _write(study_table(groups.table, f"stored analyses by {by}", *options), output)
    found = groups_json(groups)
    if as_json:
        answer_json(found)
        return
    providers = list(found[0]["providers"])
    rows = [
        (
            one[by],
            *(share(one["providers"][name]) for name in providers),
            *(f"{one[name]:.2f}" for name in ("score", "joint")),
            one["indicators"],
            one["analyses"],
        )
        for one in found
    ]
    columns = [by, *providers, "score", "joint", "indicators", "analyses"]
    answers.print(table(f"Threat scores by {by}", columns, rows, numbers=range(1, len(columns))))


def _write(study: Study, folder: Path) -> None:
    from cuckoo_ml_plugin.threat_study.page import write_study

    errors.print(safe(f"Tables, plots and the page: {write_study(study, folder)}", 1000), soft_wrap=True)


def _show(study: Study) -> None:
    """The notes and the tables that answer most; the page has all of them."""
    from cuckoo_ml_plugin.threat_study.tables import tables_of

    for note in study.notes:
        answers.print(safe(f"Note: {note}", 400), style="yellow", soft_wrap=True)
    levels = {f"{level.what}s" for level in study.all_levels}
    for one in tables_of(study):
        if one.name in {"disagreements", "errors", *levels}:
            width = _NARROW.get(one.name)  # the rest is in the file
            rows = [[_cell(cell) for cell in row[:width]] for row in one.rows[:_SHOWN]]
            more = f" (the first {_SHOWN} of {len(one.rows):,})" if len(one.rows) > _SHOWN else ""
            numbers = [i for i, cell in enumerate(one.rows[0]) if not isinstance(cell, str)]
            answers.print(table(f"{one.title}{more}", one.columns[:width], rows, numbers))
    for what, cubics in study.cubics.items():
        for cubic in cubics:
            answers.print(safe(f"Per {what}: {_sentence(cubic)}", 400), soft_wrap=True)
    if not study.disagreements:
        answers.print(f"No disagreement above {study.threshold:g}.")


def _sentence(cubic: Cubic) -> str:
    third, second, first, constant = cubic.coefficients
    formula = f"{third:.4f} x³ {second:+.4f} x² {first:+.4f} x {constant:+.4f}"
    left_out = f", {cubic.rmse_left_out:.4f} when each row is left out" if cubic.rmse_left_out is not None else ""
    return f"{cubic.target} = {formula}, x = {cubic.predictor}; RMSE {cubic.rmse:.4f} on {cubic.rows:,} rows{left_out}."


def _cell(cell: object) -> object:
    return f"{cell:.4f}".removesuffix(".0000") if isinstance(cell, float) else cell
