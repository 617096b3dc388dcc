"""The command ``births``: groups in the making."""

from __future__ import annotations

import click

from cuckoo_ml_plugin.cli.console import print_json, safe_text, stdout, table
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.births import birth_brief, birth_level
from cuckoo_ml_plugin.engine.births import births as births_of
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home

_MOST_NAMED = 5  # analyses of a group


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, with all analyses of each group.")
@pass_existing_home
def births(home: Home, as_json: bool) -> None:
    """List groups in the making: new analyses that are like each other and unlike all that is known."""
    engine = Engine(home)
    model = engine.require_model()
    groups = births_of(engine)
    if as_json:
        print_json([birth_brief(group) for group in groups])
        return
    rows = []
    for group in groups:
        names = ", ".join(member.analysis for member in group.members[:_MOST_NAMED])
        more = len(group.members) - _MOST_NAMED
        labels = sorted({member.label for member in group.members if member.label})
        rows.append(
            (
                group.id,
                group.samples,
                group.days,
                group.first,
                group.last,
                ", ".join(labels),
                f"{names}, and {more:,} more" if more > 0 else names,
            )
        )
    columns = ["group", "samples", "days", "first", "last", "labels", "analyses"]
    title = "1 group in the making" if len(rows) == 1 else f"{len(rows):,} groups in the making"
    stdout.print(table(title, columns, rows, numbers=[1, 2]))
    if birth_level(model) is None:
        hint = f"Nothing can be noticed with this model; the next refit mends that: {home.command('refit')}"
        stdout.print(safe_text(hint, 1000), soft_wrap=True)
