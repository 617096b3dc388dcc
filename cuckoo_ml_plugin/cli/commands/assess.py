"""The command ``assess``: how good the clustering in force is, and how it stands beside other settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cuckoo_ml_plugin.cli.console import answer_json, answers, progress_bar, safe, share, table
from cuckoo_ml_plugin.cli.options import Finite, pass_existing_home
from cuckoo_ml_plugin.cli.sweep_view import show_sweep, sweep_json
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.home import Home

if TYPE_CHECKING:
    from cuckoo_ml_plugin.assess.assessment import Assessment, WithLabels
    from cuckoo_ml_plugin.assess.sweep import Sweep
    from cuckoo_ml_plugin.fit.corpus import Corpus

_FEATURES = ["behaviour", "simple", "nominal", "numerical", "all"]
_LABELS_SHOWN = 4
_SAYS = {
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
              help="Fits on random parts of the corpus that stability is measured by; 0 leaves it out.")  # fmt: skip
@click.option("--sweep", "sweeping", is_flag=True, help="Compare algorithms, settings and feature sets instead.")
@click.option("--features", type=click.Choice(_FEATURES), multiple=True, help="Sweep: a feature set; repeatable.")
@click.option("--algorithm", type=click.Choice(["hdbscan", "dbscan"]), multiple=True, help="Sweep: repeatable.")
@click.option("--min-samples", type=click.IntRange(1, 1000), multiple=True, help="Sweep: a value; repeatable.")
@click.option("--min-cluster-size", type=click.IntRange(2, 1000), multiple=True, help="Sweep: a value; repeatable.")
@click.option("--epsilon", type=Finite(0, 2), multiple=True, help="Sweep: HDBSCAN's; repeatable.")
@click.option("--eps", type=Finite(0, 2, min_open=True), multiple=True, help="Sweep: DBSCAN's; repeatable.")
@click.option("--least-clustered", type=Finite(0, 1), default=0.5, show_default=True,
              help="Sweep: what clusters less than this share cannot be best.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=None, help="Sweep: processes (default: one a core).")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@pass_existing_home
def assess(home: Home, /, resamples: int, sweeping: bool, as_json: bool, least_clustered: float, jobs: int | None,
           **turned: tuple[Any, ...]) -> None:  # fmt: skip
    """How good the clustering is: against labels, as far as there are any, and without them."""
    from cuckoo_ml_plugin.assess.assessment import assess_model

    chosen = {name: values for name, values in turned.items() if values}
    if chosen and not sweeping:
        raise click.UsageError(f"--{next(iter(chosen)).replace('_', '-')} says what to sweep; give --sweep too.")
    engine = Engine(home)
    if sweeping:
        found = _sweep(engine, chosen, least_clustered, jobs)
        answer_json(sweep_json(found)) if as_json else show_sweep(found)
        return
    model = engine.need_model()
    corpus = _read(engine)
    with progress_bar("Fitting parts") as tell:
        judged = assess_model(model, corpus, engine.settings, resamples, tell)
    answer_json(asdict(judged)) if as_json else _show(judged)


def _sweep(engine: Engine, chosen: dict[str, tuple[Any, ...]], least_clustered: float, jobs: int | None) -> Sweep:
    from cuckoo_ml_plugin.assess.sweep import Grid, sweep
    from cuckoo_ml_plugin.fit.fit_model import enough

    names = {"algorithm": "algorithms", "epsilon": "selection_epsilon"}
    grid = Grid(**{names.get(name, name): values for name, values in chosen.items()})
    corpus = _read(engine)
    enough(len(corpus.analyses), engine.settings)
    with progress_bar("Clustering") as tell:
        return sweep(corpus, engine.settings, grid, least_clustered=least_clustered, jobs=jobs or -1, tell=tell)


def _read(engine: Engine) -> Corpus:
    from cuckoo_ml_plugin.fit.corpus import read_corpus

    with progress_bar("Reading") as tell:
        return read_corpus(engine.store, tell)


def _show(judged: Assessment) -> None:
    answers.print(
        safe(f"Model {judged.model}: {judged.clusters:,} clusters hold {judged.clustered:.1%} of {judged.analyses:,} "
             "analyses.", 300), soft_wrap=True)  # fmt: skip
    if judged.newer:
        answers.print(f"{judged.newer:,} analyses are newer than the model and not judged; cuckoo-ml refit takes them.")
    if judged.with_labels:
        _show_agreement(judged.with_labels)
    else:
        answers.print("No analysis has a label, so only what needs none is measured.")
    _show_without_labels(judged)
    columns = ["cluster", "name", "size", "labels", "purity", "silh.", "persist", "again"]
    rows = [
        (one.cluster, one.name, one.size, labels_text(one.labels), share(one.purity), share(one.silhouette),
         share(one.persistence), share(one.found_again))
        for one in judged.per_cluster
    ]  # fmt: skip
    answers.print(table("Clusters", columns, rows, numbers=[2, 4, 5, 6, 7]))
    if judged.per_label:
        columns = ["label", "analyses", "clustered", "clusters", "most in", "there"]
        rows_ = [
            (one.label, one.analyses, share(one.clustered), one.clusters, one.cluster, one.in_cluster)
            for one in judged.per_label
        ]
        answers.print(table("Labels", columns, rows_, numbers=[1, 2, 3, 5]))


def _show_agreement(found: WithLabels) -> None:
    clustered, whole = found.clustered, found.with_noise
    rows: list[Sequence[object]] = [
        ("analyses", *("" if one is None else f"{one.analyses:,}" for one in (clustered, whole)))
    ]
    for name, says in _SAYS.items():
        rows.append((says, *("" if one is None else f"{getattr(one, name):.3f}" for one in (clustered, whole))))
    title = f"Against {found.labels:,} labels of {found.analyses:,} analyses"
    answers.print(table(title, ["measure", "clustered", "with noise"], rows, numbers=[1, 2]))


def _show_without_labels(judged: Assessment) -> None:
    found, stable = judged.without_labels, judged.stability
    rows = [
        ("silhouette", _number(found.silhouette), _number(found.silhouette_with_noise)),
        ("DBCV", _number(found.dbcv), _number(found.dbcv_with_noise)),
        ("persistence in the tree, mean", _number(found.persistence), ""),
    ]
    if stable:
        rows.append(("fits on random parts agree (ARI)", _number(stable.ari), ""))
        rows.append(("both cluster, or both leave out", "", _number(stable.same_left_out)))
    answers.print(table("Without labels", ["measure", "clustered", "with noise"], rows, numbers=[1, 2]))


def labels_text(labels: dict[str, int]) -> str:
    """The commonest labels with their counts, as a table's cell."""
    shown = [f"{label} {count:,}" for label, count in list(labels.items())[:_LABELS_SHOWN]]
    return ", ".join([*shown, "…"] if len(labels) > _LABELS_SHOWN else shown)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
