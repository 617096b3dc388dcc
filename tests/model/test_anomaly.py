"""How unusual an analysis is, and the reasons for it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.reasons import cluster_reasons, label_reasons, novelty_reasons
from cuckoo_ml_plugin.fit.anomaly import left_out_unusualness
from cuckoo_ml_plugin.model.anomaly import AnomalyDetector, AnomalyScore
from cuckoo_ml_plugin.model.fences import CountFences

TOKENS, DIMENSIONS = 120, 12
NORMAL_TOKENS = 100  # families use these; the rest is seen by nobody


class Corpus:
    """Families of analyses, each with a core of tokens of its own; vectors are a random projection, unit length."""

    def __init__(self, families: int = 6, size: int = 60, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.cores = [self.rng.choice(NORMAL_TOKENS, 25, replace=False) for _ in range(families)]
        self.projection = self.rng.normal(size=(TOKENS, DIMENSIONS))
        self.rows = np.array([self.member(core) for core in self.cores for _ in range(size)])

    def member(self, core: NDArray[Any]) -> NDArray[Any]:
        row = np.zeros(TOKENS)
        row[core] = self.rng.random(len(core)) < 0.85
        row[self.rng.choice(NORMAL_TOKENS, 2)] = 1
        return row

    def vectors(self, rows: NDArray[Any]) -> NDArray[Any]:
        flat = rows @ self.projection
        unit: NDArray[Any] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
        return unit

    def fit(self, rows: NDArray[Any]) -> AnomalyDetector:
        unique, counts = np.unique(rows, axis=0, return_counts=True)
        self.points = unique
        self.point_vectors = self.vectors(unique)
        explained = np.ones(len(unique), np.float32)
        if len(rows) < 2:
            return AnomalyDetector(counts, explained, np.zeros(0))
        reference = left_out_unusualness(self.point_vectors.astype(np.float32), explained, counts)
        return AnomalyDetector(counts, explained, np.sort(np.repeat(reference, counts)))

    def score(self, detector: AnomalyDetector, row: NDArray[Any], unknown: int = 0) -> AnomalyScore:
        vector = self.vectors(row[None])[0]
        near = np.argsort(-(self.point_vectors @ vector), kind="stable")[:24]
        known = int(row.sum())
        return detector.score(vector, 1.0, known, known + unknown, near, self.point_vectors[near])


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


def test_a_new_family_is_more_unusual_than_new_samples_of_known_ones(corpus: Corpus) -> None:
    detector = corpus.fit(corpus.rows)
    known = [corpus.score(detector, corpus.member(core)).score for core in corpus.cores for _ in range(20)]
    stranger = corpus.rng.choice(NORMAL_TOKENS, 25, replace=False)
    new = [corpus.score(detector, corpus.member(stranger)).score for _ in range(20)]
    assert np.median(new) > 0.95
    assert np.mean(np.array(known) >= 0.95) < 0.12
    assert 0.35 < np.mean(known) < 0.65, "scores of known families must be spread evenly over [0, 1]"


def test_a_fitted_analysis_is_not_its_own_neighbour(corpus: Corpus) -> None:
    detector = corpus.fit(corpus.rows)
    assert detector.reference.min() > math.log(0.06), "no point may be its own nearest neighbour"


def test_repeats_count_as_analyses(corpus: Corpus) -> None:
    repeated = np.vstack([corpus.rows] + [corpus.rows[:1]] * 40)
    detector = corpus.fit(repeated)
    assert detector.multiplicities.sum() == len(repeated)
    assert len(detector.reference) == len(repeated), "a share of analyses, not of distinct behaviours"
    assert corpus.score(detector, corpus.rows[0]).score == 0.0, "nothing is less unusual than what is seen most often"


def test_arrays_saved_and_mapped_score_the_same(corpus: Corpus, tmp_path: Path) -> None:
    detector = corpus.fit(corpus.rows)
    for name, array in detector.arrays().items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=False)
    mapped = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in tmp_path.glob("*.npy")}
    row = corpus.member(corpus.cores[0])
    assert corpus.score(AnomalyDetector.from_arrays(mapped), row) == corpus.score(detector, row)


def test_arrays_of_two_models_are_refused(corpus: Corpus) -> None:
    arrays = corpus.fit(corpus.rows).arrays()
    arrays["explained"] = arrays["explained"][:-1]
    with pytest.raises(ValueError, match="do not belong together: explained has the length"):
        AnomalyDetector.from_arrays(arrays)


@pytest.mark.parametrize("copies", [1, 2, 50])
def test_a_corpus_of_one_behaviour_gives_finite_scores(corpus: Corpus, copies: int) -> None:
    row = corpus.member(corpus.cores[0])
    detector = corpus.fit(np.array([row] * copies))
    same, other = corpus.score(detector, row), corpus.score(detector, corpus.member(corpus.cores[1]))
    assert same.score == (0.5 if copies == 1 else 0.0), "one analysis is too few to tell what is usual"
    assert other.score == (0.5 if copies == 1 else 1.0)
    assert all(math.isfinite(getattr(s, name)) for s in (same, other) for name in s.__slots__)


def test_behaviour_of_unknown_tokens_alone_is_most_unusual(corpus: Corpus) -> None:
    detector = corpus.fit(corpus.rows)
    nothing = np.zeros(TOKENS)
    assert corpus.score(detector, nothing, unknown=30).score == 1.0
    assert corpus.score(detector, nothing).score == 0.0, "no behaviour at all is not unusual behaviour"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=60), st.floats())
def test_counts_of_any_kind_give_json(values: list[float], new: float) -> None:
    fences = CountFences.fit(np.array(values, float).reshape(-1, 1), ["files_written"])
    reasons = fences.abnormal({"files_written": new, "never_heard_of": 1})
    json.dumps(msgspec.to_builtins(reasons), allow_nan=False)


def test_reasons_for_abnormal_counts_give_the_usual_range() -> None:
    usual = np.column_stack([np.arange(100.0), np.zeros(100)])
    usual[97:, 1] = 5
    fences = CountFences.fit(usual, ["files_written", "mutexes"])
    assert fences.abnormal({"files_written": 60, "mutexes": 0}) == []
    (written,) = fences.abnormal({"files_written": 2310})
    assert written.kind == "abnormal_count_outlier"
    assert "2,310" in written.text
    assert written.value == 2310
    assert fences.abnormal({"files_written": 160})[0].kind == "abnormal_count_suspect"
    assert fences.abnormal({"mutexes": 1}) == [], "most analyses having none does not make one abnormal"
    assert fences.abnormal({"mutexes": 6})[0].kind == "abnormal_count_outlier"


def test_the_reasons_of_the_seed_and_of_this_plugin() -> None:
    limits = {"high_outlier_score": 0.9, "low_probability": 0.5}
    kinds = [r.kind for r in cluster_reasons(cluster=None, probability=0.0, outlier_score=0.95, **limits)]
    assert kinds == ["no_cluster", "high_outlier_score"]
    (edge,) = cluster_reasons(cluster="zbot", probability=0.2, outlier_score=0.1, **limits)
    assert edge.kind == "low_probability"
    assert "0.20" in edge.text
    assert cluster_reasons(cluster="zbot", probability=0.9, outlier_score=math.nan, **limits) == []
    (mismatch,) = label_reasons("kovter", "zbot", {"zbot": 17, "kovter": 1})
    assert mismatch.kind == "label_mismatch"
    assert mismatch.value == pytest.approx(1 / 18)
    assert label_reasons("zbot", "zbot", {"zbot": 2, "kovter": 2}) == []
    (novel,) = novelty_reasons(0.9799, 0.25, 0.4, 0.95)
    assert novel.text.startswith("More unusual than 97.9 % of the known analyses: ")
    assert "25 % of its behaviour has never been seen before" in novel.text
    assert "its likeness to the most similar analysis in the model is 40 %." in novel.text
    assert "no analysis in the model" in novelty_reasons(0.98, 0.9, 0.0, 0.95)[0].text
    assert "has been seen before" in novelty_reasons(0.98, 0.0, 1.0, 0.95)[0].text
    assert novelty_reasons(0.94, 0.25, 0.4, 0.95) == []
