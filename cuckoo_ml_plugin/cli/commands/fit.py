"""Commands that change or list models: ``refit`` and ``models``."""

from __future__ import annotations

from typing import Any

import click

from cuckoo_ml_plugin.cli.console import print_json, progress_bar, safe_text, stderr, stdout, table
from cuckoo_ml_plugin.cli.late import store_late_analyses
from cuckoo_ml_plugin.cli.options import pass_existing_home
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.model_lock import alone
from cuckoo_ml_plugin.errors import BusyError, CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.model.folder import current_id, list_models
from cuckoo_ml_plugin.model.folder import prune as prune_models
from cuckoo_ml_plugin.plumbing.text import counted, samples_and_runs


@click.command()
@click.option("--if-needed", is_flag=True, help="Refit only if there is a reason, and say which.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def refit(home: Home, if_needed: bool, as_json: bool) -> None:
    """Fit a model on everything stored and put it in force; clusters that survive keep their id and name."""
    from cuckoo_ml_plugin.engine.refit_due import refit_decision
    from cuckoo_ml_plugin.fit.refit import refit as fit

    loss = home.loss()
    if if_needed and loss is not None:
        raise CuckooMLError(loss)
    engine = Engine(home)
    store_late_analyses(engine)
    forgotten = _apply_retention(engine)
    if if_needed:
        decision = refit_decision(home, engine.store, engine.settings)
        if not decision.due:
            _finish(engine)
            if as_json:
                print_json({"refitted": False, "why": decision.reason, "forgotten": forgotten})
            else:
                stdout.print(safe_text(f"No refit. {decision.reason}", 500), soft_wrap=True)
            return
        stderr.print(safe_text(f"Refit. {decision.reason}", 500), soft_wrap=True)
    with stderr.status("Fitting ..."):
        result = fit(home, engine.store, engine.settings, _show_stage)
    facts = result.model.facts
    for analysis in result.damaged:
        stderr.print(safe_text(f"{analysis}: left out, as its stored behaviour is damaged; import its report again"))
    if as_json:
        print_json(
            {
                "refitted": True,
                "model": result.model.brief(),
                "clustered": facts["clustered"],
                "survived": facts["survived"],
                "moved": facts["moved"],
                "compared": facts["compared"],
                "changes": facts["changes"],
                "damaged": result.damaged,
                "forgotten": forgotten,
            }
        )
        return
    _show_changes(facts)


def _apply_retention(engine: Engine) -> int:
    """Forget what ``[retention]`` no longer keeps, and say how much that was."""
    from cuckoo_ml_plugin.engine.retention import apply_retention

    try:
        forgotten = apply_retention(engine)
    except BusyError:  # a refit is running, which has done it
        return 0
    if forgotten.analyses:
        limits = engine.settings.retention
        kept = [
            *([f"older than {limits.days:,} days"] if limits.days else []),
            *([f"repeats beyond {limits.repeats:,}"] if limits.repeats else []),
        ]
        sentence = f"Forgotten, as [retention] says ({' or '.join(kept)}): {forgotten.analyses:,} analyses."
        stderr.print(safe_text(sentence, 300), soft_wrap=True)
    return forgotten.analyses


def _finish(engine: Engine) -> None:
    from cuckoo_ml_plugin.fit.refit import finish_findings

    try:
        finished = finish_findings(engine.home, engine.store, engine.settings)
    except BusyError:  # a refit is running, so none was interrupted
        return
    if finished:
        stderr.print(f"An interrupted refit was completed: {finished:,} findings updated.")


def _show_stage(stage: str, outcome: str) -> None:
    stderr.print(safe_text(f"  {stage:<10} {outcome}", 200))


def _show_changes(facts: dict[str, Any]) -> None:
    """Print what became of the clusters in a refit."""
    rows = [
        (change["kind"], change["cluster"], change["name"], f"{change['size']:,}", change["other"])
        for change in facts["changes"]
    ]
    if not facts["before"]:
        stdout.print(safe_text(f"Model {facts['id']}: the first model, with {counted(len(rows), 'cluster')}."))
        return
    title = f"Model {facts['id']}: {counted(facts['survived'], 'cluster')} kept"
    stdout.print(table(title, ["change", "cluster", "name", "analyses", "from / into"], rows, numbers=[3]))
    if facts["compared"]:
        moved = f"{facts['moved']:,} of the {facts['compared']:,} analyses in both models"
        stdout.print(f"{moved} changed their cluster.")


@click.group()
def models() -> None:
    """List the models on disk, go back to one, or remove old ones."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def list_(home: Home, as_json: bool) -> None:
    """List all models and mark the one in force."""
    current = current_id(home.models)
    models = [
        {
            "id": facts["folder"],
            "current": facts["folder"] == current,
            "fitted_at": facts.get("fitted_at"),
            "samples": facts.get("samples"),
            "analyses": facts.get("analyses"),
            "clusters": len(facts.get("clusters", [])),
            "clustered": facts.get("clustered"),
        }
        for facts in list_models(home.models)
    ]
    if as_json:
        print_json(models)
        return
    if not models:
        stdout.print(safe_text(f"There is no model yet; {Engine(home).step_to_model()}", 1000), soft_wrap=True)
        return
    rows = [
        (
            "in force" if model["current"] else "",
            model["id"],
            model["fitted_at"],
            model["samples"],
            model["analyses"],
            model["clusters"],
            model["clustered"],
        )
        for model in models
    ]
    columns = ["", "model", "fitted at (UTC)", "samples", "runs", "clusters", "clustered runs"]
    stdout.print(table("Models", columns, rows, numbers=[3, 4, 5, 6]))


@models.command()
@click.argument("model", required=False)
@pass_existing_home
def rollback(home: Home, model: str | None) -> None:
    """Put MODEL in force again (default: the model before the one in force)."""
    from cuckoo_ml_plugin.fit.refit import rollback as roll_back

    engine = Engine(home)
    names = [str(facts["folder"]) for facts in list_models(home.models)]
    if model is None:
        current = current_id(home.models)
        older = names[: names.index(current)] if current in names else names
        if not names:
            engine.require_model()
        if not older and len(names) == 1:
            raise click.ClickException(f"there is no older model to go back to: {names[0]} is the only one.")
        if not older:
            raise click.ClickException(
                f"there is no older model to go back to; all are listed by {home.command('models', 'list')}"
            )
        model = older[-1]
    with progress_bar("Scoring newer analyses") as update_bar:
        restored = roll_back(home, engine.store, engine.settings, model, update_bar)
    brief = restored.brief()
    fitted_on = samples_and_runs(brief.samples, brief.analyses)
    stdout.print(safe_text(f"Model {restored.id} is in force, fitted at {brief.fitted_at} on {fitted_on}."))


@models.command()
@click.option(
    "--keep", type=click.IntRange(min=1), default=None, help="How many to keep (default: keep_models of [refit])."
)
@pass_existing_home
def prune(home: Home, keep: int | None) -> None:
    """Remove all models but the one in force and the newest of the others."""
    with alone(home):
        removed = prune_models(home.models, keep or home.settings().refit.keep_models)
    stdout.print(
        safe_text(f"Removed {len(removed)}: {', '.join(removed)}" if removed else "Nothing to remove.", 2000),
        soft_wrap=True,
    )
