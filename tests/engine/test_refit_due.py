"""Drift is told from chance by a binomial tail, computed without SciPy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from cuckoo_ml_plugin.engine.refit_due import chance_of_at_least


@settings(max_examples=200, deadline=None)
@given(trials=st.integers(0, 3000), share=st.floats(0, 1), probability=st.floats(0.001, 0.999))
def test_the_chance_is_that_of_scipy(trials: int, share: float, probability: float) -> None:
    successes = round(share * trials)
    expected = float(binom.sf(successes - 1, trials, probability))
    assert chance_of_at_least(successes, trials, probability) == pytest.approx(expected, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(("successes", "probability"), [(50_500, 0.05), (51_100, 0.05), (0, 0.05), (500_100, 0.5)])
def test_a_million_trials_are_exact(successes: int, probability: float) -> None:
    chance = chance_of_at_least(successes, 10**6, probability)
    assert abs(chance - float(binom.sf(successes - 1, 10**6, probability))) < 1e-12


@pytest.mark.parametrize(
    ("successes", "trials", "probability", "expected"),
    [(0, 0, 0.5, 1.0), (1, 0, 0.5, 0.0), (3, 2, 0.5, 0.0), (1, 5, 0.0, 0.0), (5, 5, 1.0, 1.0), (0, 5, 0.0, 1.0)],
)
def test_edges(successes: int, trials: int, probability: float, expected: float) -> None:
    assert chance_of_at_least(successes, trials, probability) == expected
