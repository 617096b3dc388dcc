"""Are known relations between providers recovered? The study's models beside plain least squares, in the same run.

    python -m benchmarks.quality.threat_scores [--rows 5000] [--seeds 3]

Three tables of scores are made whose relation is known, each with noise of 0.01 and with one row in a hundred put out
of line by 0.2 to 0.5 and listed. Errors are those of rows that a model has not seen, taken against the relation
without noise: 0 is perfect. Then: which of the rows out of line are among the disagreements above 0.05, and how many
others are. Then the models inside an analysis: how many new files are called a disagreement by chance (1 % is
promised), how many whose VirusTotal score is another file's are found, and what extraction and scoring cost. Last, the
ten devices that the study printed, predicted from the right and from the wrong column.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.fit.providers import fit_rows
from cuckoo_ml_plugin.model.providers import ProviderModels, joined_scores, threat_finding
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.report.threat_scores import threat_scores
from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_plugin.threat_study.cubic import fit_cubic, predict_cubic
from cuckoo_ml_plugin.threat_study.study import Study, study_file
from cuckoo_ml_samples import generate

Floats = NDArray[np.float64]
NOISE = 0.01
OUT_OF_LINE = 0.01
PRINTED = np.array(
    [  # apility, facebook, vt of the ten devices
        (0.044395, 0.215506, 0.179662), (0.044395, 0.215506, 0.179662), (0.008183, 0.110530, 0.063514),
        (0.132108, 0.301480, 0.075954), (0.031767, 0.630564, 0.403379), (0.015724, 0.550683, 0.267896),
        (0.019760, 0.089339, 0.228773), (0, 0, 0), (0.028562, 0.022497, 0.052564), (0.004100, 0.083511, 0.191341),
    ]
)  # fmt: skip
PRINTED_CUBIC = (2.0119, -2.8013, 1.8101, -0.0202)

RELATIONS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "the study's cubic of facebook": lambda facebook, apility: predict_cubic((2.0, -2.8, 1.8, 0.0), facebook),
    "noisy-or of both": lambda facebook, apility: 1 - (1 - 0.8 * facebook) * (1 - 0.8 * apility),
    "facebook, where apility exceeds 0.3": lambda facebook, apility: np.where(apility > 0.3, facebook, 0.1 * facebook),
}


@dataclass(frozen=True)
class Made:
    """A table, what is true of it, and its study."""

    study: Study
    true: Floats  # the relation without noise
    out: NDArray[np.bool_]


def make(relation: Callable[[Floats, Floats], Floats], rows: int, seed: int, folder: Path) -> Made:
    random = np.random.default_rng([SEED, seed])
    facebook, apility = random.beta(0.8, 1.6, rows), random.beta(0.8, 2.5, rows)
    true = relation(facebook, apility)
    vt = true + random.normal(0, NOISE, rows)
    out = random.random(rows) < OUT_OF_LINE
    vt[out] += random.uniform(0.2, 0.5, out.sum()) * np.where(true[out] > 0.5, -1, 1)
    vt = np.clip(vt, 0, 1)
    file = folder / "table.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["domain", "facebook.all", "apility.all", "vt.all"])
        for i in range(rows):
            writer.writerow([f"d{i}.example", f"{facebook[i]:.6f}", f"{apility[i]:.6f}", f"{vt[i]:.6f}"])
    return Made(study_file(file), true, out)


def rmse(off: Floats) -> float:
    return float(np.sqrt(np.mean(off**2)))


def errors(made: Made) -> dict[str, float]:
    """RMSE against the relation, in five folds; rows out of line are fitted on, but not counted."""
    level = made.study.levels.domains
    X, y = level.joined[:, [0, 1]], level.joined[:, 2]
    cubic, line = np.empty(len(y)), np.empty(len(y))
    for fold in np.array_split(np.random.default_rng(SEED).permutation(len(y)), 5):
        others = np.setdiff1d(np.arange(len(y)), fold)
        cubic[fold] = fit_cubic("facebook", X[others, 0], "vt", y[others]).predict(X[fold, 0])
        weights = np.linalg.lstsq(np.column_stack([X[others], np.ones(len(others))]), y[others], rcond=None)[0]
        line[fold] = np.column_stack([X[fold], np.ones(len(fold))]) @ weights
    assert made.study.boosted is not None
    predicted = {"cubic": cubic, "boosted trees": made.study.boosted.left_out, "least squares": line}
    return {name: rmse((values - made.true)[~made.out]) for name, values in predicted.items()}


def found(made: Made) -> tuple[float, float]:
    """Of the rows out of line the share among the disagreements of the trees, and of these the share out of line."""
    listed = {one.name for one in made.study.disagreements if one.model == "boosted trees"}
    out = {made.study.levels.domains.names[i] for i in np.flatnonzero(made.out)}
    return len(listed & out) / len(out), len(listed & out) / max(len(listed), 1)


def files(rows: int, seed: int) -> list[dict[str, float]]:
    """Files as three providers see them: VirusTotal follows the exchange where a rule fired, else it is anything."""
    random = np.random.default_rng([SEED, seed])
    made = []
    for _ in range(rows):
        exchange, rule = random.random(), float(random.random() < 0.5)
        vt = 0.8 * exchange + random.normal(0, 0.02) if rule else random.random()
        made.append({"virustotal": float(np.clip(vt, 0, 1)), "threatfox": exchange, "detections": rule})
        if random.random() < 0.2:
            del made[-1]["threatfox"]
    return made


def alarms(models: ProviderModels, rows: list[dict[str, float]]) -> float:
    """The share of files whose VirusTotal score is a disagreement."""
    asked = [(row["virustotal"], models.expect("virustotal", row)) for row in rows]
    return float(np.mean([abs(one.prediction - score) > one.threshold for score, one in asked if one]))


def inside(console: Console, rows: int) -> None:
    """Calibration of the models between providers, on new files."""
    began = time.perf_counter()
    models = fit_rows(files(rows, 0)).models
    took = time.perf_counter() - began
    new = files(rows, 1)
    exchanged = np.random.default_rng(SEED).permutation([row["virustotal"] for row in new])
    swapped = [{**row, "virustotal": float(vt)} for row, vt in zip(new, exchanged, strict=True)]
    sure = [one for one in swapped if one["detections"] and "threatfox" in one]
    console.print(f"Inside an analysis, {rows:,} files and three providers, fitted in {took:.1f} s:")
    console.print(f"  new files that are called a disagreement: {alarms(models, new):.2%}")
    console.print(f"  with another file's VirusTotal score: {alarms(models, swapped):.1%};"
                  f" of these where the others are sure: {alarms(models, sure):.1%}")  # fmt: skip


def cost(console: Console) -> None:
    """Microseconds for the scores of one analysis, beside its whole extraction."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = generate(Path(folder))
        reports = [json.loads(one.path.read_bytes()) for one in corpus.analyses if one.path.suffix == ".json"]
    known = [results for results in reports if len(joined_scores(threat_scores(results))) > 1]
    models = fit_rows([joined_scores(threat_scores(results)) for results in known]).models

    def median(work: Callable[[object], object]) -> float:
        times = []
        for results in known:
            began = time.perf_counter()
            work(results)
            times.append(time.perf_counter() - began)
        return float(np.median(times)) * 1e6

    console.print(
        f"Cost for a sample analysis, medians: reading its scores {median(threat_scores):.0f} us, "  # type: ignore[arg-type]
        f"that and what is said of them {median(lambda one: threat_finding(threat_scores(one), models)):.0f} us, "  # type: ignore[arg-type]
        f"the whole extraction {median(lambda one: extract(report_from_results(one))):.0f} us"  # type: ignore[arg-type]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    table = Table(title=f"{options.rows:,} rows, mean of {options.seeds} seeds; noise {NOISE}")
    for column in ("relation", "cubic", "boosted trees", "least squares", "out of line: found", "of those listed"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as folder:
        for name, relation in RELATIONS.items():
            made = [make(relation, options.rows, seed, Path(folder)) for seed in range(options.seeds)]
            off = [errors(one) for one in made]
            hits = np.mean([found(one) for one in made], axis=0)
            means = [float(np.mean([one[model] for one in off])) for model in off[0]]
            table.add_row(name, *(f"{value:.4f}" for value in means), f"{hits[0]:.3f}", f"{hits[1]:.3f}")
    console = Console()
    console.print(table)
    inside(console, options.rows)
    cost(console)
    _, facebook, vt = PRINTED.T
    ours = fit_cubic("facebook", facebook, "vt", vt)
    console.print("The ten devices, RMSE of a prediction of vt:")
    console.print(
        f"  printed coefficients, wrong column (vt itself): {rmse(predict_cubic(PRINTED_CUBIC, vt) - vt):.4f}"
    )
    console.print(
        f"  printed coefficients, right column (facebook): {rmse(predict_cubic(PRINTED_CUBIC, facebook) - vt):.4f}"
    )
    console.print(f"  our cubic, right column: {ours.rmse:.4f}, each device left out: {ours.rmse_left_out:.4f}")
    console.print(f"  our coefficients: {', '.join(f'{c:.4f}' for c in ours.coefficients)}")


if __name__ == "__main__":
    main()
