"""The behaviours most similar to each fitted behaviour, by the measure of a finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import StoreError
from cuckoo_ml_plugin.finding.section import SimilarAnalysis
from cuckoo_ml_plugin.fit.groups.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.model.anomaly import NEIGHBOURS as NOVELTY_NEIGHBOURS
from cuckoo_ml_plugin.model.groups.clustering import CANDIDATES
from cuckoo_ml_plugin.model.model import Model

MOST_ASKED = 2_000


@dataclass(frozen=True, slots=True)
class Similar:
    """A similar behaviour: its number in the model, or -1 and the id of an analysis that is newer than the model."""

    point: int
    analysis: str
    similarity: float


def most_similar(model: Model, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers (n, k) of the behaviours most similar to each, most similar first, and their similarities in (0, 1].

    Candidates and measure are those of a finding's ``similar`` (:mod:`~cuckoo_ml_plugin.model.token_rows`).
    Rows with fewer than k similar behaviours end with -1 and 0.
    """
    vectors, rows = model.clustering.index.in_order(), model.rows
    of_clusters, _ = nearest_of_all(vectors, max(CANDIDATES, 2 * model.clustering.min_samples))
    of_novelty, _ = nearest_of_all(model.novelty_vectors, NOVELTY_NEIGHBOURS + 1)
    numbers = np.full((len(vectors), k), -1, np.int64)
    similarities = np.zeros((len(vectors), k))
    for point in range(len(vectors)):
        own = rows.sizes_of(np.array([point]))[0]
        candidates = np.union1d(of_clusters[point], of_novelty[point])
        candidate_similarities = rows.similarities(rows.columns_of(point), own, candidates, model.columns)
        best = np.lexsort((candidates, -np.round(candidate_similarities, 6)))
        best = best[(candidate_similarities[best] > 0) & (candidates[best] != point)][:k]
        numbers[point, : len(best)] = candidates[best]
        similarities[point, : len(best)] = candidate_similarities[best]
    return numbers, similarities


def similar_of_all(engine: Engine, scene: Landscape, k: int) -> list[list[Similar]]:
    """Of each fitted behaviour at most k others that are most similar, as ``similar`` and the pages name them.

    The engine asks the store for what is newer than the model (:meth:`Engine.with_stored`), as it does for a finding.
    Where nothing is newer, and beyond ``MOST_ASKED`` behaviours, which would take minutes, the model alone answers.

    Raises:
        StoreError, ModelError
    """
    points, similarities = most_similar(scene.model, k)
    of_model = [
        [Similar(int(point), "", float(share)) for point, share in zip(*row, strict=True) if point >= 0]
        for row in zip(points, similarities, strict=True)
    ]
    if not scene.newer or len(of_model) > MOST_ASKED:
        return of_model
    names = dict(zip(reversed(scene.point_of.tolist()), reversed(scene.analyses), strict=True))  # the first of each
    point_of = dict(zip(scene.analyses, scene.point_of.tolist(), strict=True))
    return [_with_newer(engine, scene, row, point, names, point_of, k) for point, row in enumerate(of_model)]


def _with_newer(
    engine: Engine,
    scene: Landscape,
    of_model: list[Similar],
    point: int,
    names: dict[int, str],
    point_of: dict[str, int],
    k: int,
) -> list[Similar]:
    stored = engine.store.get(names[point]) if point in names else None
    if stored is None:  # it was forgotten
        return of_model
    try:
        behaviour = Behaviour(*stored.unpack())
    except StoreError:  # its behaviour is damaged
        return of_model
    known = [one for one in of_model if one.point in names]  # the others have no analysis left
    listed = [SimilarAnalysis(analysis=names[one.point], similarity=one.similarity) for one in known]
    repeats = int(np.count_nonzero(scene.point_of == point))
    found = engine.with_stored(listed, behaviour, stored.analysis, 2 * k + repeats)
    similar: dict[int | str, Similar] = {}
    for neighbour in found:
        other = point_of.get(neighbour.analysis, -1)
        if other != point and (other >= 0 or neighbour.analysis in scene.newer):
            key = other if other >= 0 else neighbour.analysis
            similar.setdefault(key, Similar(other, "" if other >= 0 else neighbour.analysis, neighbour.similarity))
    return list(similar.values())[:k]
