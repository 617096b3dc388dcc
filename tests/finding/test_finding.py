"""The section that others read: it has one definition, a published schema, and readers for older and newer versions."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.finding import section as section_module
from cuckoo_ml_plugin.finding.section import (
    AnomalyFinding,
    ClusterFinding,
    Disagreement,
    Evidence,
    Finding,
    IndicatorFinding,
    KinFinding,
    LabelCount,
    ModelFacts,
    ProviderFinding,
    Reason,
    SimilarAnalysis,
    ThreatFinding,
    Verdict,
    failed_section,
    json_schema,
    read_section,
)
from cuckoo_ml_plugin.finding.seed import seed_section

PUBLISHED = Path(section_module.__file__).with_name("section.schema.json")
FIELDS = [
    "schema", "status", "message", "verdict", "model", "cluster", "kin", "anomaly", "similar", "evidence", "behash",
    "threat_scores", "counts",
]  # fmt: skip


SIMILAR = [
    "analysis", "sha256", "similarity", "cluster", "label", "same_file", "date", "name", "runs", "cluster_name",
]  # fmt: skip


def scored() -> Finding:
    """A finding in which no part is missing."""
    return Finding(
        status="scored",
        verdict=Verdict(kind="variant", text="A variant of cluster zbot (c17)."),
        model=ModelFacts(id="m", fitted_at="2026-01-01T00:00:00Z", analyses=40, clusters=2),
        cluster=ClusterFinding(
            id="c17", name="zbot", size=4, probability=0.9, labels=[LabelCount(label="zbot", count=3)]
        ),
        kin=KinFinding(id="k3", name="zbot", size=9, probability=0.75, labels=[LabelCount(label="zbot", count=5)]),
        anomaly=AnomalyFinding(
            score=0.2,
            outlier_score=0.1,
            anomalous=False,
            reasons=[Reason(kind="abnormal_count_outlier", text="Mutexes: 6.", value=6)],
        ),
        similar=[SimilarAnalysis(analysis="7", similarity=1.0), SimilarAnalysis(
            analysis="8", sha256="ab" * 32, similarity=0.5, cluster="c17", label="zbot")],
        evidence=[Evidence(kind="mutex", value="a", in_cluster=0.5, in_corpus=0.1)],
        behash=f"1:{'Ab-_' * 42}Abc",
        threat_scores=ThreatFinding(
            providers=[
                ProviderFinding(
                    provider="virustotal",
                    score=0.1,
                    indicators=1,
                    highest=[IndicatorFinding(kind="file", indicator="ab" * 32, score=0.1)],
                    prediction=0.9,
                    threshold=0.2,
                ),
                ProviderFinding(provider="threatfox", score=0.9),
            ],
            joint=0.91,
            disagreements=[
                Disagreement(provider="virustotal", score=0.1, prediction=0.9, threshold=0.2, text="...")
            ],
        ),
        counts={"api_calls": 3, "share": 0.5, "bad.key": 1, "$bad": 2, "endless": float("inf")},
    )  # fmt: skip


FINDINGS = [
    scored(),
    Finding(status="no_model", message="none yet", verdict=Verdict(kind="too_few", text="Too little is known yet.")),
    Finding(status="no_behaviour", verdict=Verdict(kind="not_run", text="The sample was not run.")),
    Finding(status="failed", message="x" * 5000),
]


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.status)
def test_every_status_keeps_to_the_published_schema(finding: Finding) -> None:
    section = finding.section()
    jsonschema.validate(section, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    assert list(section) == FIELDS
    json.dumps(section, allow_nan=False)


def test_the_published_schema_is_the_generated_one() -> None:
    command = [sys.executable, "-m", "cuckoo_ml_plugin.finding.section"]
    generated = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert PUBLISHED.read_text(encoding="utf-8") == generated, (
        "a field has changed: run python -m cuckoo_ml_plugin.finding.section"
        " > cuckoo_ml_plugin/finding/section.schema.json"
    )


def test_a_section_is_plain_json_in_the_order_of_the_fields() -> None:
    section = scored().section()
    assert json.loads(json.dumps(section)) == section
    assert list(section["similar"][0]) == SIMILAR
    assert section["similar"][0] == {
        "analysis": "7", "sha256": None, "similarity": 1.0, "cluster": None, "label": None, "same_file": False,
        "date": None, "name": None, "runs": None, "cluster_name": None,
    }  # fmt: skip
    value = section["anomaly"]["reasons"][0]["value"]
    assert (value, type(value)) == (6, int), "numbers are written as they were counted"


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of each value inside a section."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def value_at(section: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        section = section[key]
    return section


def test_the_schema_requires_every_field_and_allows_no_other() -> None:
    schema = jsonschema.Draft202012Validator(json_schema())
    section = scored().section()
    objects = [path for path in places(section) if isinstance(value_at(section, path), dict) and path != ("counts",)]
    assert len(objects) == 17
    for path in objects:
        for name in value_at(section, path):
            damaged = copy.deepcopy(section)
            del value_at(damaged, path)[name]
            assert not schema.is_valid(damaged), (path, name)
        damaged = copy.deepcopy(section)
        value_at(damaged, path)["unheard_of"] = 1
        assert not schema.is_valid(damaged), path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 1), ("status", "unsure"), ("message", "x" * 1001), ("message", None),
        ("model.analyses", -1), ("model.clusters", 0.5), ("cluster.id", "17"), ("cluster.size", 0),
        ("cluster.probability", 1.5), ("cluster.labels", [{"label": "a", "count": 1}] * 21),
        ("cluster.labels.0.count", 0), ("kin.id", "c3"), ("kin.probability", -0.1), ("kin.size", 0),
        ("anomaly.score", -0.1), ("anomaly.outlier_score", "0.5"),
        ("anomaly.anomalous", 1), ("anomaly.reasons.0.value", None), ("similar.0.similarity", 2),
        ("similar.0.sha256", "AB" * 32), ("similar.0.cluster", 1), ("evidence.0.in_cluster", 1.01),
        ("evidence.0.in_corpus", None), ("evidence.0.role", "old"), ("verdict", None), ("verdict.kind", "sure"),
        ("verdict.text", ""), ("verdict.text", "x" * 1001),
        ("threat_scores.joint", 2), ("threat_scores.providers.0.score", -1),
        ("threat_scores.providers.0.indicators", -1), ("threat_scores.providers.0.prediction", 1.1),
        ("threat_scores.providers.0.threshold", "any"), ("threat_scores.providers.0.highest.0.kind", "mail"),
        ("threat_scores.providers.0.highest", [{"kind": "ip", "indicator": "x", "score": 1}] * 6),
        ("threat_scores.disagreements.0.prediction", None), ("counts", {"a.b": 1}), ("counts", {"$a": 1}),
        ("counts", {"a": "1"}), ("similar", None), ("evidence", {}),
        ("behash", ""), ("behash", "1:a b"), ("behash", "Abcd"),
    ],
)  # fmt: skip
def test_the_schema_refuses_values_out_of_range(path: str, value: Any) -> None:
    section = scored().section()
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    value_at(section, tuple(parents))[last] = value
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(section)


def test_counts_that_a_database_would_refuse_are_left_out() -> None:
    assert scored().section()["counts"] == {"api_calls": 3, "share": 0.5}


def test_what_is_written_is_read_back() -> None:
    finding = scored()
    finding.counts = {"api_calls": 3, "share": 0.5}
    assert read_section(finding.section()) == finding
    assert read_section(json.dumps(finding.section())) == finding


def test_a_failed_section_has_every_field() -> None:
    section = failed_section("The disk is full.")
    jsonschema.validate(section, json_schema())
    assert (section["status"], section["message"]) == ("failed", "The disk is full.")


def test_sections_of_older_and_newer_versions_are_read() -> None:
    older = read_section({"schema": 1, "status": "failed", "message": "no", "cluster": None})  # without kin
    assert older == Finding(schema=1, status="failed", message="no")
    assert (
        read_section({"status": "no_model", "similar": [{"analysis": "7", "similarity": 1}]}).similar[0].label is None
    )
    newer = scored().section() | {"schema": 3, "unheard": None, "status": "unheard_of"}
    newer["similar"][0]["runs"] = 3
    assert read_section(newer).status == "unheard_of"


@pytest.mark.parametrize("raw", ["", "[]", "{", "null", {"status": 7}, {"status": "scored", "cluster": {"id": "c1"}}])
def test_what_is_no_section_is_an_error(raw: object) -> None:
    with pytest.raises(ReportError, match="section cuckooml"):
        read_section(raw)


def test_parts_of_a_finding_can_be_read_as_mappings() -> None:
    """Notebooks read ``finding.cluster["name"]`` and make frames of ``finding.similar``."""
    pandas = pytest.importorskip("pandas")
    finding = scored()
    assert finding.cluster is not None
    assert finding.cluster["name"] == "zbot"
    with pytest.raises(KeyError):
        finding.cluster["colour"]
    assert dict(finding.evidence[0]) == {
        "kind": "mutex", "value": "a", "in_cluster": 0.5, "in_corpus": 0.1, "role": "shared"
    }  # fmt: skip
    frame = pandas.DataFrame(finding.similar)
    assert list(frame.columns) == SIMILAR
    assert frame["analysis"].tolist() == ["7", "8"]


def test_the_seed_finds_its_own_section_filled() -> None:
    assert seed_section(scored().section(), 1, 4) == {
        "clusterID": 17,
        "clusterProbability": 0.9,
        "outlierScore": 0.1,
        "min_samples": 1,
        "min_cluster_size": 4,
    }
    assert seed_section(Finding(status="no_behaviour").section(), 1, 4)["clusterID"] == -1
