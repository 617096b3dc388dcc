"""A sweep of clusterings, as tables for people and as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cuckoo_ml_plugin.cli.console import safe_text, share_text, stdout, table

if TYPE_CHECKING:
    from cuckoo_ml_plugin.assess.sweep import Sweep

_COLUMNS = {
    "ami": "AMI", "bcubed_f": "BCubed F", "ami_with_noise": "AMI, noise", "silhouette": "silh.", "dbcv": "DBCV",
    "stability": "stability",
}  # fmt: skip


def sweep_json(sweep: Sweep) -> dict[str, Any]:
    """All trials, and the name of the best trial by each measure."""
    return {
        "analyses": sweep.analyses,
        "labelled": sweep.labelled,
        "least_clustered": sweep.least_clustered,
        "without": sweep.without,
        "trials": [{"name": trial.name, **asdict(trial)} for trial in sweep.trials],
        "best": {measure: trial.name for measure, trial in sweep.best.items()},
    }


def show_sweep(sweep: Sweep) -> None:
    """Print the best trial by each measure, then all trials."""
    for name in sweep.without:
        stdout.print(safe_text(f"No analysis has features of the set {name}."))
    best = [
        (_title(measure), trial.name, f"{trial.measures[measure]:.3f}", share_text(trial.clustered), trial.clusters)
        for measure, trial in sweep.best.items()
    ]
    title = f"Best clusterings of those that cover at least {sweep.least_clustered:.0%} of {sweep.analyses:,} analyses"
    stdout.print(table(title, ["measure", "clustering", "value", "clustered", "clusters"], best, numbers=[2, 3, 4]))
    if not best:
        stdout.print("No clustering covers that many; lower --least-clustered.")
    shown = {
        name: title
        for name, title in _COLUMNS.items()
        if any(trial.measures[name] is not None for trial in sweep.trials)
    }
    rows = [
        (
            f"{trial.name}{' (current)' if trial.current else ''}", trial.clusters, share_text(trial.clustered),
            *(share_text(trial.measures[name]) for name in shown),
        )
        for trial in sweep.trials
    ]  # fmt: skip
    columns = ["clustering", "clusters", "clustered", *shown.values()]
    stdout.print(table("All clusterings", columns, rows, numbers=range(1, len(columns))))


def _title(measure: str) -> str:
    name = {"f": "Malheur's F"}.get(measure, measure.replace("_with_noise", ", with noise").replace("_", " "))
    return name.replace("bcubed f", "BCubed F")
