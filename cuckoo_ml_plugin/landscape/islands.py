"""Moves far islands of a t-SNE map towards its middle, so that the rest of the map has room.

Groups that share no neighbours only repel each other, so the distance between them means nothing (Wattenberg, Viégas &
Johnson, "How to Use t-SNE Effectively", Distill 2016). A group far out makes all others small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CELLS = 64  # along the longer side; points two empty cells apart are on different islands
_MOST = 200  # the most islands that are moved
_BODY = 0.9  # the share of the points that makes up the body of the map
_ROOM = 1.15  # an island is moved only if it lies further out than the body, times this


def gather_islands(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """The places (n, 2), with far islands nearer to the middle; each keeps its shape and its direction.

    An island at a distance d beyond the radius r moves to r (1 + log(d / r) / 2), or less far if it would touch others.
    """
    from scipy.spatial import cKDTree

    middle = np.median(places, axis=0)
    reach = _ROOM * float(np.quantile(np.hypot(*(places - middle).T), _BODY))
    cell = float(np.ptp(places, axis=0).max()) / _CELLS
    if not (reach > 0 and cell > 0):
        return places
    moved = places.copy()
    islands = _islands(places, cell)
    centres = np.array([places[islands == i].mean(axis=0) - middle for i in range(islands.max() + 1)])
    distances = np.hypot(*centres.T)
    far = np.flatnonzero(distances > reach)
    for island in far[np.argsort(distances[far], kind="stable")][:_MOST].tolist():
        own = islands == island
        rest = cKDTree(moved[~own])
        target = reach * (1 + np.log(distances[island] / reach) / 2)
        shift = centres[island] * (target / distances[island] - 1)
        for share in (1.0, 0.75, 0.5, 0.25):
            if rest.query(places[own] + share * shift)[0].min() > 2 * cell:
                moved[own] = places[own] + share * shift
                break
    return moved


def _islands(places: NDArray[np.float64], cell: float) -> NDArray[np.int64]:
    """The island (n,) of each point: occupied cells form one island if they touch or lie one cell apart."""
    from scipy import ndimage

    cells = np.floor((places - places.min(axis=0)) / cell).astype(np.int64) + 1
    occupied = np.zeros(cells.max(axis=0) + 2, bool)
    occupied[cells[:, 0], cells[:, 1]] = True
    near = np.ones((3, 3), bool)
    numbers, _ = ndimage.label(ndimage.binary_dilation(occupied, near), structure=near)
    return np.asarray(numbers[cells[:, 0], cells[:, 1]] - 1, np.int64)
