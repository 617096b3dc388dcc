"""Commands about models: ``refit`` and ``models``."""

from __future__ import annotations

from typing import Any

import click

from cuckoo_ml_plugin.cli.console import answer_json, answers, errors, progress_bar, safe, table
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import BusyError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id, list_models
from cuckoo_ml_plugin.model.folder import prune as prune_models


@click.command()
@click.option("--if-needed", is_flag=True, help="Only when enough is new, or drifted; says why or why not.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def refit(home: Home, if_needed: bool, as_json: bool) -> None:
    """Fit a model on everything stored and put it in force; clusters that survive keep their id and name."""
    from cuckoo_ml_plugin.engine.refit_due import need_for_refit
    from cuckoo_ml_plugin.fit.refit import refit as fit

    engine = Engine(home)
    if if_needed:
        need = need_for_refit(home, engine.store, engine.settings)
        if not need.needed:
            _finish(engine)
            if as_json:
                answer_json({"refitted": False, "why": need.why})
            else:
                answers.print(safe(f"No refit. {need.why}", 500), soft_wrap=True)
            return
        errors.print(safe(f"Refit. {need.why}", 500), soft_wrap=True)
    with errors.status("Fitting ..."):
        result = fit(home, engine.store, engine.settings, _say)
    facts = result.model.facts
    for analysis in result.damaged:
        errors.print(safe(f"left out: the stored behaviour of {analysis} is damaged; import its report again"))
    if as_json:
        answer_json(
            {
                "refitted": True,
                "model": result.model.brief(),
                "clustered": facts["clustered"],
                "survived": facts["survived"],
                "moved": facts["moved"],
                "compared": facts["compared"],
                "changes": facts["changes"],
                "damaged": result.damaged,
            }
        )
        return
    show_changes(facts)


def _finish(engine: Engine) -> None:
    from cuckoo_ml_plugin.fit.refit import finish_findings

    try:
        finished = finish_findings(engine.home, engine.store, engine.settings)
    except BusyError:  # it is a refit that runs, and no killed one
        return
    if finished:
        errors.print(f"A refit was cut off before it was done: {finished:,} findings brought up to date.")


def _say(stage: str, found: str) -> None:
    errors.print(safe(f"  {stage:<10} {found}", 200))


def show_changes(facts: dict[str, Any]) -> None:
    """What became of the clusters in a refit."""
    rows = [
        (change["kind"], change["cluster"], change["name"], f"{change['size']:,}", change["other"])
        for change in facts["changes"]
    ]
    if not facts["before"]:
        answers.print(safe(f"Model {facts['id']}: the first one, with {len(rows)} clusters."))
        return
    title = f"Model {facts['id']}: {facts['survived']} clusters kept"
    answers.print(table(title, ["what", "cluster", "name", "analyses", "from / into"], rows, numbers=[3]))
    if facts["compared"]:
        moved = f"{facts['moved']:,} of the {facts['compared']:,} analyses that both models know"
        answers.print(f"{moved} changed their cluster.")


@click.group()
def models() -> None:
    """Models on disk: list them, go back to one, remove old ones."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def list_(home: Home, as_json: bool) -> None:
    """All models, the one in force marked."""
    current = current_id(home.models)
    found = [
        {
            "id": facts["folder"],
            "current": facts["folder"] == current,
            "fitted_at": facts.get("fitted_at"),
            "analyses": facts.get("analyses"),
            "clusters": len(facts.get("clusters", [])),
            "clustered": facts.get("clustered"),
        }
        for facts in list_models(home.models)
    ]
    if as_json:
        answer_json(found)
        return
    rows = [
        (
            "in force" if one["current"] else "",
            one["id"],
            one["fitted_at"],
            one["analyses"],
            one["clusters"],
            one["clustered"],
        )
        for one in found
    ]
    columns = ["", "model", "fitted at (UTC)", "analyses", "clusters", "clustered"]
    answers.print(table("Models", columns, rows, numbers=[3, 4, 5]))


@models.command()
@click.argument("model", required=False)
@pass_existing_home
def rollback(home: Home, model: str | None) -> None:
    """Put MODEL in force again; without it, the one before the one in force."""
    from cuckoo_ml_plugin.fit.refit import rollback as roll_back

    engine = Engine(home)
    names = [str(facts["folder"]) for facts in list_models(home.models)]
    if model is None:
        current = current_id(home.models)
        older = names[: names.index(current)] if current in names else names
        if not older:
            raise click.ClickException("there is no older model to go back to; cuckoo-ml models list shows all.")
        model = older[-1]
    with progress_bar("Scoring what is newer") as tell:
        now = roll_back(home, engine.store, engine.settings, model, tell)
    brief = now.brief()
    answers.print(
        safe(f"Model {now.id} is in force, fitted at {brief['fitted_at']} on {brief['analyses']:,} analyses.")
    )


@models.command()
@click.option("--keep", type=click.IntRange(min=1), default=None, help="How many (default: [refit] keep_models).")
@pass_existing_home
def prune(home: Home, keep: int | None) -> None:
    """Remove all models but the one in force and the newest of the others."""
    gone = prune_models(home.models, keep or home.settings().refit.keep_models)
    answers.print(
        safe(f"Removed {len(gone)}: {', '.join(gone)}" if gone else "Nothing to remove.", 2000), soft_wrap=True
    )
