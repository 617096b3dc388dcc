"""The command ``assess``: how good the clustering in force is, and how other settings compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cuckoo_ml_plugin.cli.console import print_json, progress_bar, safe_text, share_text, stdout, table
from cuckoo_ml_plugin.cli.options import Finite, pass_existing_home
from cuckoo_ml_plugin.cli.sweep_view import show_sweep, sweep_json
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.plumbing.text import counted

if TYPE_CHECKING:
    from cuckoo_ml_plugin.assess.assessment import Assessment, WithLabels
    from cuckoo_ml_plugin.assess.sweep import Sweep
    from cuckoo_ml_plugin.fit.corpus import Corpus

_FEATURE_SETS = ["behaviour", "simple", "nominal", "numerical", "all"]
_LABELS_SHOWN = 4
_MEASURE_NAMES = {
    "ari": "adjusted Rand index",
    "ami": "adjusted mutual information",
    "homogeneity": "homogeneity",
    "completeness": "completeness",
    "v_measure": "V-measure",
    "bcubed_precision": "BCubed precision",
    "bcubed_recall": "BCubed recall",
    "bcubed_f": "BCubed F",
    "precision": "precision (Malheur)",
    "recall": "recall (Malheur)",
    "f": "F (Malheur)",
}


@click.command()
@click.option("--resamples", type=click.IntRange(min=0), default=4, show_default=True,
              help="Fits on random parts of the corpus, to measure stability; 0 skips it.")  # fmt: skip
@click.option("--sweep", "sweeping", is_flag=True, help="Compare algorithms, settings and feature sets instead.")
@click.option("--features", type=click.Choice(_FEATURE_SETS), multiple=True, help="Sweep: a feature set; repeatable.")
@click.option(
    "--algorithm", type=click.Choice(["hdbscan", "dbscan"]), multiple=True, help="Sweep: an algorithm; repeatable."
)
@click.option("--min-samples", type=click.IntRange(1, 1000), multiple=True, help="Sweep: a value; repeatable.")
@click.option("--min-cluster-size", type=click.IntRange(2, 1000), multiple=True, help="Sweep: a value; repeatable.")
@click.option("--epsilon", type=Finite(0, 2), multiple=True, help="Sweep: a selection epsilon of HDBSCAN; repeatable.")
@click.option("--eps", type=Finite(0, 2, min_open=True), multiple=True, help="Sweep: an eps of DBSCAN; repeatable.")
@click.option("--least-clustered", type=Finite(0, 1), default=0.5, show_default=True,
              help="Sweep: the share of analyses that the best must cluster.")  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Sweep: number of processes (default: one per core)."
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def assess(home: Home, /, resamples: int, sweeping: bool, as_json: bool, least_clustered: float, jobs: int | None,
           **grid: tuple[Any, ...]) -> None:  # fmt: skip
    """Measure how good the clustering is, against labels where there are any, and without them."""
    from cuckoo_ml_plugin.assess.assessment import assess_model

    chosen = {name: values for name, values in grid.items() if values}
    if chosen and not sweeping:
        raise click.UsageError(f"--{next(iter(chosen)).replace('_', '-')} sets what to sweep; add --sweep.")
    engine = Engine(home)
    if sweeping:
        result = _sweep(engine, chosen, least_clustered, jobs)
        print_json(sweep_json(result)) if as_json else show_sweep(result)
        return
    model = engine.require_model()
    corpus = _read(engine)
    with progress_bar("Fitting parts") as update_bar:
        assessment = assess_model(model, corpus, engine.settings, resamples, update_bar)
    print_json(asdict(assessment)) if as_json else _show(home, assessment)


def _sweep(engine: Engine, chosen: dict[str, tuple[Any, ...]], least_clustered: float, jobs: int | None) -> Sweep:
    from cuckoo_ml_plugin.assess.sweep import Grid, sweep
    from cuckoo_ml_plugin.fit.fit_model import require_enough

    fields = {"algorithm": "algorithms", "epsilon": "selection_epsilon"}
    grid = Grid(**{fields.get(option, option): values for option, values in chosen.items()})
    corpus = _read(engine)
    require_enough(len(corpus.analyses), engine.settings)
    with progress_bar("Clustering") as update_bar:
        return sweep(
            corpus, engine.settings, grid, least_clustered=least_clustered, jobs=jobs or -1, progress=update_bar
        )


def _read(engine: Engine) -> Corpus:
    from cuckoo_ml_plugin.fit.corpus import read_corpus

    with progress_bar("Reading") as update_bar:
        return read_corpus(engine.store, update_bar)


def _show(home: Home, assessment: Assessment) -> None:
    covered = f"{assessment.clusters:,} clusters hold {assessment.clustered:.1%} of {assessment.analyses:,} analyses."
    stdout.print(safe_text(f"Model {assessment.model}: {covered}", 300), soft_wrap=True)
    if assessment.newer:
        newer = f"{assessment.newer:,} analyses are newer than the model and not judged; a refit includes them:"
        stdout.print(safe_text(f"{newer} {home.command('refit')}", 1000), soft_wrap=True)
    if assessment.with_labels:
        _show_agreement(assessment.with_labels)
        stdout.print(safe_text(agreement_sentence(assessment), 1000), soft_wrap=True)
    else:
        stdout.print("No analysis has a label, so only the measures without labels are shown.")
    _show_without_labels(assessment)
    columns = ["cluster", "name", "size", "labels", "purity", "silh.", "persist.", "stability"]
    rows = [
        (cluster.cluster, cluster.name, cluster.size, labels_text(cluster.labels), share_text(cluster.purity),
         share_text(cluster.silhouette), share_text(cluster.persistence), share_text(cluster.found_again))
        for cluster in assessment.per_cluster
    ]  # fmt: skip
    stdout.print(table("Clusters", columns, rows, numbers=[2, 4, 5, 6, 7]))
    if assessment.per_label:
        columns = ["label", "analyses", "clustered", "clusters", "main cluster", "in it"]
        label_rows = [
            (label.label, label.analyses, share_text(label.clustered), label.clusters, label.cluster, label.in_cluster)
            for label in assessment.per_label
        ]
        stdout.print(table("Labels", columns, label_rows, numbers=[1, 2, 3, 5]))


def _show_agreement(agreement: WithLabels) -> None:
    scopes = (agreement.clustered, agreement.with_noise)
    rows: list[Sequence[object]] = [("analyses", *("" if scope is None else f"{scope.analyses:,}" for scope in scopes))]
    for field, name in _MEASURE_NAMES.items():
        rows.append((name, *("" if scope is None else f"{getattr(scope, field):.3f}" for scope in scopes)))
    title = f"Agreement with {agreement.labels:,} labels of {agreement.analyses:,} analyses"
    stdout.print(table(title, ["measure", "clustered", "with noise"], rows, numbers=[1, 2]))


_MOSTLY = 0.9  # homogeneity or completeness from which clusters are called pure, or labels whole


def agreement_sentence(assessment: Assessment) -> str:
    """What the agreement with the labels means, and what lowers it; "" without labels or clusters."""
    agreement = assessment.with_labels
    clustered = agreement.clustered if agreement else None
    if agreement is None or clustered is None:
        return ""
    scale = (
        f"AMI {clustered.ami:.2f} and ARI {clustered.ari:.2f} say how far clusters and labels are the same groups (1:"
        " the same, 0: no more than by chance)"
    )
    pure, whole = clustered.homogeneity >= _MOSTLY, clustered.completeness >= _MOSTLY
    counts = f"{counted(assessment.clusters, 'cluster')}, {counted(agreement.labels, 'label')}"
    mixed = "clusters hardly mix labels" if pure else "clusters mix labels"
    spread = "a label hardly spreads over clusters" if whole else "a label spreads over several clusters"
    figures = f"{mixed} (homogeneity {clustered.homogeneity:.2f}), {'and' if pure == whole else 'but'} {spread}"
    why = "; variants of one family that behave differently are clusters of their own, which lowers both figures"
    return f"{scale}: {figures} (completeness {clustered.completeness:.2f}; {counts}){'' if whole else why}."


def _show_without_labels(assessment: Assessment) -> None:
    inner, stability = assessment.without_labels, assessment.stability
    rows = [
        ("silhouette", _number(inner.silhouette), _number(inner.silhouette_with_noise)),
        ("DBCV", _number(inner.dbcv), _number(inner.dbcv_with_noise)),
        ("mean persistence in the condensed tree", _number(inner.persistence), ""),
    ]
    if stability:
        rows.append(("agreement of fits on random parts (ARI)", _number(stability.ari), ""))
        rows.append(("analyses that two fits both cluster or both leave out", "", _number(stability.same_left_out)))
    stdout.print(table("Without labels", ["measure", "clustered", "with noise"], rows, numbers=[1, 2]))


def labels_text(labels: dict[str, int]) -> str:
    """The commonest labels with their counts, as a table's cell."""
    shown = [f"{label} {count:,}" for label, count in list(labels.items())[:_LABELS_SHOWN]]
    return ", ".join([*shown, "…"] if len(labels) > _LABELS_SHOWN else shown)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
