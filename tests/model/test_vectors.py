"""Vectors: a new behaviour gets the vector that the fit would have given it, and unknown tokens count as unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cuckoo_ml_plugin.fit.embedding import embed_all, fit_embedding
from cuckoo_ml_plugin.model.embedding import FOR_CLUSTERS, FOR_NOVELTY, Embedding, Recipe
from cuckoo_ml_plugin.model.neighbours import NeighbourIndex
from cuckoo_ml_plugin.settings import SEED, VectorSettings

TOKENS = 300
SETTINGS = VectorSettings(dimensions=16, min_document_frequency=2)


def rows(analyses: int = 80, seed: int = 1) -> csr_matrix:
    """Binary rows of a few families."""
    rng = np.random.default_rng(seed)
    cores = rng.random((6, TOKENS)) < 0.1
    dense = np.array([cores[i % 6] & (rng.random(TOKENS) < 0.9) | (rng.random(TOKENS) < 0.01) for i in range(analyses)])
    return csr_matrix(dense.astype(np.float32))


HASHES = np.sort(np.random.default_rng(5).integers(0, 2**63, TOKENS).astype(np.uint64))
KINDS = np.repeat(np.arange(10), TOKENS // 10).astype(np.uint8)


def fitted(recipe: Recipe, tokens: csr_matrix) -> tuple[Embedding, csr_matrix]:
    return fit_embedding(tokens, HASHES, KINDS, np.ones(tokens.shape[0], np.int64), recipe, SETTINGS)


@pytest.mark.parametrize("recipe", [FOR_CLUSTERS, FOR_NOVELTY])
def test_behaviours_embedded_one_by_one_have_the_vectors_of_the_fit(recipe: Recipe) -> None:
    tokens = rows()
    embedding, known = fitted(recipe, tokens)
    vectors, explained = embed_all(embedding, known, np.diff(tokens.indptr))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for i in range(tokens.shape[0]):
        hashes = HASHES[tokens.indices[tokens.indptr[i] : tokens.indptr[i + 1]]]
        embedded = embedding.embed(embedding.columns_of(hashes), len(hashes))
        assert np.allclose(embedded.vector, vectors[i], atol=1e-5)
        assert embedded.explained == pytest.approx(explained[i], abs=1e-5)


def test_the_embedding_survives_its_arrays() -> None:
    embedding, _ = fitted(FOR_CLUSTERS, rows())
    again = Embedding.from_arrays(embedding.arrays())
    columns = np.arange(5)
    assert np.array_equal(again.embed(columns, 9).vector, embedding.embed(columns, 9).vector)


def test_what_is_unknown_counts_as_unexplained() -> None:
    embedding, _ = fitted(FOR_NOVELTY, rows())
    columns = np.arange(20)
    shares = [embedding.embed(columns, 20 + unknown).explained for unknown in (0, 5, 50, 5000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.2 < shares[0]
    nothing = embedding.embed(np.zeros(0, np.int64), 12)
    assert not nothing.vector.any()
    assert nothing.explained == 0


def test_kinds_that_are_left_out_do_not_move_a_vector() -> None:
    tokens = rows()
    left_out = KINDS == 3
    embedding, _ = fit_embedding(tokens, HASHES, KINDS, np.ones(80, np.int64), FOR_CLUSTERS, SETTINGS, left_out)
    assert 3 not in embedding.kinds
    assert set(embedding.kinds) == set(range(10)) - {3}


@pytest.mark.parametrize("shape", [(1, 300), (2, 300), (3, 300)])
def test_tiny_corpora_give_finite_vectors(shape: tuple[int, int]) -> None:
    tokens = csr_matrix(np.ones(shape, np.float32))
    embedding, known = fitted(FOR_CLUSTERS, tokens)
    vectors, explained = embed_all(embedding, known, np.diff(tokens.indptr))
    assert np.isfinite(vectors).all()
    assert np.isfinite(explained).all()


# -- nearest neighbours ------------------------------------------------------------------------------------------------
def groups(points: int, seed: int, dimensions: int = 8, spread: float = 0.05) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, dimensions))
    points_around = centres[rng.integers(0, 12, points)] + spread * rng.normal(size=(points, dimensions))
    vectors: NDArray[Any] = (points_around / np.linalg.norm(points_around, axis=1, keepdims=True)).astype(np.float32)
    return vectors


@settings(max_examples=20, deadline=None)
@given(
    points=st.sampled_from([0, 1, 5, 900, 5000]),
    k=st.integers(1, 40),
    seed=st.integers(0, 5),
    away=st.booleans(),
    spread=st.sampled_from([0.05, 1e-4, 1e-6, 0.0]),
)
def test_the_index_finds_what_an_exhaustive_search_finds(
    points: int, k: int, seed: int, away: bool, spread: float
) -> None:
    """Also where groups are so tight that products in single precision cannot tell their points apart."""
    vectors = groups(points, seed, spread=spread)
    index = NeighbourIndex.from_arrays(NeighbourIndex.build(vectors, SEED).arrays())
    query = groups(1, seed + 100)[0] if away or not points else vectors[points // 2]
    numbers, distances = index.nearest(query, k)
    every = np.sqrt(((vectors.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1))
    order = np.lexsort((np.arange(points), every))[:k]
    assert np.array_equal(numbers, order)
    assert np.allclose(distances, every[order], atol=1e-9)
