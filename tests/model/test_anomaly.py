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
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.behaviour.kinds import CODES
from cuckoo_ml_plugin.finding.reasons import cluster_reasons, label_reasons, novelty_reasons
from cuckoo_ml_plugin.fit.anomaly import WeightedTokens, score_fitted
from cuckoo_ml_plugin.fit.calibration import FOLDS, WIDE, held_back_unusualness
from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.model.anomaly import (
    LEAST_REFERENCE,
    NEIGHBOURS,
    AnomalyDetector,
    AnomalyScore,
    place,
    unusualness,
)
from cuckoo_ml_plugin.model.embedding import FOR_NOVELTY
from cuckoo_ml_plugin.model.fences import CountFences
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.settings import SEED, VectorSettings

TOKENS, DIMENSIONS = 120, 12
NORMAL_TOKENS = 100  # families use these; the rest is seen by nobody


class Corpus:
    """Families of analyses, each with a core of tokens of its own, and the detector of a fit on them."""

    def __init__(self, families: int = 6, size: int = 60, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.cores = [self.rng.choice(NORMAL_TOKENS, 25, replace=False) for _ in range(families)]
        self.rows = np.array([self.member(core) for core in self.cores for _ in range(size)])

    def member(self, core: NDArray[Any]) -> NDArray[Any]:
        row = np.zeros(TOKENS)
        row[core] = self.rng.random(len(core)) < 0.85
        row[self.rng.choice(NORMAL_TOKENS, 2)] = 1
        return row

    def fit(
        self, rows: NDArray[Any], least_frequency: int = 1, sources: NDArray[np.int64] | None = None
    ) -> AnomalyDetector:
        unique, counts = np.unique(rows, axis=0, return_counts=True)
        hashes, kinds = np.arange(TOKENS, dtype=np.uint64), np.full(TOKENS, CODES["mutex"], np.uint8)
        settings = VectorSettings(WIDE, least_frequency)
        wide, known = fit_embedding(csr_matrix(unique), hashes, kinds, counts, FOR_NOVELTY, settings)
        self.embedding, sizes = wide.truncated(DIMENSIONS), unique.sum(axis=1).astype(np.int64)
        vectors, explained = embed_all(self.embedding, known, sizes)
        self.placed, self.weighted = place(vectors, explained), WeightedTokens(wide, known)
        self.index = NeighbourIndex.build(self.placed, SEED)
        sources = np.full(len(counts), -1) if sources is None else sources
        reference = held_back_unusualness(
            wide, DIMENSIONS, known, sizes, counts, sources, self.weighted, least_frequency
        )
        return AnomalyDetector(counts, explained, reference, self.weighted.sizes.ravel().astype(np.int32), sources)

    def nearest(self, row: NDArray[Any], unknown: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Neighbours, their distances and the likeness to them, as scoring finds them."""
        columns = self.embedding.columns_of(np.flatnonzero(row).astype(np.uint64))
        embedded = self.embedding.embed(columns, int(row.sum()) + unknown)
        vector = place(embedded.vector[None], np.array([embedded.explained]))[0]
        neighbours, distances = self.index.nearest(vector, NEIGHBOURS + 1)
        known = csr_matrix((np.ones(len(columns)), ([0] * len(columns), columns)), (1, len(self.embedding.hashes)))
        return neighbours, distances, self.weighted.likeness_to(self.weighted.of(known), neighbours[None])[0]

    def score(self, detector: AnomalyDetector, row: NDArray[Any], unknown: int = 0) -> AnomalyScore | None:
        neighbours, distances, likeness = self.nearest(row, unknown)
        known = int(row.sum())
        return detector.score(distances, neighbours, likeness, known, known + unknown)

    def sure_score(self, detector: AnomalyDetector, row: NDArray[Any], unknown: int = 0) -> float:
        scored = self.score(detector, row, unknown)
        assert scored is not None
        return scored.score


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus()


def test_a_new_family_is_more_unusual_than_new_samples_of_known_ones(corpus: Corpus) -> None:
    detector = corpus.fit(corpus.rows)
    known = [corpus.sure_score(detector, corpus.member(core)) for core in corpus.cores for _ in range(20)]
    stranger = corpus.rng.choice(NORMAL_TOKENS, 25, replace=False)
    new = [corpus.sure_score(detector, corpus.member(stranger)) for _ in range(20)]
    assert np.median(new) > 0.95
    assert np.mean(np.array(known) >= 0.95) < 0.12
    assert 0.35 < np.mean(known) < 0.65, "scores of known families must be spread evenly over [0, 1]"


@pytest.mark.parametrize("repeats", [0, 2])
@pytest.mark.parametrize("several", [False, True])
def test_the_reference_of_an_analysis_is_what_it_would_get_had_it_not_been_fitted(repeats: int, several: bool) -> None:
    corpus = Corpus(families=2, size=9 if repeats else 10, seed=3)  # as many analyses as folds
    rows = np.vstack([corpus.rows, *[corpus.rows[:1]] * repeats])
    assert len(rows) == FOLDS
    sender = {row.tobytes(): number % 5 for number, row in enumerate(corpus.rows)}  # every fifth is nobody's

    def sources_of(rows: NDArray[Any]) -> NDArray[np.int64]:
        unique, counts = np.unique(rows, axis=0, return_counts=True)
        sent = np.array([sender[row.tobytes()] for row in unique]) - 1
        return np.where(counts > 1, -1, sent) if several else np.full(len(unique), -1)

    reference = corpus.fit(rows, sources=sources_of(rows)).reference
    expected = []
    for left_out in range(len(rows)):
        others = np.delete(rows, left_out, axis=0)
        detector = corpus.fit(others, sources=sources_of(others))
        unseen = int(rows[left_out][others.sum(axis=0) == 0].sum())
        neighbours, distances, likeness = (values[:NEIGHBOURS] for values in corpus.nearest(rows[left_out], 0))
        assert unseen or likeness.max()
        source = detector.source_of_most_alike(neighbours, likeness)
        counts = detector.sources[neighbours] != source if source >= 0 else np.ones(len(neighbours), bool)
        assert counts.any()
        weights = (detector.multiplicities[neighbours] * counts)[None]
        expected += unusualness(distances[None], weights, np.array([likeness[counts].max()])).tolist()
    assert reference == pytest.approx(sorted(expected), abs=2e-5)


def test_new_analyses_of_the_same_families_are_as_unusual_as_the_reference() -> None:
    """Over several corpora, the score is the share that it promises to be."""
    scores: list[float] = []
    for seed in range(12):
        corpus = Corpus(families=4, size=40, seed=seed)
        detector = corpus.fit(corpus.rows, least_frequency=3)
        scores += [corpus.sure_score(detector, corpus.member(core)) for core in corpus.cores for _ in range(40)]
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert abs(np.mean(np.array(scores) < share) - share) < 0.03, share


def test_the_likeness_to_the_nearest_tells_two_analyses_apart_that_lie_at_one_place(corpus: Corpus) -> None:
    detector = corpus.fit(corpus.rows)
    neighbours, distances, likeness = corpus.nearest(corpus.member(corpus.cores[0]))
    assert likeness.max() > 0.3
    alike = detector.score(distances, neighbours, likeness, 25, 25)
    unlike = detector.score(distances, neighbours, np.full(len(neighbours), 0.05), 25, 25)
    assert alike is not None
    assert unlike is not None
    assert alike.score + 0.2 < unlike.score


def test_repeats_count_as_analyses(corpus: Corpus) -> None:
    repeated = np.vstack([corpus.rows] + [corpus.rows[:1]] * 40)
    detector = corpus.fit(repeated)
    assert detector.multiplicities.sum() == len(repeated)
    assert len(detector.reference) == len(repeated), "a share of analyses, not of distinct behaviours"
    assert corpus.sure_score(detector, corpus.rows[0]) == 0.0, "nothing is less unusual than what is seen most often"
    fitted = score_fitted(corpus.placed, corpus.weighted, detector.multiplicities, detector.sources)
    assert fitted[int(np.argmax(detector.multiplicities))] == 0.0


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


def test_the_detector_of_a_model_from_before_keeps_its_measure() -> None:
    vectors = np.eye(4)
    arrays = {
        "multiplicities": np.array([3, 1, 20, 1]),
        "explained": np.array([1.0, 0.5, 0.8, 0.2], np.float32),
        "reference": np.linspace(-3, 1, 401),
    }
    detector = AnomalyDetector.from_arrays(arrays)
    assert not detector.uses_likeness
    scored = detector.older_score(vectors[0], 0.9, np.arange(4), vectors, 10, 10)
    distances = [0.1, math.hypot(0.9, 0.5), math.hypot(0.9, 0.8), math.hypot(0.9, 0.2)]
    # Twenty by their unit vectors: 3, 1 and 16 of them. The ten nearest of these, by the scaled ones: 3, 1 and 6.
    mean = sum(n * math.log(d + 0.05) for n, d in zip((3, 1, 6), distances, strict=False)) / 10
    assert scored is not None
    assert scored.score == np.searchsorted(arrays["reference"], mean + 0.5 * math.sqrt(1 - 0.81)) / 401


@pytest.mark.parametrize("copies", [1, 2, LEAST_REFERENCE - 1, LEAST_REFERENCE, 50])
def test_a_corpus_of_one_behaviour_gives_finite_scores_and_a_small_one_none(corpus: Corpus, copies: int) -> None:
    row = corpus.member(corpus.cores[0])
    detector = corpus.fit(np.array([row] * copies))
    same, other = corpus.score(detector, row), corpus.score(detector, corpus.member(corpus.cores[1]))
    if copies < LEAST_REFERENCE:
        assert not detector.is_calibrated
        assert (same, other) == (None, None), "too few analyses to tell what is usual"
        return
    assert same is not None
    assert other is not None
    assert (same.score, other.score) == (0.0, 1.0)
    assert all(math.isfinite(getattr(s, name)) for s in (same, other) for name in s.__slots__)


def test_behaviour_of_unknown_tokens_alone_is_most_unusual(corpus: Corpus) -> None:
    detector = corpus.fit(corpus.rows)
    nothing = np.zeros(TOKENS)
    assert corpus.sure_score(detector, nothing, unknown=30) == 1.0
    assert corpus.sure_score(detector, nothing) == 0.0, "no behaviour at all is not unusual behaviour"


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


def test_a_count_within_the_range_that_its_sentence_would_state_is_no_reason() -> None:
    skewed = np.array([3.0] * 30 + [7.0] * 40 + [12.0] * 20 + [54.0] * 10)
    fences = CountFences.fit(skewed.reshape(-1, 1), ["files_touched"])
    assert fences.verdicts({"files_touched": 50}) == {"files_touched": "outlier"}, "outside Tukey's fences"
    assert fences.abnormal({"files_touched": 50}) == []
    assert fences.abnormal({"files_touched": 54}) == []
    (reason,) = fences.abnormal({"files_touched": 55})
    assert reason.text == "Files touched: 55, where half of the known analyses have 3 to 12, and 99 % have at most 54."


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
    assert novel.value == 0.9799
    assert "97" not in novel.text, "the score stands beside the reasons"
    assert "25 % of its behaviour has never been seen before" in novel.text
    assert "its likeness to the most similar analysis in the model is 40 %." in novel.text
    assert "no analysis in the model" in novelty_reasons(0.98, 0.9, 0.0, 0.95)[0].text
    assert "has been seen before" in novelty_reasons(0.98, 0.0, 1.0, 0.95)[0].text
    assert novelty_reasons(0.94, 0.25, 0.4, 0.95) == []
