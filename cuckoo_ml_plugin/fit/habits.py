"""Counts what is typical of each cluster and each kin, by which a model tells a run that did less than its like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.model.embedding import Embedding
from cuckoo_ml_plugin.model.habits import IS_ACTION, LEAST_KEPT, SHOWS_DEED, Habits


def fit_habits(
    corpus: Corpus, embedding: Embedding, known: csr_matrix, clusters: NDArray[np.int64], kin: NDArray[np.int64]
) -> Habits:
    """The habits of all clusters, then of all kin.

    Args:
        known: (n, v) the tokens of each behaviour that the embedding knows, in its columns.
        clusters, kin: (n,) the cluster and the kin of each behaviour, -1 for none.
    """
    analyses = csr_matrix(vstack([_analyses_of(corpus, clusters), _analyses_of(corpus, kin)]))
    sizes = np.asarray(analyses.sum(axis=1)).ravel()
    chosen = np.flatnonzero(IS_ACTION[embedding.kinds] & (embedding.weights > 0))
    counts = (analyses @ known[:, chosen]).tocoo()
    typical = counts.data >= LEAST_KEPT * sizes[counts.row]
    rows, columns = counts.row[typical], chosen[counts.col[typical]]
    order = np.lexsort((columns, rows))
    does = np.column_stack([_does(corpus, shows) for shows in SHOWS_DEED])
    return Habits(
        sizes=sizes.astype(np.int64),
        starts=np.searchsorted(rows[order], np.arange(len(sizes) + 1)).astype(np.int64),
        columns=columns[order].astype(np.int32),
        counts=counts.data[typical][order].astype(np.int32),
        deeds=np.asarray(analyses @ does).astype(np.int32).ravel(),
    )


def _analyses_of(corpus: Corpus, labels: NDArray[np.int64]) -> csr_matrix:
    """(groups, n): how many analyses of each group have each behaviour."""
    members = np.flatnonzero(labels >= 0)
    weights = corpus.multiplicities[members].astype(np.float64)
    return csr_matrix((weights, (labels[members], members)), shape=(int(labels.max(initial=-1)) + 1, len(labels)))


def _does(corpus: Corpus, shows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) 1 for each behaviour that has a token of the kinds (256,) that show a deed, else 0."""
    shown = corpus.tokens[:, np.flatnonzero(shows[corpus.kinds])]
    return np.asarray(shown.sum(axis=1)).ravel().astype(bool).astype(np.float64)
