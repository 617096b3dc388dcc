"""When all that is known becomes stranger at once, the anomaly scores follow from the next day on, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.demo_home import DemoHome
from support.new_family import report_of
from support.postgresql import postgresql_server, postgresql_url  # noqa: F401 -- fixtures

from cuckoo_ml_plugin.engine import engine as engine_module
from cuckoo_ml_plugin.engine.arrivals import keep as keep_module
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.recalibration import Recalibration, reference_by
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.enrich import Enricher
from cuckoo_ml_plugin.model.drift import has_drifted, typical_unusualness, unusualness_at
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.store.between_refits.recent import RecentAnalysis
from cuckoo_ml_plugin.store.store import Store

DAYS = ("2026-11-19", "2026-11-20")  # a drift must show on both


def noted(number: int, excess: float, unusualness: float = 0.0, cluster: str = "", sample: str = "") -> RecentAnalysis:
    name = cluster or f"c{number % 12}"
    return RecentAnalysis(str(number), sample or f"sample {number}", unusualness, name, excess)


@pytest.fixture
def model(demo: DemoHome) -> Model:
    return Engine(Home(demo.home)).require_model()


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty store."""
    return str(request.getfixturevalue("postgresql_url") if request.param == "postgresql" else tmp_path / "store.db")


def test_only_a_move_of_most_clusters_is_a_drift() -> None:
    rng = np.random.default_rng(5)
    assert not has_drifted([])
    assert not has_drifted([("c1", 0.5)] * 500), "one family that moves on"
    assert not has_drifted([(f"c{n % 40}", float(e)) for n, e in enumerate(rng.normal(size=400))])
    assert not has_drifted([(f"c{n}", -0.2) for n in range(40)]), "less unusual than before is no alarm"
    assert has_drifted([(f"c{n % 12}", 0.2 + 0.01 * n) for n in range(60)])


def test_the_typical_unusualness_of_a_cluster_is_the_median_of_its_analyses(model: Model) -> None:
    typical = typical_unusualness(model)
    weights, labels = np.asarray(model.detector.multiplicities), np.asarray(model.clustering.labels)
    values = unusualness_at(model, np.asarray(model.fitted_scores))
    assert len(typical) == len(model.clusters) > 5
    for cluster, value in enumerate(typical.tolist()):
        of_cluster = np.repeat(values[labels == cluster], weights[labels == cluster])
        assert (of_cluster <= value).mean() >= 0.5
        assert (of_cluster >= value).mean() >= 0.5


def test_recent_analyses_make_the_reference_in_a_drift(model: Model) -> None:
    strange = float(model.detector.reference[-1]) + 1.0
    calm = [noted(n, (-1) ** n * 0.3, strange) for n in range(120)]
    assert not len(reference_by(model, calm))
    drifted = [noted(n, 0.3, strange) for n in range(120)]
    reference = reference_by(model, drifted)
    assert (np.diff(reference) >= 0).all()
    assert np.mean(reference == strange) == 120 / 170


def test_one_source_alone_is_no_drift(model: Model) -> None:
    drifted = [noted(n, 0.3) for n in range(120)]
    assert not len(reference_by(model, [replace(r, day="2026-11-20") for r in drifted]))
    by_mallory = [replace(r, submitter="mallory", day=DAYS[n // 12 % 2]) for n, r in enumerate(drifted)]
    assert not len(reference_by(model, by_mallory, lambda: {"mallory": 120, "others": 1000}))
    assert len(reference_by(model, by_mallory, lambda: {"mallory": 1000, "others": 120})), "the installation's own feed"


def test_every_process_has_the_same_reference_of_a_day(location: str, model: Model) -> None:
    fit = str(model.facts["fitted_at"])
    with Store.open(location) as first, Store.open(location) as second:
        for number in range(60):
            first.note_recent(fit, DAYS[number // 12 % 2], noted(number, 0.3, 1.0 + number))
        assert Recalibration(model).of_day(first, "2026-11-20", keep=True) is model, "a day rests on the days before it"
        moved = Recalibration(model).of_day(first, "2026-11-21", keep=True)
        assert len(moved.detector.reference) == 110
        assert first.reference_of_day(fit, "2026-11-22") is None
        reader = Recalibration(model).of_day(first, "2026-11-22")
        assert len(reader.detector.reference) == 110
        assert first.reference_of_day(fit, "2026-11-22") is None, "who only asks writes nothing"
        first.forget(["1"])
        first.note_recent(fit, "2026-11-20", noted(99, 0.3, 99.0))
        again = Recalibration(model).of_day(second, "2026-11-21")
        assert np.array_equal(again.detector.reference, moved.detector.reference)
        later = Recalibration(model).of_day(second, "2026-11-22")
        assert len(later.detector.reference) == 110, "one was forgotten, one came late"
        assert 99.0 in later.detector.reference
        second.drop_recent("another fit")
        assert first.recent_before(fit, "2026-11-22", 10) == []
        assert first.reference_of_day(fit, "2026-11-21") is None


def test_repeats_of_one_sample_count_once(location: str, model: Model) -> None:
    fit = str(model.facts["fitted_at"])
    with Store.open(location) as store:
        for number in range(200):
            store.note_recent(fit, "2026-11-20", noted(number, 0.3, sample=f"sample {number % 3}"))
        assert Recalibration(model).of_day(store, "2026-11-21") is model


def test_in_a_drift_a_host_scores_by_the_recent_analyses(
    own_demo: DemoHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(Home(own_demo.home))
    model = engine.require_model()
    fit, strange = str(model.facts["fitted_at"]), float(model.detector.reference[-1]) + 1.0
    for number in range(120):
        engine.store.note_recent(fit, DAYS[number // 12 % 2], noted(number, 0.3, strange))
    sections = {}
    for day in ("2026-11-20", "2026-11-21"):
        for module in (engine_module, keep_module):
            monkeypatch.setattr(module, "today", lambda day=day: day)
        path = tmp_path / day / "report.json"
        sections[day] = Enricher(own_demo.home).enrich(report_of(901), "901", path)["anomaly"]
    before, after = sections.values()
    assert before["anomalous"]
    assert not after["anomalous"]
    assert 0 < after["score"] <= 51 / 171 < before["score"]
    finding = Engine(Home(own_demo.home)).score_stored("901")
    assert finding is not None
    assert finding.anomaly is not None
    assert finding.anomaly.score == after["score"], "every process says the same"
    [itself] = [row for row in engine.store.recent_before(fit, "2026-11-22", 500) if row.analysis == "901"]
    of_fit = float(unusualness_at(model, np.array([before["score"]]))[0])
    assert itself.unusualness == of_fit, "what is noted rests on the fit, not on the day's reference"


def test_without_a_drift_scores_stay_as_they_are(own_demo: DemoHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "today", lambda: "2026-01-01")
    engine = Engine(Home(own_demo.home))
    model = engine.require_model()
    for stored in list(engine.store.analyses_in_order(with_behaviour_only=True)):
        finding, behaviour = engine.score_stored(stored.analysis), engine.behaviour_of(stored)
        assert finding is not None
        noted = engine.recalibration(model).noted(finding, behaviour, stored.analysis, stored.sample)
        assert noted is not None
        engine.store.note_recent(str(model.facts["fitted_at"]), "2026-01-01", noted)
    noted_before = engine.store.recent_before(str(model.facts["fitted_at"]), "2026-01-02", 1_000)
    assert len(noted_before) > 100
    assert Recalibration(model).of_day(engine.store, "2026-01-02") is model
