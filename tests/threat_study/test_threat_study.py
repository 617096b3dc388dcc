"""The study of a table of threat scores: the tables that analysts have, and the results that they get."""

from __future__ import annotations

import csv
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.command import Done, cuckoo_ml
from support.missing_packages import Missing

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.threat_study.cubic import predict_cubic
from cuckoo_ml_plugin.threat_study.noisy_or import noisy_or
from cuckoo_ml_plugin.threat_study.result_tables import result_tables
from cuckoo_ml_plugin.threat_study.study import Study, study_file, study_json
from cuckoo_ml_plugin.threat_study.study_files import render_page

# The device table as the study printed it: device, apility, facebook, vt, score, and its prediction of vt.
PRINTED = """
DESKTOP-PIMD8C0   0.044395 0.215506 0.179662 0.439563  0.226247
LAPTOP-1I501C4U   0.044395 0.215506 0.179662 0.439563  0.226247
MalcomWare-PC     0.008183 0.110530 0.063514 0.182227  0.083974
abroad-android    0.132108 0.301480 0.075954 0.509542  0.101998
boundless-mac     0.031767 0.630564 0.403379 1.065711  0.386195
calcannea-cb      0.015724 0.550683 0.267896 0.834303  0.302352
calcannea-mac     0.019760 0.089339 0.228773 0.337871  0.271374
castle3b7c9f      0        0        0        0        -0.020209
daniel-chromebook 0.028562 0.022497 0.052564 0.103623  0.067491
dgmac             0.004100 0.083511 0.191341 0.278952  0.237675
"""
ROWS = [line.split() for line in PRINTED.strip().splitlines()]
NUMBERS = np.array([[float(cell) for cell in row[1:]] for row in ROWS])
PRINTED_CUBIC = (2.0119, -2.8013, 1.8101, -0.0202)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def ten_devices(tmp_path: Path) -> Path:
    return write(
        tmp_path / "devices.csv", "device,apility,facebook,vt,score,vt prediction", *(",".join(row) for row in ROWS)
    )


def run_study(folder: Path, *arguments: object) -> Done:
    return cuckoo_ml(folder / "home", "threat-scores", *arguments)


def study(folder: Path, *arguments: object) -> Any:
    done = run_study(folder, *arguments, "--json")
    assert done.code == 0, done.err
    return done.json


def rmse(predicted: Any, true: Any) -> float:
    return float(np.sqrt(np.mean((predicted - true) ** 2)))


# -- the ten devices of the study --------------------------------------------------------------------------------------
def test_the_printed_scores_are_reproduced(ten_devices: Path, tmp_path: Path) -> None:
    devices = {device["name"]: device for device in study(tmp_path, ten_devices)["levels"]["device"]}
    assert list(devices) == [row[0] for row in ROWS]
    for row in ROWS:
        assert devices[row[0]]["score"] == pytest.approx(float(row[4]), abs=1.1e-6), "printed with six digits"
        assert list(devices[row[0]]["providers"]) == ["apility", "facebook", "vt"]


def test_the_printed_predictions_come_from_the_wrong_column() -> None:
    _, facebook, vt, _, printed = NUMBERS.T
    wrong, right = predict_cubic(PRINTED_CUBIC, vt), predict_cubic(PRINTED_CUBIC, facebook)
    assert wrong == pytest.approx(printed, abs=1e-5), "coefficients are printed with four digits"
    assert round(rmse(wrong, vt), 4) == 0.0339
    assert round(rmse(right, vt), 4) == 0.1232


def test_our_cubic_is_fed_the_column_that_it_was_fitted_on(ten_devices: Path, tmp_path: Path) -> None:
    answer = study(tmp_path, ten_devices)
    ours = answer["cubics"]["device"][0]
    assert (ours["predictor"], ours["target"], ours["rows"]) == ("facebook", "vt", 10)
    assert [round(c, 4) for c in ours["coefficients"]] == [10.5560, -8.9701, 2.1038, 0.0219]
    assert round(ours["rmse"], 4) == 0.0502
    predicted = np.array([prediction["prediction"] for prediction in answer["predictions"]])
    assert rmse(predicted, NUMBERS[:, 2]) == pytest.approx(ours["rmse"]), "the same column in fit and prediction"
    assert ours["rmse_left_out"] > 0.1, "ten rows do not carry a cubic"
    names = {disagreement["name"] for disagreement in answer["disagreements"]}
    assert names == {"MalcomWare-PC", "calcannea-mac", "abroad-android", "dgmac"}


def test_the_error_with_each_row_left_out_equals_that_of_n_fits(ten_devices: Path, tmp_path: Path) -> None:
    _, facebook, vt, _, _ = NUMBERS.T
    predicted = []
    for i in range(len(vt)):
        others = np.arange(len(vt)) != i
        predicted.append(np.polyval(np.polyfit(facebook[others], vt[others], 3), facebook[i]))
    ours = study(tmp_path, ten_devices)["cubics"]["device"][0]["rmse_left_out"]
    assert ours == pytest.approx(rmse(np.array(predicted), vt), rel=1e-6)


def test_correlations_with_their_intervals(ten_devices: Path, tmp_path: Path) -> None:
    from scipy.stats import pearsonr, spearmanr

    pairs = {(pair["first"], pair["second"]): pair for pair in study(tmp_path, ten_devices)["correlations"]["device"]}
    assert len(pairs) == 3
    _, facebook, vt, _, _ = NUMBERS.T
    expected = pearsonr(facebook, vt)
    pair = pairs["facebook", "vt"]
    assert pair["pearson"]["value"] == pytest.approx(expected.statistic)
    assert (pair["pearson"]["low"], pair["pearson"]["high"]) == pytest.approx(expected.confidence_interval())
    assert pair["spearman"]["value"] == pytest.approx(spearmanr(facebook, vt).statistic)
    assert pair["spearman"]["low"] < pair["spearman"]["value"] < pair["spearman"]["high"]


# -- a table of domains ------------------------------------------------------------------------------------------------
def test_answers_are_joined_per_provider_and_domains_per_device(tmp_path: Path) -> None:
    file = write(
        tmp_path / "domains.csv",
        "device,domain,count,facebook.malware,facebook.phishing,vt.urls",
        "laptop,a.example,3,0.5,0.5,0.1",
        "laptop,b.example,1,0.2,0,",
        "phone,a.example,9,0.5,0.5,0.1",
    )
    levels = study(tmp_path, file)["levels"]
    assert levels["domain"][0] == {
        "name": "a.example",
        "count": 12.0,
        "parts": 2.0,
        "providers": {"facebook": 0.75, "vt": pytest.approx(0.1)},
        "score": pytest.approx(0.85),
        "joint": pytest.approx(1 - 0.25 * 0.9),
    }
    laptop, phone = levels["device"]
    assert laptop["providers"] == {"facebook": pytest.approx(1 - 0.25 * 0.8), "vt": pytest.approx(0.1)}
    assert (laptop["parts"], laptop["count"], phone["parts"]) == (2, 4, 1)
    assert laptop["mean"] == {"facebook": pytest.approx((0.75 + 0.2) / 2), "vt": pytest.approx(0.1)}
    assert laptop["highest"] == {"facebook": 0.75, "vt": pytest.approx(0.1)}


def test_devices_of_many_domains_are_told_apart_by_the_mean_and_a_note_says_why(tmp_path: Path) -> None:
    lines = [f"{device},{device}{i}.example,{p}" for device, p in (("calm", 0.1), ("bad", 0.6)) for i in range(50)]
    file = write(tmp_path / "domains.csv", "device,domain,vt", *lines)
    done = run_study(tmp_path, file, "--output", tmp_path / "out")
    assert "For 2 of 2 devices, the joined score of vt is close to 1 by the number of domains" in done.out
    with (tmp_path / "out" / "devices.csv").open(encoding="utf-8") as rows:
        devices = {row["device"]: row for row in csv.DictReader(rows)}
    assert {name: round(float(row["vt"]), 1) for name, row in devices.items()} == {"calm": 1.0, "bad": 1.0}
    assert {name: round(float(row["vt mean"]), 1) for name, row in devices.items()} == {"calm": 0.1, "bad": 0.6}
    assert {name: round(float(row["vt highest"]), 1) for name, row in devices.items()} == {"calm": 0.1, "bad": 0.6}
    again = study(tmp_path, tmp_path / "out" / "devices.csv", "--leave-out", "domains")
    assert list(again["levels"]["device"][0]["providers"]) == ["vt"], "the study's own columns are no providers"


@given(st.lists(st.lists(st.none() | st.floats(0, 1), min_size=2, max_size=2), min_size=1, max_size=6))
def test_noisy_or_is_the_complement_of_the_product(rows: list[list[float | None]]) -> None:
    scores = np.array(rows, float)
    for row, joined in zip(rows, noisy_or(scores), strict=True):
        scores_of_row = [p for p in row if p is not None]
        if scores_of_row:
            assert joined == pytest.approx(1 - np.prod([1 - p for p in scores_of_row]))
            assert max(scores_of_row) - 1e-12 <= joined <= 1
        else:
            assert np.isnan(joined)


def known_relations(path: Path, rows: int = 600) -> Path:
    """A table in which vt is a known cubic of facebook, apility is noise, and five rows are outliers."""
    random = np.random.default_rng(5)
    facebook, apility = random.beta(1, 2, rows), random.beta(1, 8, rows)
    vt = np.clip(predict_cubic((2.0, -2.8, 1.8, 0.0), facebook) + random.normal(0, 0.005, rows), 0, 1)
    vt[:5] = np.where(vt[:5] > 0.4, 0.0, 0.9)
    lines = (f"d{i}.example,{facebook[i]:.6f},{apility[i]:.6f},{vt[i]:.6f}" for i in range(rows))
    return write(path, "domain,facebook.all,apility.all,vt.all", *lines)


def test_known_relations_and_outliers_are_found(tmp_path: Path) -> None:
    answer = study(tmp_path, known_relations(tmp_path / "known.csv"))
    cubic = answer["cubics"]["domain"][0]
    assert cubic["predictor"] == "facebook"
    grid = np.linspace(0, 0.9, 50)
    recovered = predict_cubic(cubic["coefficients"], grid)
    assert np.abs(recovered - predict_cubic((2.0, -2.8, 1.8, 0.0), grid)).max() < 0.06
    boosted = answer["boosted"]
    errors = {(error["model"], error["part"]): error for error in boosted["errors"]}
    assert sum(error["rows"] for error in boosted["errors"][:3]) == 600
    trees, linear = errors["boosted trees", "test"], errors["least squares", "test"]
    assert trees["mean_absolute"] < 0.7 * linear["mean_absolute"], "the outliers dominate the root mean square"
    assert boosted["importance"][0]["column"] == "facebook.all"
    assert boosted["trees"] == int(np.argmin(boosted["validation_curve"])) + 1
    assert {f"d{i}.example" for i in range(5)} <= {
        disagreement["name"] for disagreement in answer["disagreements"][:12]
    }


def test_columns_without_information_do_not_stop_the_study(tmp_path: Path) -> None:
    lines = (f"d{i}.example,{i % 7 / 7},{i % 5 / 5},0.5,{0.3 if i == 17 else ''}" for i in range(80))
    file = write(tmp_path / "table.csv", "domain,vt.a,fb.a,fb.same,ap.rare", *lines)
    assert len(study(tmp_path, file)["boosted"]["importance"]) == 3


def test_the_same_table_gives_the_same_study(tmp_path: Path) -> None:
    file = known_relations(tmp_path / "known.csv", rows=120)
    assert study(tmp_path, file) == study(tmp_path, file)


def test_parquet_gives_the_same_study_as_csv(tmp_path: Path) -> None:
    file = known_relations(tmp_path / "known.csv", rows=60)
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    columns = {name: [row[name] if name == "domain" else float(row[name]) for row in rows] for name in rows[0]} | {
        "__index_level_0__": list(range(60)),
        "tags": [["list"]] * 60,
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "known.parquet")
    from_parquet, from_csv = study(tmp_path, tmp_path / "known.parquet"), study(tmp_path, file)
    assert from_parquet.pop("source") != from_csv.pop("source")
    assert from_parquet == from_csv


def test_any_provider_can_be_the_target(ten_devices: Path, tmp_path: Path) -> None:
    answer = study(tmp_path, ten_devices, "--target", "facebook", "--predictor", "apility", "--threshold", "0.2")
    assert answer["target"] == "facebook"
    assert answer["cubics"]["device"][0]["predictor"] == "apility"
    assert all(abs(disagreement["off"]) > 0.2 for disagreement in answer["disagreements"])


# -- files and output --------------------------------------------------------------------------------------------------
def test_a_folder_with_tables_plots_and_one_page(tmp_path: Path) -> None:
    file = known_relations(tmp_path / "known.csv", rows=250)
    done = run_study(tmp_path, file, "--output", tmp_path / "out")
    assert done.code == 0, done.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"domains.csv", "disagreements.csv", "correlations_domains.csv", "cubics.csv", "errors.csv"} <= names
    assert {"predictions_domains.csv", "importance.csv", "validation_curve.csv", "study.json"} <= names
    assert {"cubic_domains.png", "validation_curve.png", "importance.png", "correlations_domains.png"} <= names
    page = (tmp_path / "out" / "threat-scores.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == sum(name.endswith(".png") for name in names)
    assert not re.search(r"<script|https?://|<link", page)
    with (tmp_path / "out" / "domains.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 250
    assert float(rows[0]["score"]) >= float(rows[-1]["score"]), "the highest first"
    assert json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))["source"] == "known.csv"
    assert "Disagreements: vt and its prediction" in done.out
    assert "vt = " in done.out


def test_without_pyarrow_the_error_for_a_parquet_table_names_it(
    ten_devices: Path, tmp_path: Path, missing: Missing
) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"vt": [0.5]}), ten_devices)
    missing("pyarrow")
    done = run_study(tmp_path, ten_devices, "--output", tmp_path / "out")
    assert done.code == 1
    assert f"{sys.executable} -m pip install 'pyarrow>=" in done.err


def test_without_matplotlib_the_tables_and_the_page_are_written(
    ten_devices: Path, tmp_path: Path, missing: Missing
) -> None:
    missing("matplotlib")
    done = run_study(tmp_path, ten_devices, "--output", tmp_path / "out")
    assert done.code == 0
    assert f"{sys.executable} -m pip install 'matplotlib>=" in done.err
    names = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert names == {".csv", ".json", ".html"}
    assert "data:image/png" not in (tmp_path / "out" / "threat-scores.html").read_text()


def test_the_command_line_starts_without_what_only_the_study_needs() -> None:
    program = (
        "import sys, cuckoo_ml_plugin.cli; print({'pyarrow', 'matplotlib', 'jinja2', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- invalid tables ----------------------------------------------------------------------------------------------------
INVALID = {
    "outside": (("domain,vt.a", "x,0.5", "y,45"), (), "line 3, column vt.a: 45 lies outside [0, 1]"),
    "negative": (("domain,vt.a", "x,-0.1"), (), "-0.1 lies outside"),
    "infinite": (("domain,vt.a", "x,inf"), (), "inf lies outside"),
    "a negative count": (("domain,vt.a,count", "x,0.5,-5"), (), "column count holds -5"),
    "an infinite count": (("domain,vt.a,count", "x,0.5,1e400"), (), "column count holds inf"),
    "percent above 100": (("domain,vt.a", "x,150%"), (), "1.5 lies outside"),
    "percentages above 100": (("domain,vt.a", "x,45", "y,145"), ("--percent", "vt"), "145 lies outside 0 to 100 %"),
    "a text among numbers": (("domain,vt.a", "x,0.5", "y,bad"), (), "line 3, column vt.a: 'bad' is not a score"),
    "no scores": (("domain,device", "x,y"), (), "no column of scores"),
    "no rows": (("domain,vt.a",), (), "a header, but no row"),
    "empty": ((), (), "is empty"),
    "two of a name": (("vt,vt", "0.1,0.2"), (), "two columns 'vt'"),
    "too many cells": (("domain,vt", "x,0.5,0.7"), (), "line 2 has 3 cells, the header 2"),
    "unknown target": (("domain,vt,fb", "x,0.5,0.1"), ("--target", "fbi"), "no provider 'fbi' for --target"),
    "unknown predictor": (("domain,vt,fb", "x,0.5,0.1"), ("--predictor", "vt"), "choose from fb"),
    "unknown column": (("domain,vt", "x,0.5"), ("--device", "host"), "no column 'host' for --device"),
    "unknown to leave out": (("domain,vt", "x,0.5"), ("--leave-out", "fb"), "for --leave-out"),
}


@pytest.mark.parametrize("what", INVALID)
def test_an_error_is_one_sentence_that_names_the_fault(what: str, tmp_path: Path) -> None:
    lines, arguments, expected = INVALID[what]
    done = run_study(tmp_path, write(tmp_path / "table.csv", *lines), *arguments, "--json")
    assert done.code == 1
    assert expected in done.err
    assert "table.csv" in done.err
    assert "Traceback" not in done.err
    assert done.err.strip().endswith(".")


def test_a_pickle_is_refused_unread_with_the_recipe(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    for name in ("table.pkl", "table.csv"):
        (tmp_path / name).write_bytes(pickle.dumps(Attack()))
        done = run_study(tmp_path, tmp_path / name)
        assert done.code == 1
        assert "to_parquet" in done.err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [b"PAR1 but no more", b"PAR1" + b"\0" * 200 + b"PAR1", "a,b".encode("utf-16"), b"\0\1\2"]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    done = run_study(tmp_path, tmp_path / "table.csv")
    assert done.code == 1
    assert "Parquet" in done.err


def test_percentages_decimal_commas_and_missing_scores(tmp_path: Path) -> None:
    file = write(tmp_path / "table.csv", "Domain;vt.a;vt.b;fb", "x;45 %;20;0,25", "y;n/a;;-", "z;0,5;100;NULL")
    names = {
        domain["name"]: domain["providers"] for domain in study(tmp_path, file, "--percent", "vt.b")["levels"]["domain"]
    }
    assert names == {"x": {"vt": pytest.approx(1 - 0.55 * 0.8)}, "y": {"vt": None}, "z": {"vt": 1.0}}
    plain = write(tmp_path / "plain.csv", "domain;vt;fb", "x;45 %;0,25", "y;n/a;-")
    assert study(tmp_path, plain)["levels"]["domain"][0]["providers"] == pytest.approx({"vt": 0.45, "fb": 0.25})


def test_values_outside_can_be_clipped_and_columns_left_out(tmp_path: Path) -> None:
    file = write(tmp_path / "table.csv", "domain,vt.a,vt.hits,fb.a", "x,1.5,77,-1", "y,0.5,0,0.5")
    (first, _) = study(tmp_path, file, "--clip", "--leave-out", "vt.hits")["levels"]["domain"]
    assert first["providers"] == {"vt": 1.0, "fb": 0.0}


LIMITED = {
    "one row": (("device,vt,fb", "a,0.5,0.2"), "There is one device only"),
    "one provider": (("domain,vt.a", "x,0.5", "y,0.6"), "vt is the only provider"),
    "constant target": (("domain,vt,fb", "x,0.3,0.1", "y,0.3,0.2", "z,0.3,0.4"), "vt is 0.3 for every domain"),
    "all zero": (("domain,vt,fb", "x,0.3,0", "y,0.2,0", "z,0.1,0", "w,0.5,0"), "fb is 0 in every row"),
    "a missing provider": (("domain,vt,fb", "x,0.3,", "y,0.2,", "z,0.1,"), "fb has no score in any row"),
    "partly missing": (("domain,vt,fb", "x,0.3,", "y,0.2,0.1"), "fb has no score for 1 of 2 domains"),
    "a target without scores": (("domain,vt,fb", "x,,0.1", "y,,0.2"), "vt has no score in any row"),
    "repeated rows": (("domain,device,vt", "x,a,0.3", "x,a,0.3", "y,a,0.2"), "1 of 3 rows repeat another one"),
    "repeated rows without domains": (("device,vt", "a,0.3", "a,0.3", "a,0.4"), "1 of 3 rows repeat another one"),
    "different scores elsewhere": (("domain,device,vt", "x,a,0.3", "x,b,0.4"), "Some domains have different scores"),
    "texts beside scores": (("domain,vt.a,vt.link", "x,0.5,see", "y,0.2,there"), "Column vt.link holds no numbers"),
    "few different scores": (("domain,vt,fb", *(f"{i},0.{i},0.{i % 2}" for i in range(1, 8))), "there are 2"),
}


@pytest.mark.parametrize("what", LIMITED)
def test_what_a_table_cannot_show_is_noted(what: str, tmp_path: Path) -> None:
    lines, expected = LIMITED[what]
    done = run_study(tmp_path, write(tmp_path / "table.csv", *lines), "--output", tmp_path / "out")
    assert done.code == 0, done.err
    assert expected in done.out
    assert expected in (tmp_path / "out" / "threat-scores.html").read_text(encoding="utf-8")


def test_a_repeated_row_counts_once(tmp_path: Path) -> None:
    file = write(tmp_path / "table.csv", "domain,device,count,vt", "x,a,1,0.5", "x,a,2,0.5", "x,a,2,0.4")
    (device,) = study(tmp_path, file)["levels"]["device"]
    assert (device["providers"]["vt"], device["count"], device["parts"]) == (0.5, 5, 1)


def test_rows_without_names_are_not_joined(tmp_path: Path) -> None:
    rows = study(tmp_path, write(tmp_path / "table.csv", "vt,fb", "0.5,0.1", "0.5,0.1"))["levels"]["row"]
    assert [row["name"] for row in rows] == ["row 1", "row 2"]


# -- hostile tables ----------------------------------------------------------------------------------------------------
HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    "=cmd|'/c calc'!A1",
    "$\\frac{$",
    "{{ 7*7 }}",
    "\x1b[31mred",
    "\u202egnp.exe",
    "\u4e2d\u6587",
    "a" * 3000,
]


def test_names_from_a_table_are_text_everywhere(tmp_path: Path) -> None:
    header = ["device", "domain", "<b>fb</b>.$x$", "vt.{{ config }}"]
    random = np.random.default_rng(1)
    with (tmp_path / "hostile.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for i in range(64):
            name = HOSTILE_NAMES[i % len(HOSTILE_NAMES)]
            writer.writerow(
                [name, f"{name}{i // len(HOSTILE_NAMES)}", round(random.random(), 3), round(random.random(), 3)]
            )
    done = run_study(tmp_path, tmp_path / "hostile.csv", "--output", tmp_path / "out")
    assert done.code == 0, done.err
    page = (tmp_path / "out" / "threat-scores.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>fb" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    assert "\x1b" not in page + done.out
    assert "\u202e" not in page + done.out
    with (tmp_path / "out" / "devices.csv").open(encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert "'=cmd|'/c calc'!A1" in cells, "a spreadsheet must not see a formula"


def study_or_sentence(file: Path) -> Study | None:
    """The study; None for a CuckooMLError that names the file. Any other error fails the test."""
    try:
        return study_file(file)
    except CuckooMLError as error:
        if file.name not in str(error):
            raise AssertionError("the file is not named") from error
        return None


CELLS = st.one_of(
    st.floats(0, 1).map(str), st.sampled_from(["", "0", "1", "nan", "55%", "1e-9", "n/a"]), st.text(max_size=12)
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    header=st.lists(
        st.sampled_from(["device", "domain", "count", "vt", "vt.a", "fb.b", "fb.c", "", "score", "a.b.c"])
        | st.text(max_size=8),
        min_size=1,
        max_size=6,
    ),
    rows=st.lists(st.lists(CELLS, max_size=6), max_size=12),
)
def test_any_table_gives_a_study_or_one_sentence(header: list[str], rows: list[list[str]], tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    with file.open("w", encoding="utf-8", errors="replace", newline="") as lines:
        csv.writer(lines).writerows([header, *rows])
    result = study_or_sentence(file)
    if not result:
        return
    json.dumps(study_json(result), allow_nan=False)
    assert "<script" not in render_page(result, result_tables(result), [])
    for level in result.all_levels:
        assert len(level.names) == len(level.joined) <= len(rows)
        assert ((level.joint >= 0) & (level.joint <= 1)).all()


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), position=st.integers(0, 2000))
def test_a_damaged_parquet_file_gives_one_sentence(content: bytes, position: int, tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    table = pyarrow.table({"domain": [f"d{i}" for i in range(60)], "vt": [i / 60 for i in range(60)]})
    pyarrow.parquet.write_table(table, file)
    whole = file.read_bytes()
    position %= len(whole)
    file.write_bytes(whole[:position] + content + whole[position + len(content) :])
    study_or_sentence(file)
