"""Known relations between providers, recovered by the study's models and by plain least squares in the same run.

    python -m benchmarks.quality.threat_scores [--rows 5000] [--seeds 3]

Three generated tables of scores have a known relation, noise of 0.01, and one outlier row in a hundred, shifted by 0.2
to 0.5. Errors are measured against the relation without noise, on rows that a model has not seen: 0 is perfect. Recall
and precision are those of the outlier rows among the disagreements above 0.05.

Then the models inside an analysis: the share of new files that are called a disagreement by chance (1 % is promised),
the share of files with another file's VirusTotal score that are detected, the joint scores of the demo's files with and
without the sandbox's own detections, and the time of extraction and scoring. Last, the ten devices published with the
study, predicted from the right and from the wrong column.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.fit.providers import fit_rows
from cuckoo_ml_plugin.model.providers import ProviderModels, joined_scores, threat_finding
from cuckoo_ml_plugin.report.report import report_from_results
from cuckoo_ml_plugin.report.threat_scores import EXCHANGE, origin_of, threat_scores
from cuckoo_ml_plugin.settings import SEED
from cuckoo_ml_plugin.threat_study.cubic import fit_cubic, predict_cubic
from cuckoo_ml_plugin.threat_study.study import Study, study_file
from cuckoo_ml_samples import generate

Floats = NDArray[np.float64]
NOISE = 0.01
OUTLIER_SHARE = 0.01
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
class Generated:
    """A generated table with its truth and its study."""

    study: Study
    true: Floats  # the relation without noise
    outliers: NDArray[np.bool_]


def generate_table(relation: Callable[[Floats, Floats], Floats], rows: int, seed: int, folder: Path) -> Generated:
    """Write a table of ``rows`` domains whose ``vt`` follows the relation, and study it."""
    random = np.random.default_rng([SEED, seed])
    facebook, apility = random.beta(0.8, 1.6, rows), random.beta(0.8, 2.5, rows)
    true = relation(facebook, apility)
    vt = true + random.normal(0, NOISE, rows)
    outliers = random.random(rows) < OUTLIER_SHARE
    vt[outliers] += random.uniform(0.2, 0.5, outliers.sum()) * np.where(true[outliers] > 0.5, -1, 1)
    vt = np.clip(vt, 0, 1)
    file = folder / "table.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["domain", "facebook.all", "apility.all", "vt.all"])
        for i in range(rows):
            writer.writerow([f"d{i}.example", f"{facebook[i]:.6f}", f"{apility[i]:.6f}", f"{vt[i]:.6f}"])
    return Generated(study_file(file), true, outliers)


def rmse(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def model_errors(table: Generated) -> dict[str, float]:
    """The RMSE of each model against the relation, in five folds. Outlier rows are fitted but not counted."""
    level = table.study.levels.domains
    X, y = level.joined[:, [0, 1]], level.joined[:, 2]
    cubic, line = np.empty(len(y)), np.empty(len(y))
    for fold in np.array_split(np.random.default_rng(SEED).permutation(len(y)), 5):
        others = np.setdiff1d(np.arange(len(y)), fold)
        cubic[fold] = fit_cubic("facebook", X[others, 0], "vt", y[others]).predict(X[fold, 0])
        weights = np.linalg.lstsq(np.column_stack([X[others], np.ones(len(others))]), y[others], rcond=None)[0]
        line[fold] = np.column_stack([X[fold], np.ones(len(fold))]) @ weights
    assert table.study.boosted is not None
    predicted = {"cubic": cubic, "boosted trees": table.study.boosted.left_out, "least squares": line}
    return {name: rmse((values - table.true)[~table.outliers]) for name, values in predicted.items()}


def recall_and_precision(table: Generated) -> tuple[float, float]:
    """Recall and precision of the outlier rows among the disagreements of the boosted trees."""
    reported = {row.name for row in table.study.disagreements if row.model == "boosted trees"}
    outliers = {table.study.levels.domains.names[i] for i in np.flatnonzero(table.outliers)}
    return len(reported & outliers) / len(outliers), len(reported & outliers) / max(len(reported), 1)


def generate_files(rows: int, seed: int) -> list[dict[str, float]]:
    """Scores of files by three providers: VirusTotal follows the exchange if a rule has matched, else it is random."""
    random = np.random.default_rng([SEED, seed])
    scores = []
    for _ in range(rows):
        exchange, rule = random.random(), float(random.random() < 0.5)
        vt = 0.8 * exchange + random.normal(0, 0.02) if rule else random.random()
        scores.append({"virustotal": float(np.clip(vt, 0, 1)), "threatfox": exchange, "detections": rule})
        if random.random() < 0.2:
            del scores[-1]["threatfox"]
    return scores


def disagreement_share(models: ProviderModels, rows: list[dict[str, float]]) -> float:
    """The share of files whose VirusTotal score is a disagreement."""
    expectations = [(row["virustotal"], models.expect("virustotal", row)) for row in rows]
    return float(
        np.mean(
            [
                abs(expectation.prediction - score) > expectation.threshold
                for score, expectation in expectations
                if expectation
            ]
        )
    )


def print_calibration(console: Console, rows: int) -> None:
    """Print how the models of the providers judge new files."""
    start = time.perf_counter()
    models = fit_rows(generate_files(rows, 0)).models
    seconds = time.perf_counter() - start
    new = generate_files(rows, 1)
    shuffled = np.random.default_rng(SEED).permutation([row["virustotal"] for row in new])
    swapped = [{**row, "virustotal": float(vt)} for row, vt in zip(new, shuffled, strict=True)]
    determined = [row for row in swapped if row["detections"] and "threatfox" in row]
    console.print(f"Inside an analysis, {rows:,} files and three providers, fitted in {seconds:.1f} s:")
    console.print(f"  new files that are called a disagreement: {disagreement_share(models, new):.2%}")
    detected, detected_if_determined = disagreement_share(models, swapped), disagreement_share(models, determined)
    console.print(f"  files with another file's VirusTotal score that are detected: {detected:.1%};"
                  f" where the other providers determine it: {detected_if_determined:.1%}")  # fmt: skip


def demo_reports() -> list[dict[str, Any]]:
    """The reports of the demo."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = generate(Path(folder))
        return [json.loads(a.path.read_bytes()) for a in corpus.analyses if a.path.suffix == ".json"]


def print_joint(console: Console, reports: list[dict[str, Any]]) -> None:
    """Print how many joint scores are 1.00, of the exchanges alone and with the sandbox's own detections."""
    alone, together = [], []
    for results in reports:
        joined = joined_scores(threat_scores(results))
        exchanges = [score for name, score in joined.items() if origin_of(name) == EXCHANGE]
        if exchanges and "detections" in joined:
            alone.append(1 - np.prod([1 - score for score in exchanges]))
            together.append(1 - (1 - alone[-1]) * (1 - joined["detections"]))
    ones = [float(np.mean(np.array(scores) >= 0.995)) for scores in (alone, together)]
    console.print(f"{len(alone):,} files of the demo with exchanges and detections, joint score 1.00: of the exchanges"
                  f" {ones[0]:.0%}, with the detections {ones[1]:.0%}")  # fmt: skip


def print_cost(console: Console, reports: list[dict[str, Any]]) -> None:
    """Print the microseconds for the scores of an analysis, and for its whole extraction."""
    scored = [results for results in reports if len(joined_scores(threat_scores(results))) > 1]
    models = fit_rows([joined_scores(threat_scores(results)) for results in scored]).models

    def median(work: Callable[[dict[str, Any]], object]) -> float:
        times = []
        for results in scored:
            start = time.perf_counter()
            work(results)
            times.append(time.perf_counter() - start)
        return float(np.median(times)) * 1e6

    reading = median(threat_scores)
    comparing = median(lambda results: threat_finding(threat_scores(results), models))
    extraction = median(lambda results: extract(report_from_results(results)))
    console.print(
        f"Times for a sample analysis, medians: reading its scores {reading:.0f} us, reading, predicting and comparing "
        f"them {comparing:.0f} us, the whole extraction {extraction:.0f} us"
    )


def main() -> None:
    """Print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    table = Table(title=f"{options.rows:,} rows, mean of {options.seeds} seeds; noise {NOISE}")
    for column in ("relation", "cubic", "boosted trees", "least squares", "recall", "precision"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as folder:
        for name, relation in RELATIONS.items():
            tables = [generate_table(relation, options.rows, seed, Path(folder)) for seed in range(options.seeds)]
            errors = [model_errors(generated) for generated in tables]
            recall, precision = np.mean([recall_and_precision(generated) for generated in tables], axis=0)
            means = [float(np.mean([by_model[model] for by_model in errors])) for model in errors[0]]
            table.add_row(name, *(f"{value:.4f}" for value in means), f"{recall:.3f}", f"{precision:.3f}")
    console = Console()
    console.print(table)
    print_calibration(console, options.rows)
    reports = demo_reports()
    print_joint(console, reports)
    print_cost(console, reports)
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
