"""The place of each behaviour on the map: t-SNE of the vectors in which the clusters were found.

t-SNE: van der Maaten & Hinton, Visualizing Data using t-SNE, JMLR 2008. The library openTSNE interpolates as FIt-SNE
does (Linderman et al., Nature Methods 2019), so the time grows linearly with the number of points. The map starts from
the first two principal components, which keeps far groups apart and gives the same map for the same model. Without
openTSNE these components are the map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.fit.corpus import Progress
from cuckoo_ml_plugin.fit.groups.neighbour_graph import nearest_of_all
from cuckoo_ml_plugin.landscape.islands import gather_islands
from cuckoo_ml_plugin.plumbing.extras import optional_package
from cuckoo_ml_plugin.settings import SEED

PERPLEXITY = 30.0
_FEWEST = 10  # points; fewer are placed by their principal components alone
_EARLY, _LATE, _EVERY = 250, 500, 50  # iterations of the two stages, and between two calls of `progress`


def positions(vectors: NDArray[np.float32], progress: Progress | None = None) -> NDArray[np.float64]:
    """Places (n, 2) of n unit vectors (n, d), in [-1, 1]; the same for the same vectors.

    Args:
        progress: called with the iterations done, and how many there are.
    """
    places = _principal(vectors)
    if len(vectors) >= _FEWEST and missing_for_maps() is None:
        places = gather_islands(_tsne(vectors, places, progress))
    spread = np.abs(places - (places.max(axis=0) + places.min(axis=0)) / 2).max() if len(places) else 0.0
    centred = places - (places.max(axis=0) + places.min(axis=0)) / 2 if len(places) else places
    return np.asarray(centred / spread if spread > 0 else centred, np.float64)


def missing_for_maps() -> MissingPackageError | None:
    """Why maps show the principal components alone: the error that names openTSNE, or None where it is installed."""
    try:
        optional_package("openTSNE", "Maps of neighbours")
    except MissingPackageError as error:
        return error
    return None


def _principal(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The first two principal components, their signs fixed; (n, 2)."""
    if len(vectors) < 2:
        return np.zeros((len(vectors), 2))
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    chosen = directions[:, ::-1][:, :2]
    if chosen.shape[1] < 2:
        chosen = np.hstack([chosen, np.zeros((len(chosen), 1))])
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), [0, 1]])
    return np.asarray(centred @ (chosen * np.where(signs == 0, 1, signs)))


def _tsne(vectors: NDArray[np.float32], start: NDArray[np.float64], progress: Progress | None) -> NDArray[np.float64]:
    affinity = optional_package("openTSNE.affinity", "Maps of neighbours")
    neighbours = optional_package("openTSNE.nearest_neighbors", "Maps of neighbours")
    open_tsne = optional_package("openTSNE", "Maps of neighbours")
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    numbers, distances = nearest_of_all(vectors, int(3 * perplexity) + 1)
    nearest = neighbours.PrecomputedNeighbors(numbers[:, 1:], distances[:, 1:])
    affinities = affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=nearest)
    initial = start / max(float(start[:, 0].std()), 1e-12) * 1e-4
    embedding = open_tsne.TSNEEmbedding(
        initial, affinities, negative_gradient_method="auto", n_jobs=1, random_state=SEED, learning_rate="auto"
    )
    for done, (iterations, exaggeration, momentum) in ((0, (_EARLY, 12, 0.5)), (_EARLY, (_LATE, 1, 0.8))):
        embedding = embedding.optimize(
            n_iter=iterations,
            exaggeration=exaggeration,
            momentum=momentum,
            callbacks=_callback(progress, done),
            callbacks_every_iters=_EVERY,
        )
    return np.asarray(embedding, np.float64)


def _callback(progress: Progress | None, before: int) -> Any:
    def callback(iteration: int, *_: object) -> None:
        if progress is not None:
            progress(before + iteration, _EARLY + _LATE)

    return callback
