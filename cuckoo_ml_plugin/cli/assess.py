"""The command ``assess``: how good the clustering in force is, and how it stands beside other settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cuckoo_ml_plugin.cli.show import answer_json, answers, progress_bar, safe, share, table
from cuckoo_ml_plugin.engine import Engine
from cuckoo_ml_plugin.home import Home

if TYPE_CHECKING:
    from cuckoo_ml_plugin.assess.assessment import Assessment, WithLabels

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
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.pass_obj
def assess(home: Home, resamples: int, as_json: bool) -> None:
    """How good the clustering is: against labels, as far as there are any, and without them."""
    from cuckoo_ml_plugin.assess.assessment import assess_model
    from cuckoo_ml_plugin.corpus import read_corpus

    engine = Engine(home)
    model = engine.need_model()
    with progress_bar("Reading") as tell:
        corpus = read_corpus(engine.store, tell)
    with progress_bar("Fitting parts") as tell:
        judged = assess_model(model, corpus, engine.settings, resamples, tell)
    if as_json:
        answer_json(asdict(judged))
    else:
        _show(judged)


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
