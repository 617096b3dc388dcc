"""The rows of a corpus that a model was fitted on and that have not changed since."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.likeness import ASPECT_NUMBERS, NO_ASPECT
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.model.model import Model


def fitted_rows(model: Model, corpus: Corpus) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the corpus, and the model's point of each, both (k,).

    An analysis that was stored again with another behaviour is left out, as far as the model's tokens show it.
    """
    point_of = {member.analysis: point for point, member in model.members.all()}
    pairs = [(row, point_of[name]) for row, name in enumerate(corpus.analyses) if name in point_of]
    unchanged: dict[tuple[int, int], bool] = {}
    known = _known_tokens(model, corpus)
    kept = []
    for row, point in pairs:
        pair = int(corpus.point_of[row]), point
        if pair not in unchanged:
            unchanged[pair] = np.array_equal(known[pair[0]], np.sort(model.rows.columns_of(point)))
        if unchanged[pair]:
            kept.append((row, point))
    rows, points = np.array(kept, np.int64).reshape(-1, 2).T
    return rows, points


def _known_tokens(model: Model, corpus: Corpus) -> list[NDArray[np.int64]]:
    """The tokens of each behaviour of the corpus that the model's rows may have, as their columns, ascending."""
    hashes = model.embedding.hashes
    may_be = np.ones(len(corpus.hashes), bool)
    if model.rows.has_aspects:
        hashes = model.token_hashes
        may_be = ASPECT_NUMBERS[corpus.kinds] != NO_ASPECT
    order = np.argsort(hashes)
    places = np.minimum(np.searchsorted(hashes[order], corpus.hashes), max(len(hashes) - 1, 0))
    columns = order[places] if len(hashes) else np.zeros(len(places), np.int64)
    known = may_be & (hashes[columns] == corpus.hashes) if len(hashes) else np.zeros(len(columns), bool)
    tokens = corpus.tokens[:, known].tocsr()
    mapped = columns[known][tokens.indices].astype(np.int64)
    return [np.sort(row) for row in np.split(mapped, tokens.indptr[1:-1])]
