"""A sweep as people and programs read it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cuckoo_ml_plugin.cli.console import answers, safe, share, table

if TYPE_CHECKING:
    from cuckoo_ml_plugin.assess.sweep import Sweep, Trial

_COLUMNS = {
    "ami": "AMI", "bcubed_f": "BCubed F", "ami_with_noise": "AMI, noise", "silhouette": "silh.", "dbcv": "DBCV",
    "stability": "stable",
}  # fmt: skip


def sweep_json(found: Sweep) -> dict[str, Any]:
    """All trials, and the best by each measure by its name."""
    return {
        "analyses": found.analyses,
        "labelled": found.labelled,
        "least_clustered": found.least_clustered,
        "without": found.without,
        "trials": [{"name": one.name, **asdict(one)} for one in found.trials],
        "best": {measure: one.name for measure, one in found.best.items()},
    }


def show_sweep(found: Sweep) -> None:
    """What is best by each measure, then every trial."""
    for name in found.without:
        answers.print(safe(f"The corpus has no features of the set {name}."))
    best = [
        (_title(measure), one.name, f"{one.measures[measure]:.3f}", share(one.clustered), one.clusters)
        for measure, one in found.best.items()
    ]
    title = f"Best of those that cluster {found.least_clustered:.0%} of {found.analyses:,} analyses or more"
    answers.print(table(title, ["measure", "clustering", "value", "clustered", "clusters"], best, numbers=[2, 3, 4]))
    if not best:
        answers.print("None of them does; lower --least-clustered.")
    shown = {name: title for name, title in _COLUMNS.items() if any(_has(one, name) for one in found.trials)}
    rows = [
        (
            f"{one.name}{' (current)' if one.current else ''}", one.clusters, share(one.clustered),
            *(share(one.measures[name]) for name in shown),
        )
        for one in found.trials
    ]  # fmt: skip
    columns = ["clustering", "clusters", "clustered", *shown.values()]
    answers.print(table("All of them", columns, rows, numbers=range(1, len(columns))))


def _title(measure: str) -> str:
    name = {"f": "Malheur's F"}.get(measure, measure.replace("_with_noise", ", with noise").replace("_", " "))
    return name.replace("bcubed f", "BCubed F")


def _has(trial: Trial, measure: str) -> bool:
    return trial.measures[measure] is not None
