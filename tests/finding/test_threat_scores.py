"""Threat scores of an analysis: they are read from what the host wrote, stored and compared, and never looked up."""

from __future__ import annotations

import json
import socket
import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command import cuckoo_ml
from support.demo_home import DemoHome
from support.model_facts import facts_of, write_facts

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.errors import ModelError
from cuckoo_ml_plugin.finding.section import Finding, read_section
from cuckoo_ml_plugin.fit.providers import ENOUGH, fit_rows
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.model.providers import ProviderModels, joined_scores, threat_finding
from cuckoo_ml_plugin.report.report import read_report, report_from_results
from cuckoo_ml_plugin.report.threat_scores import MAX_SCORES, ThreatScore, threat_scores
from cuckoo_ml_plugin.store.analysis_record import AnalysisRecord
from cuckoo_ml_plugin.store.finding_record import FindingRecord
from cuckoo_ml_plugin.store.packed_behaviour import pack
from cuckoo_ml_plugin.store.store import Store
from cuckoo_ml_samples import DemoCorpus
from cuckoo_ml_samples.corpus import Analysis

SCHEMA = json.loads((files("cuckoo_ml_plugin.finding") / "section.schema.json").read_text(encoding="utf-8"))
SHA256 = "ab" * 32
FILE = {"category": "file", "file": {"sha256": SHA256}}


def scores_by_provider(**sections: Any) -> dict[str, dict[tuple[str, str], float]]:
    """Each provider's score of each indicator."""
    scores: dict[str, dict[tuple[str, str], float]] = {}
    for provider, kind, indicator, score in threat_scores({"target": FILE, **sections}):
        scores.setdefault(provider, {})[kind, indicator] = round(score, 4)
    return scores


# -- what the hosts write ----------------------------------------------------------------------------------------------
CUCKOO_SAMPLE = {"summary": {"positives": 45, "permalink": "https://x"}, "positives": 45, "total": 60, "scans": {}}
WITHOUT_TOTAL = {"positives": 1, "scans": {"A": {"detected": True}, "B": {"detected": False}}}
CAPE_V3 = {
    "positives": 3, "total": 60, "summary": "3/60", "scans": {"A": {"result": "x"}},
    "results": [{"vendor": "A", "sig": "x"}, {"vendor": "B", "sig": None}],
}  # fmt: skip
RESULTS_ONLY = {"results": [{"vendor": "A", "sig": "x"}, {"vendor": "B", "sig": None}], "scans": {"A": {"result": "x"}}}


@pytest.mark.parametrize(
    ("block", "score"), [(CUCKOO_SAMPLE, 0.75), (WITHOUT_TOTAL, 0.5), (CAPE_V3, 0.05), (RESULTS_ONLY, 0.5)]
)
def test_virustotal_s_verdict_on_the_sample(block: dict[str, Any], score: float) -> None:
    assert scores_by_provider(virustotal=block) == {"virustotal": {("file", SHA256): score}}
    in_file = {"category": "file", "file": {"sha256": SHA256, "virustotal": block}}
    assert scores_by_provider(target=in_file) == {"virustotal": {("file", SHA256): score}}


@pytest.mark.parametrize(
    "block",
    [
        {"error": True, "msg": "Unable to complete connection to VirusTotal. Status code: 429"},
        {"summary": {"error": "resource has not been scanned yet"}},
        {"summary": {"permalink": "https://x"}},
        {"positives": 0, "total": 0},
        {"positives": 61, "total": 60},
        {},
        None,
        "no verdict",
    ],
)
def test_no_verdict_is_not_a_verdict_of_zero(block: Any) -> None:
    assert scores_by_provider(virustotal=block) == {}


def test_urls_domains_addresses_and_dropped_files() -> None:
    url = {"category": "url", "url": "http://a.example/x"}
    assert scores_by_provider(target=url, virustotal={"positives": 6, "total": 60}) == {
        "virustotal": {("url", "http://a.example/x"): 0.1}
    }
    domain = {
        "detected_urls": [{"url": "http://b.example/y", "positives": 30, "total": 60}],
        "positives": 0,
        "total": 60,
    }
    network = {
        "domains": [{"domain": "b.example", "virustotal": domain}],
        "hosts": ["192.0.2.1", {"ip": "192.0.2.7", "virustotal": {"positives": 15, "total": 60}}],
    }
    dropped = [{"name": "a.exe", "sha256": "cd" * 32, "virustotal": {"positives": 12, "total": 60}}]
    assert scores_by_provider(virustotal=CUCKOO_SAMPLE, network=network, dropped=dropped)["virustotal"] == {
        ("file", SHA256): 0.75,
        ("file", "cd" * 32): 0.2,
        ("domain", "b.example"): 0.0,
        ("url", "http://b.example/y"): 0.5,
        ("ip", "192.0.2.7"): 0.25,
    }


def hit(indicator: str, kind: str, confidence: Any, source: Any = "threatfox") -> dict[str, Any]:
    return {"source": source, "indicator": indicator, "indicator_type": kind, "confidence_level": confidence}


def test_threat_intelligence_with_its_confidences() -> None:
    hits = {
        "c2.example": [hit("c2.example", "domain", 75), hit("c2.example", "domain", 50)],
        "192.0.2.9": [hit("192.0.2.9", "ip", 100), hit("192.0.2.9", "ip", 25, "otherlist")],
        SHA256: [hit(SHA256, "hash", 50)],
        "x.example": [
            hit("x.example", "domain", None),
            hit("x.example", "domain", 500),
            hit("x", "domain", 5, "no.name"),
        ],
    }
    section = {"providers": {"indicator": ["threatfox", "quiet"]}, "indicators": {"by_indicator": hits}}
    assert scores_by_provider(threatintelligence=section) == {
        "threatfox": {("domain", "c2.example"): 0.75, ("ip", "192.0.2.9"): 1.0, ("file", SHA256): 0.5},
        "otherlist": {("ip", "192.0.2.9"): 0.25},
        "quiet": {("nothing", ""): 0.0},
    }, "the highest of a provider counts; one that was asked and knew nothing says 0"


def test_cape_s_own_detections_but_not_what_they_repeat() -> None:
    mine = {("file", SHA256): 1.0}
    for detections in ("QakBot", [{"family": "QakBot", "details": [{"Yara": SHA256}]}], [{"family": "QakBot"}]):
        assert scores_by_provider(detections=detections, CAPE={}) == {"detections": mine}
    repeated = [{"family": "QakBot", "details": [{"VirusTotal": SHA256}, {"ThreatIntelligence": "ThreatFox"}]}]
    assert scores_by_provider(detections=repeated, CAPE={}) == {"detections": {("file", SHA256): 0.0}}
    assert scores_by_provider(CAPE={"configs": []}) == {"detections": {("file", SHA256): 0.0}}, (
        "CAPE looked and named nothing"
    )
    assert scores_by_provider() == {}, "nobody looked"


def compared(*rows: dict[str, Any], engine: str = "mcrit") -> dict[str, Any]:
    """CAPE's section of code similarity."""
    return {"enabled_engines": [engine], "results": {engine: list(rows)}, "by_sha256": {}}


def alike(family: str | None, percent: Any, **fields: Any) -> dict[str, Any]:
    return {"family": family, "similarity": percent, "sample_sha256": "ef" * 32, "low_confidence": False, **fields}


PAYLOAD = "cd" * 32


def test_mcrit_s_family_among_cape_s_detections_is_mcrit_s_with_its_percentage() -> None:
    promoted = [{"family": "QakBot", "details": [{"Similarity/mcrit": PAYLOAD}]}]
    section = compared(
        {"sha256": PAYLOAD, "source": "payload", "status": "ok", "matches": [
            alike(None, 99.0), alike("QakBot", 87.5), alike("Emotet", 61)]},
        {"sha256": "12" * 32, "source": "procdump", "status": "no_match", "matches": []},
        {"sha256": "34" * 32, "status": "timeout", "error": "deadline", "matches": []},
        {"sha256": "56" * 32, "status": "ok", "matches": [alike("X", 140), alike("X", None), alike(None, 70)]},
    )  # fmt: skip
    own = {("file", SHA256): 0.0}
    mcrit = {("file", PAYLOAD): 0.875, ("file", "12" * 32): 0.0, ("file", "56" * 32): 0.0}
    assert scores_by_provider(detections=promoted, CAPE={}, similarity=section) == {"detections": own, "mcrit": mcrit}
    assert scores_by_provider(similarity=section) == {"mcrit": mcrit}, "whether CAPE promotes the family or not"
    assert scores_by_provider(detections=promoted, CAPE={}) == {"detections": own}, "no percentage, no score"
    also_own = [{"family": "QakBot", "details": [{"Similarity/mcrit": PAYLOAD}, {"Yara": PAYLOAD}]}]
    assert scores_by_provider(detections=also_own)["detections"] == {("file", SHA256): 1.0}
    row = {"sha256": PAYLOAD, "status": "ok", "matches": [alike("X", 80)]}
    assert set(scores_by_provider(similarity=compared(row, engine="Other"))) == {"similarity-other"}
    finding = threat_finding(threat_scores({"target": FILE, "similarity": section}), None)
    assert finding is not None
    [provider] = finding.providers
    assert (provider.origin, provider.score, provider.says) == (
        "similarity", 0.875, "88 % similar to the code of a known family",
    )  # fmt: skip
    assert finding.exchanges == 0


def test_sigma_and_malscore_are_the_sandbox_s_judgement_in_its_own_terms() -> None:
    rules = [{"title": "a", "level": "medium", "count": 2}, {"level": "HIGH"}, {"level": "novel"}, "x"]
    scores = scores_by_provider(sigma={"detections": rules, "statistics": {"total": 3}}, malscore=7.2)
    assert scores == {"sigma": {("file", SHA256): 0.75}, "malscore": {("file", SHA256): 0.72}}
    assert scores_by_provider(sigma={"detections": []}) == {"sigma": {("file", SHA256): 0.0}}, "tried, and none matched"
    assert scores_by_provider(sigma={}, malscore=None) == {}, "nobody looked"
    assert scores_by_provider(malscore=0, malstatus="Undetected") == {"malscore": {("file", SHA256): 0.0}}
    assert scores_by_provider(malscore=0, malstatus="Failed") == {}, "CAPE's 0 for a sample that never ran"
    assert scores_by_provider(malscore=11) == {}
    finding = threat_finding(threat_scores({"sigma": {"detections": rules}, "malscore": 7.2}), None)
    assert finding is not None
    assert {provider.provider: (provider.origin, provider.says) for provider in finding.providers} == {
        "sigma": ("sandbox", "highest level of the rules that matched: high"),
        "malscore": ("sandbox", "7.2 of 10, from the sandbox's signatures"),
    }


def test_a_file_with_these_sections_is_read_as_the_results_in_memory_are(tmp_path: Path) -> None:
    results = {
        "info": {"id": 7, "version": "2.5"}, "target": FILE, "malscore": 3, "malstatus": "Clean",
        "sigma": {"detections": [{"level": "low", "matched_events": [{"EventID": 1}]}]},
        "similarity": compared({"sha256": PAYLOAD, "status": "ok", "matches": [alike("QakBot", 87.5)]}),
    }  # fmt: skip
    path = tmp_path / "report.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    scores = read_report(path).threat_scores
    assert scores == report_from_results(results).threat_scores
    assert [(score.provider, score.score) for score in scores] == [("malscore", 0.3), ("mcrit", 0.875), ("sigma", 0.25)]


def test_an_exchange_cannot_pass_for_the_sandbox() -> None:
    hits = {"x.example": [hit("x.example", "domain", 100, name) for name in ("detections", "MCRIT", "malscore")]}
    assert scores_by_provider(threatintelligence={"indicators": {"by_indicator": hits}}) == {}


def test_reversinglabs() -> None:
    assert scores_by_provider(reversinglabs={"detected": 12, "total": 24})["reversinglabs"] == {("file", SHA256): 0.5}


def test_a_file_says_the_same_as_the_results_in_memory(demo: DemoHome) -> None:
    read = 0
    for one in demo.corpus.analyses:
        if one.path.suffix == ".json":
            results = json.loads(one.path.read_bytes())
            assert read_report(one.path).threat_scores == report_from_results(results).threat_scores
            read += bool(report_from_results(results).threat_scores)
    assert read > 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "positives", "total", "scans", "results", "sig", "detected", "virustotal", "indicators", "domain", "file",
            "by_indicator", "source", "confidence_level", "providers", "indicator", "family", "details", "sha256",
            "error", "domains", "hosts", "detected_urls", "url", "\ud800", "a.b", "mcrit", "matches", "similarity",
            "status", "level",
        ]),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip
SECTIONS = (
    "virustotal",
    "threatintelligence",
    "reversinglabs",
    "detections",
    "CAPE",
    "similarity",
    "sigma",
    "malscore",
    "target",
    "dropped",
    "network",
    "url",
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), JSON))
def test_whatever_the_sections_hold_scores_are_scores(results: dict[str, Any]) -> None:
    scores = threat_scores(results)
    assert len(set(scores)) == len(scores) <= MAX_SCORES
    for score in scores:
        assert 0 <= score.score <= 1
        assert score.indicator.isprintable()
        assert len(score.indicator) <= 300
    finding = threat_finding(scores, ProviderModels.none())
    section = Finding(status="failed", threat_scores=finding).section()
    jsonschema.validate(section, SCHEMA)
    json.dumps(section, allow_nan=False).encode()


def test_a_flood_of_indicators_keeps_the_highest() -> None:
    hits = {f"{i}.example": [hit(f"{i}.example", "domain", i % 101)] for i in range(3000)}
    scores = [score.score for score in threat_scores({"threatintelligence": {"indicators": {"by_indicator": hits}}})]
    assert len(scores) == MAX_SCORES
    assert min(scores) > 0.9


def test_a_flood_of_indicators_hides_no_provider() -> None:
    hits = {f"{i}.example": [hit(f"{i}.example", "domain", 90)] for i in range(3000)}
    section = {"indicators": {"by_indicator": hits}}
    scores = threat_scores({"threatintelligence": section, "virustotal": {"positives": 0, "total": 60}, "CAPE": {}})
    assert len(scores) == MAX_SCORES
    assert {score.provider for score in scores} == {"threatfox", "virustotal", "detections"}


def test_providers_are_joined_by_noisy_or() -> None:
    scores = [ThreatScore("virustotal", "file", "a", 0.5), ThreatScore("virustotal", "url", "b", 0.2),
              ThreatScore("threatfox", "ip", "c", 0.75)]  # fmt: skip
    assert joined_scores(scores) == pytest.approx({"virustotal": 0.6, "threatfox": 0.75})
    finding = threat_finding(scores, None)
    assert finding is not None
    assert finding.joint == 0.9
    assert [provider.prediction for provider in finding.providers] == [None, None]
    assert threat_finding([], None) is None


# -- whose the joint score is, and what a 0 means ----------------------------------------------------------------------
def test_the_joint_score_is_of_exchanges_and_the_sandbox_stands_beside_it() -> None:
    own = [ThreatScore("detections", "file", "a", 1.0), ThreatScore("malscore", "file", "a", 1.0),
           ThreatScore("mcrit", "file", "a", 0.6), ThreatScore("mcrit", "file", "b", 0.6)]  # fmt: skip
    finding = threat_finding([*own, ThreatScore("virustotal", "file", "a", 0.25)], None)
    assert finding is not None
    assert (finding.joint, finding.exchanges) == (0.25, 1)
    by_name = {provider.provider: provider for provider in finding.providers}
    assert by_name["mcrit"].score == 0.6, "a percentage is no probability, so it is not joined"
    section = Finding(status="failed", threat_scores=finding).section()
    jsonschema.validate(section, SCHEMA)
    assert section["threat_scores"]["notes"] == [
        "The joint score is that of the threat exchanges; the sandbox's own judgement and code similarity stand beside"
        " it."
    ]
    alone = threat_finding(own, None)
    assert alone is not None
    assert (alone.joint, alone.exchanges) == (0.0, 0)
    assert Finding(status="scored", threat_scores=alone).section()["threat_scores"]["notes"] == [
        "No threat exchange has a score, so there is no joint score."
    ]


def test_a_section_of_an_earlier_version_gets_the_joint_score_of_its_exchanges() -> None:
    section = Finding(status="scored").section()
    section["threat_scores"] = {
        "providers": [
            {"provider": "detections", "score": 1.0, "indicators": 1, "highest": []},
            {"provider": "virustotal", "score": 0.5, "indicators": 2, "highest": []},
            {"provider": "threatfox", "score": 0.2, "indicators": 1, "highest": []},
        ],
        "joint": 1.0,
        "disagreements": [],
    }
    threat = read_section(section).threat_scores
    assert threat is not None
    assert (threat.joint, threat.exchanges) == (0.6, 2)
    assert [provider.origin for provider in threat.providers] == ["sandbox", "exchange", "exchange"]
    assert read_section(read_section(section).section()).threat_scores == threat
    section["threat_scores"]["providers"] = section["threat_scores"]["providers"][:1]
    threat = read_section(section).threat_scores
    assert threat is not None
    assert (threat.joint, threat.exchanges) == (0.0, 0)


def test_no_detection_is_not_a_clean_bill() -> None:
    scores = threat_scores(
        {
            "target": FILE,
            "CAPE": {},
            "malscore": 0,
            "sigma": {"detections": []},
            "virustotal": {"positives": 0, "total": 60},
            "threatintelligence": {"providers": {"indicator": ["threatfox"]}},
        }
    )
    threat = threat_finding(scores, None)
    finding = Finding(status="no_behaviour", threat_scores=threat)
    assert threat is not None
    assert {provider.provider: provider.says for provider in threat.providers} == {
        "detections": "no rule of the sandbox names a family",
        "malscore": "no points from the sandbox's signatures",
        "sigma": "no rule of level low or above matched",
        "virustotal": "detects nothing",
        "threatfox": "asked, and has no answer",
    }
    [note] = finding.section()["threat_scores"]["notes"]
    assert note.startswith("Nothing is known of what the sample does")
    assert note.endswith("no detection is not a clean bill.")
    ran = Finding(status="scored", threat_scores=threat_finding(scores, None)).section()["threat_scores"]
    assert ran["notes"] == ["No detection is not a clean bill: exchanges and rules know only what was seen before."]


def test_many_indicators_make_a_joined_score_of_1_and_a_note_says_so() -> None:
    threat = threat_finding([ThreatScore("virustotal", "domain", f"{i}.example", 0.1) for i in range(50)], None)
    assert threat is not None
    [provider] = threat.providers
    assert provider.score > 0.99
    assert (provider.mean, provider.says) == (0.1, "joined over 50 indicators: mean 0.10, highest 0.10")
    [note] = Finding(status="scored", threat_scores=threat).section()["threat_scores"]["notes"]
    assert note.startswith("VirusTotal: the joined score nears 1 with the number of indicators")


# -- the models between providers --------------------------------------------------------------------------------------
def related(rows: int, seed: int = 1) -> list[dict[str, float]]:
    """VirusTotal follows the exchange closely where a rule has fired, and is anything where none has."""
    random = np.random.default_rng(seed)
    table = []
    for _ in range(rows):
        exchange, rule = random.random(), float(random.random() < 0.5)
        vt = 0.8 * exchange + random.normal(0, 0.02) if rule else random.random()
        table.append({"virustotal": float(np.clip(vt, 0, 1)), "threatfox": exchange, "detections": rule})
        if random.random() < 0.2:
            del table[-1]["threatfox"]
    return table


def test_what_the_others_predict_and_when_that_is_a_disagreement() -> None:
    models = fit_rows(related(2000)).models
    sure, unsure = ({"threatfox": 0.75, "detections": rule} for rule in (1.0, 0.0))
    expected = models.expect("virustotal", sure)
    open_ = models.expect("virustotal", unsure)
    assert expected is not None
    assert open_ is not None
    assert expected.prediction == pytest.approx(0.6, abs=0.04)
    assert expected.threshold < 0.25, "where the others are sure"
    assert open_.threshold > 0.5, "where they say little"
    finding = threat_finding(
        [ThreatScore(name, "file", "x", p) for name, p in {**sure, "virustotal": 0.02}.items()], models
    )
    assert finding is not None
    [disagreement] = [other for other in finding.disagreements if other.provider == "virustotal"]
    assert disagreement.text.startswith(f"VirusTotal says 0.02; the other providers' scores predict {0.6:.1f}")


def test_one_new_file_in_a_hundred_is_called_a_disagreement_by_chance() -> None:
    models = fit_rows(related(3000)).models
    new = related(3000, seed=2)
    for provider in ("virustotal", "threatfox"):
        asked = [(row[provider], models.expect(provider, row)) for row in new if provider in row]
        false = np.mean([abs(one.prediction - score) > one.threshold for score, one in asked if one])
        assert 0.001 < false < 0.025, provider


def test_numpy_predicts_what_scikit_learn_does() -> None:
    from sklearn.ensemble import GradientBoostingRegressor

    from cuckoo_ml_plugin.settings import SEED

    rows = related(400)
    models = fit_rows(rows).models
    X = np.array([[row.get(name, -1.0) for name in models.names] for row in rows])
    number = models.names.index("virustotal")
    y, X[:, number] = X[:, number].copy(), -1.0
    usable = (X != -1).any(axis=1)
    reference = GradientBoostingRegressor(n_estimators=60, max_depth=3, min_samples_leaf=5, random_state=SEED)
    predictions = np.clip(reference.fit(X[usable], y[usable]).predict(X), 0, 1)
    for row, expected in zip(rows, predictions, strict=True):
        expectation = models.expect("virustotal", row)
        assert expectation is not None
        assert expectation.prediction == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        related(ENOUGH - 1),
        [{"virustotal": 0.5}] * 500,
        [{"virustotal": 0.5, "threatfox": 0.5}] * 500,
        [{"virustotal": i / 500} if i % 2 else {"threatfox": i / 500} for i in range(500)],
    ],
    ids=["none", "too few", "one provider", "constant", "never together"],
)
def test_too_few_rows_predict_nothing_and_the_result_gives_the_reason(rows: list[dict[str, float]]) -> None:
    fit = fit_rows(rows)
    assert fit.models.names == ()
    assert f"{ENOUGH} files" in fit.summary
    assert fit.models.expect("virustotal", {"virustotal": 0.5, "threatfox": 0.1}) is None


# -- the store ---------------------------------------------------------------------------------------------------------
def record(name: str, *scores: ThreatScore, **fields: Any) -> AnalysisRecord:
    return AnalysisRecord(name, pack(["api:NtClose"], {}), True, scores=list(scores), **fields)


VT, TF = ThreatScore("virustotal", "file", SHA256, 0.5), ThreatScore("threatfox", "domain", "x.example", 0.75)


def test_scores_are_stored_replaced_and_forgotten(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        store.put([record("1", VT, TF), record("2", VT, VT._replace(score=0.6)), record("3")])
        assert store.threat_scores_of(["1", "2", "3"]) == {"1": [TF, VT], "2": [VT._replace(score=0.6)]}
        store.save_findings([FindingRecord(name, "m", None, None, None, 0.5, False) for name in ("1", "2", "3")])
        store.put([record("1", VT, TF), record("2", VT), record("3")])
        assert set(store.findings_of(["1", "2", "3"])) == {"1", "3"}, "a finding of other scores is outdated"
        store.forget(["1"])
        assert [one.analysis for one in store.all_threat_scores()] == ["2"]


def test_a_store_from_before_threat_scores_gets_room_for_them(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.db") as store:
        store.put([record("1")])
    with sqlite3.connect(tmp_path / "store.db") as connection:
        new = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
        for table in ("threat_score", "reading"):
            connection.execute(f"DROP TABLE cuckooml_{table}")
        connection.execute("UPDATE cuckooml_meta SET value = '1'")
    connection.close()
    with Store.open(tmp_path / "store.db") as store:
        store.put([record("2", VT)])
        assert store.count() == 2
        assert store.threat_scores_of(["1", "2"]) == {"2": [VT]}
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == new
    connection.close()


# -- inside an analysis ------------------------------------------------------------------------------------------------
@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("something was looked up over the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def overlooked(corpus: DemoCorpus) -> Analysis:
    """The new sample that the sandbox and the exchange know, and VirusTotal's scanners do not."""
    return next(sample for sample in corpus.new if sample.name == "new-03")


def test_a_file_that_virustotal_overlooks_is_an_anomaly_s_reason(demo: DemoHome, no_network: None) -> None:
    path = overlooked(demo.corpus).path
    [answer] = cuckoo_ml(demo.home, "score", path, "--json").json
    threat = answer["threat_scores"]
    providers = {provider["provider"]: provider for provider in threat["providers"]}
    assert set(providers) == {"virustotal", "threatfox", "detections", "malscore"}
    assert providers["malscore"]["prediction"] is None, "shown, and not compared"
    assert threat["exchanges"] == 2
    exchanges = [providers[name]["score"] for name in ("virustotal", "threatfox")]
    assert threat["joint"] == pytest.approx(1 - (1 - exchanges[0]) * (1 - exchanges[1]), abs=1e-4)
    assert providers["virustotal"]["score"] < 0.1
    assert providers["virustotal"]["prediction"] > 0.5
    [disagreement] = threat["disagreements"]
    assert disagreement["provider"] == "virustotal"
    assert abs(disagreement["prediction"] - disagreement["score"]) > disagreement["threshold"]
    [reason] = [reason for reason in answer["anomaly"]["reasons"] if reason["kind"] == "threat_scores_disagree"]
    assert reason["text"] == disagreement["text"]
    assert reason["text"].startswith("VirusTotal says 0.0")
    assert "the other providers' scores predict 0." in reason["text"]
    shown = cuckoo_ml(demo.home, "score", path).out
    assert "VirusTotal says 0.0" in shown
    assert f"Threat scores, joint score {threat['joint']:.2f} of 2 threat exchanges" in shown
    assert "a rule of the sandbox names a family" in shown


def test_hardly_any_fitted_analysis_disagrees(demo: DemoHome) -> None:
    predictions = disagreements = 0
    with Store.open(demo.home / "store.db") as store:
        model = Model.load(demo.home / "models" / "current")
        for stored in store.all_threat_scores():
            finding = threat_finding(stored.scores, model.providers)
            assert finding is not None
            predictions += sum(provider.prediction is not None for provider in finding.providers)
            disagreements += len(finding.disagreements)
    assert predictions > 300
    assert disagreements <= 0.02 * predictions


def test_both_hosts_get_the_scores_into_the_section_and_the_store(own_demo: DemoHome, no_network: None) -> None:
    enricher = Enricher(own_demo.home)
    hosts = set()
    for sample in own_demo.corpus.new[:4]:
        results = json.loads(sample.path.read_bytes())
        section = enricher.enrich(results, sample.name)
        jsonschema.validate(section, SCHEMA)
        assert section["threat_scores"]
        report = report_from_results(results)
        with Store.open(own_demo.home / "store.db") as store:
            assert store.threat_scores_of([sample.name])[sample.name] == sorted(report.threat_scores)
        [again] = cuckoo_ml(own_demo.home, "score", sample.path, "--json").json
        assert again["threat_scores"] == section["threat_scores"]
        hosts.add(report.host)
    assert hosts == {"cape", "cuckoo2"}


def test_scores_are_told_without_a_model_and_without_behaviour(demo: DemoHome, tmp_path: Path) -> None:
    path = overlooked(demo.corpus).path
    [answer] = cuckoo_ml(tmp_path / "new", "score", path, "--json").json
    assert answer["status"] == "no_model"
    assert 0.5 < answer["threat_scores"]["joint"] < 1, "the sandbox's own detections are not in it"
    nothing = Behaviour([], {}, extract(read_report(path)).scores)
    finding = Model.load(demo.home / "models" / "current").score(nothing)
    assert finding.status == "no_behaviour"
    assert finding.threat_scores is not None
    assert finding.threat_scores.disagreements
    jsonschema.validate(finding.section(), SCHEMA)


def test_a_model_from_before_threat_scores_predicts_none(own_demo: DemoHome) -> None:
    folder = (own_demo.home / "models" / "current").resolve()
    facts = facts_of(folder)
    facts["arrays"] = {name: listed for name, listed in facts["arrays"].items() if not name.startswith("providers.")}
    del facts["providers"]  # as those models are
    write_facts(folder, facts)
    [answer] = cuckoo_ml(own_demo.home, "score", overlooked(own_demo.corpus).path, "--json").json
    assert answer["threat_scores"]["disagreements"] == []
    assert {provider["prediction"] for provider in answer["threat_scores"]["providers"]} == {None}


@pytest.mark.parametrize("damage", [{"depth": 10**9}, {"depth": 0}, {"providers": ["a"]}, {"providers": 7}])
def test_a_model_whose_providers_are_damaged_is_named(own_demo: DemoHome, damage: dict[str, Any]) -> None:
    folder = (own_demo.home / "models" / "current").resolve()
    facts = facts_of(folder)
    facts["providers"] |= damage
    write_facts(folder, facts)
    with pytest.raises(ModelError, match="do not belong together"):
        Model.load(folder)


# -- by machine, tag and submitter -------------------------------------------------------------------------------------
def grouped(home: Path, by: str) -> dict[str, Any]:
    done = cuckoo_ml(home, "threat-scores", "--by", by, "--json")
    assert done.code == 0, done.err
    return {one[by]: one for one in done.json}


@pytest.fixture
def laboratory(tmp_path: Path) -> Path:
    """Three analyses on two machines; one domain is seen by all of them."""
    seen = ThreatScore("threatfox", "domain", "c2.example", 0.5)
    with Store.open(tmp_path / "store.db") as store:
        store.put([
            record("1", seen, VT, machine="win7", tags=["mail", "urgent"], submitter="ann"),
            record("2", seen, VT._replace(indicator="cd" * 32), machine="win7", tags=["mail"], submitter="bob"),
            record("3", seen._replace(score=0.6), machine="win10", tags=[]),
            record("4", machine="win10", tags=["mail"]),
        ])  # fmt: skip
    return tmp_path


def test_a_machine_s_scores_are_joined_as_the_study_joined_a_device_s(laboratory: Path) -> None:
    machines = grouped(laboratory, "machine")
    assert machines["win7"] == {
        "machine": "win7",
        "analyses": 2,
        "indicators": 3,
        "providers": {"threatfox": 0.5, "virustotal": 0.75},
        "mean": {"threatfox": 0.5, "virustotal": 0.5},
        "highest": {"threatfox": 0.5, "virustotal": 0.5},
        "exchanges": ["threatfox", "virustotal"],
        "saturated": [],
        "score": 1.25,
        "joint": 0.875,
    }, "the domain counts once, each file for itself"
    assert machines["win10"]["providers"] == {"threatfox": pytest.approx(0.6), "virustotal": None}
    assert machines["win10"]["analyses"] == 1, "an analysis without scores says nothing"


def test_a_machine_of_many_domains_is_told_by_mean_and_highest_and_the_sandbox_s_own_is_in_no_sum(
    tmp_path: Path,
) -> None:
    file, nothing = ("file", SHA256), ThreatScore("threatfox", "nothing", "", 0.0)
    with Store.open(tmp_path / "store.db") as store:
        store.put([
            record("1", *(ThreatScore("virustotal", "domain", f"{i}.example", 0.1 + 0.2 * (i == 7)) for i in range(50)),
                   ThreatScore("detections", *file, 1.0), ThreatScore("malscore", *file, 0.4), machine="busy"),
            record("2", ThreatScore("malscore", "file", PAYLOAD, 0.8), nothing, machine="busy"),
            record("3", ThreatScore("malscore", *file, 0.4), machine="idle"),
            record("4", ThreatScore("threatfox", "ip", "192.0.2.1", 0.5), machine="busy"),
        ])  # fmt: skip
    machines = grouped(tmp_path, "machine")
    busy = machines["busy"]
    assert busy["exchanges"] == ["threatfox", "virustotal"]
    assert busy["providers"]["virustotal"] > 0.99
    assert busy["mean"]["virustotal"] == pytest.approx(0.104)
    assert busy["highest"]["virustotal"] == pytest.approx(0.3)
    assert busy["saturated"] == ["virustotal"]
    assert busy["score"] == pytest.approx(busy["providers"]["virustotal"] + 0.5)
    assert busy["mean"]["threatfox"] == 0.5, "an answer of nothing is no indicator with the score 0"
    assert busy["providers"]["malscore"] == 0.8, "points are not joined"
    assert (machines["idle"]["score"], machines["idle"]["joint"]) == (0, 0)
    shown = cuckoo_ml(tmp_path, "threat-scores", "--by", "machine").out
    assert "For 1 of 2 machines, the joined score of virustotal is close to 1" in shown
    assert "no exchange has a score" in shown
    assert "study's sum" in shown


def test_tags_and_submitters_group_as_well(laboratory: Path) -> None:
    tags = grouped(laboratory, "tag")
    assert {name: one["analyses"] for name, one in tags.items()} == {"mail": 2, "urgent": 1, "(none)": 1}
    assert set(grouped(laboratory, "submitter")) == {"ann", "bob", "(none)"}
    shown = cuckoo_ml(laboratory, "threat-scores", "--by", "tag").out
    assert "urgent" in shown
    assert "0.75" in shown


def test_the_whole_study_of_a_grouping(demo: DemoHome, tmp_path: Path) -> None:
    done = cuckoo_ml(demo.home, "threat-scores", "--by", "machine", "--output", tmp_path / "out")
    assert done.code == 0, done.err
    page = (tmp_path / "out" / "threat-scores.html").read_text(encoding="utf-8")
    assert "Scores per machine" in page
    assert "Scores per indicator" in page
    assert (tmp_path / "out" / "machines.csv").is_file()


def test_a_grouping_of_nothing_is_an_error_and_so_are_two_questions(tmp_path: Path) -> None:
    assert "there is no home" in cuckoo_ml(tmp_path / "typo", "threat-scores", "--by", "machine").err
    assert not (tmp_path / "typo").exists()
    Home(tmp_path).create()
    done = cuckoo_ml(tmp_path, "threat-scores", "--by", "machine")
    assert done.code == 1
    assert "there are no threat scores" in done.err
    assert cuckoo_ml(tmp_path, "threat-scores").code == 2
    assert cuckoo_ml(tmp_path, "threat-scores", "x.csv", "--by", "machine").code == 2
