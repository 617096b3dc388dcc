"""The section that others read: its schema is published with the package, and every status keeps to it."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from cuckoo_ml_plugin.finding.finding import AnomalyFinding, ClusterFinding, Finding, seed_section

SCHEMA = json.loads(files("cuckoo_ml_plugin.finding").joinpath("section.schema.json").read_text(encoding="utf-8"))


def scored() -> Finding:
    return Finding(
        "scored",
        model={"id": "m", "fitted_at": "2026-01-01T00:00:00Z", "analyses": 40, "clusters": 2},
        cluster=ClusterFinding(id="c17", name="zbot", size=4, probability=0.9, labels=[{"label": "zbot", "count": 3}]),
        anomaly=AnomalyFinding(score=0.2, outlier_score=0.1, anomalous=False, reasons=[]),
        counts={"api_calls": 3, "bad.key": 1, "$bad": 2, "endless": float("inf")},
    )


@pytest.mark.parametrize(
    "finding",
    [scored(), Finding("no_model", "none yet"), Finding("no_behaviour"), Finding("failed", "x" * 5000)],
    ids=lambda finding: finding.status,
)
def test_every_status_keeps_to_the_published_schema(finding: Finding) -> None:
    section = finding.section()
    jsonschema.validate(section, SCHEMA)
    json.dumps(section, allow_nan=False)


def test_the_schema_refuses_what_is_no_section() -> None:
    section = scored().section()
    section["cluster"]["probability"] = 1.5
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(section, SCHEMA)


def test_counts_that_a_database_would_refuse_are_left_out() -> None:
    assert scored().section()["counts"] == {"api_calls": 3}


def test_the_seed_finds_its_own_place_filled() -> None:
    assert seed_section(scored().section(), 1, 4) == {
        "clusterID": 17,
        "clusterProbability": 0.9,
        "outlierScore": 0.1,
        "min_samples": 1,
        "min_cluster_size": 4,
    }
    assert seed_section(Finding("no_behaviour").section(), 1, 4)["clusterID"] == -1
