"""Incomplete runs: how well a model tells a run that was cut off from one that ran to its end, on four corpora.

    python -m benchmarks.quality.incomplete_runs [--data ../shared/data] [--cuts 2] [--corpora demo RISS ...]

The measure is the score of what a run lacks of the habits of its group (``model/habits.py``), to which no label
contributes. In the demo, new files of each family's variants are executed twice with the same perturbations: once to
the end, and once up to a random step. The report of the second has only the calls until then, and what they did. The
other corpora hold no times. There, 80 % of the samples are fitted. Of each other sample, a random share of what it did
and of the signatures that matched is kept, in a random order, and all facts and strings of its file.

The AUC (1 is perfect, 0.5 is chance) is that of all pairs of a run that was cut off and a complete one. It is given for
samples whose complete run is in a group with habits (a cluster or a kin of at least ``LEAST_ANALYSES`` analyses, of
which nearly all have something in common), for quarters of the share that is kept, and for all samples. "Found" and
"false alarms" are the shares of both kinds of runs with the reason ``incomplete_run``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.quality.nearest import CORPORA, read_samples
from benchmarks.quality.novelty import fitted_model
from benchmarks.support.paths import DATA
from benchmarks.support.riss_corpus import Sample
from cuckoo_ml_plugin.behaviour.behaviour import Behaviour, kind_of
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.behaviour.kinds import ACTION_KINDS, SIGNATURE_KINDS
from cuckoo_ml_plugin.finding.reasons import INCOMPLETE_RUN
from cuckoo_ml_plugin.fit.corpus import read_corpus
from cuckoo_ml_plugin.fit.fit_model import fit_model
from cuckoo_ml_plugin.intake.import_reports import import_reports
from cuckoo_ml_plugin.model.habits import Lack
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.settings import SEED, Settings
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import generate
from cuckoo_ml_samples.execute import execute
from cuckoo_ml_samples.malware.families import FAMILIES, Variant
from cuckoo_ml_samples.report_formats import cape, cuckoo2
from cuckoo_ml_samples.run import Sample as DemoSample
from cuckoo_ml_samples.sample_files import make_sample

DEMO = "demo"
BAR = 0.95
LEAST_TOKENS = 10  # of what a sample did: less cannot be cut
FILES = 4  # new files of each variant of the demo
QUARTERS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Pair:
    """A complete run, and the same run cut off after a share of it."""

    complete: Behaviour
    kept: float
    cut: Behaviour


@dataclass(frozen=True, slots=True)
class Measured:
    """What the model says of a pair: the scores, whether the reason was given, and whether its group has habits."""

    complete: float
    cut: float
    false_alarm: bool
    found: bool
    kept: float
    has_habits: bool


def demo_model() -> Model:
    """A model of the demo's corpus."""
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.db") as store:
        import_reports(store, generate(Path(folder) / "samples").import_paths)
        return fit_model(read_corpus(store), None, Settings(), None, lambda stage, text: None)[0]


def demo_pairs(cuts: int) -> Iterator[Pair]:
    """Runs of new files of the variants that the demo's corpus has, each cut at some steps."""
    for family in FAMILIES:
        for variant in (variant for variant in family.variants if not variant.new):
            for number in range(FILES):
                rng = Random(f"{SEED} {family.name} {variant.name} {number}")
                sample, seed, steps = make_sample(family, variant, rng), rng.getrandbits(32), len(variant.steps)
                complete = _shown(sample, variant, seed, number)
                for kept in (rng.randrange(steps) for _ in range(cuts)):
                    cut = replace(variant, steps=variant.steps[:kept])
                    yield Pair(complete, kept / steps, _shown(sample, cut, seed, number))


def _shown(sample: DemoSample, variant: Variant, seed: int, number: int) -> Behaviour:
    """The behaviour of a run by the report of one of the hosts."""
    render = (cuckoo2, cape)[number % 2].render
    report = render(execute(sample, variant, Random(seed)), 1, label=None, scanned=False)
    return extract(report_from_results(report))


def thinned_pairs(samples: list[Sample], cuts: int) -> Iterator[Pair]:
    """The samples, each with random shares of what it did."""
    rng = Random(SEED)
    of_run = ACTION_KINDS | SIGNATURE_KINDS
    for sample in samples:
        tokens = sample.behaviour.tokens
        did = [token for token in tokens if kind_of(token) in of_run]
        rest = [token for token in tokens if kind_of(token) not in of_run]
        for _ in range(cuts if len(did) >= LEAST_TOKENS else 0):
            kept = rng.random()
            rng.shuffle(did)
            yield Pair(sample.behaviour, kept, Behaviour(sorted([*rest, *did[: int(kept * len(did))]]), {}))


def measure(model: Model, pairs: Iterator[Pair]) -> list[Measured]:
    """What the model says of each pair."""
    measured = []
    for pair in pairs:
        lack, lack_of_cut = model.lack_of(pair.complete), model.lack_of(pair.cut)
        measured.append(
            Measured(
                complete=lack.score if lack else 0.0,
                cut=lack_of_cut.score if lack_of_cut else 0.0,
                false_alarm=has_reason(model, pair.complete),
                found=has_reason(model, pair.cut),
                kept=pair.kept,
                has_habits=is_in_group_with_habits(model, pair.complete, lack),
            )
        )
    return measured


def is_in_group_with_habits(model: Model, behaviour: Behaviour, lack: Lack | None) -> bool:
    """Whether the group that a run is compared with is the one that its finding names, and has habits."""
    if lack is None or not lack.habits:
        return False
    finding, group = model.score(behaviour), model.group_of(lack)[0]
    return group.id in (finding.cluster.id if finding.cluster else "", finding.kin.id if finding.kin else "")


def has_reason(model: Model, behaviour: Behaviour) -> bool:
    """Whether the finding gives the reason."""
    anomaly = model.score(behaviour).anomaly
    return anomaly is not None and any(reason.kind == INCOMPLETE_RUN for reason in anomaly.reasons)


def auc(measured: list[Measured], of: list[Measured]) -> float:
    """Of the cut runs ``of`` against all complete runs."""
    scores = [one.complete for one in measured] + [one.cut for one in of]
    return float(roc_auc_score([0] * len(measured) + [1] * len(of), scores))


def row(title: str, measured: list[Measured]) -> list[str]:
    """The figures of some pairs."""
    bounds = zip((0.0, *QUARTERS), QUARTERS, strict=False)
    quarters = [[one for one in measured if low <= one.kept < high] for low, high in bounds]
    return [
        title,
        f"{len(measured):,}",
        f"{auc(measured, measured):.3f}",
        *(f"{auc(measured, quarter):.3f}" for quarter in quarters),
        f"{np.mean([one.found for one in measured]):.0%}",
        f"{np.mean([one.false_alarm for one in measured]):.1%}",
    ]


def main() -> None:
    """Print a row for the samples with habits and one for all, for each corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cuts", type=int, default=2)
    parser.add_argument("--corpora", nargs="+", default=[DEMO, *CORPORA], choices=[DEMO, *CORPORA])
    options = parser.parse_args()
    table = Table(title=f"Runs that were cut off (bar for the AUC: {BAR})")
    kept = ("kept < 25 %", "< 50 %", "< 75 %", "< 100 %")
    for number, column in enumerate(("corpus", "cut runs", "AUC", *kept, "found", "false alarms")):
        table.add_column(column, justify="right" if number else "left")
    for name in options.corpora:
        if name == DEMO:
            model, pairs = demo_model(), demo_pairs(options.cuts)
        else:
            samples = [sample for sample in read_samples(options.data, name) if sample.behaviour.has_behaviour]
            order = np.random.default_rng(SEED).permutation(len(samples))
            fitted = int(0.8 * len(samples))
            model = fitted_model([samples[i] for i in order[:fitted]])
            pairs = thinned_pairs([samples[i] for i in order[fitted:]], options.cuts)
        measured = measure(model, pairs)
        table.add_row(*row(f"{name}, with habits", [one for one in measured if one.has_habits]))
        table.add_row(*row(f"{name}, all", measured))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
