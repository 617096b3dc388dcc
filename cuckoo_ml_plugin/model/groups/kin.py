"""The kin of a model: broad groups above the clusters, and the place of an analysis among them. NumPy only.

A cluster holds variants of one behaviour; a kin holds clusters, and analyses in no cluster, that still have much in
common. ``fit/groups/kin.py`` finds them. A cluster lies wholly in one kin, or in none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape
from cuckoo_ml_plugin.model.groups.clustering import WITNESSES, assign

NO_KIN = -1


@dataclass(frozen=True, slots=True)
class Kin(ModelPart):
    """The k kin of n points (distinct behaviours).

    Attributes:
        labels: (n,) the kin of each point, 0 for the largest; -1 for none.
        certainties: (n,) of each point in its kin, as ``clustering.py`` defines it for clusters; 0 for none.
        sizes: (k,) analyses in each kin.
        level: (1,) the least mean likeness of groups that were joined; empty without kin.
    """

    labels: Annotated[NDArray[np.int64], Shape("n")]
    certainties: Annotated[NDArray[np.float64], Shape("n")]
    sizes: Annotated[NDArray[np.int64], Shape("k")]
    level: Annotated[NDArray[np.float64], Shape("l")]

    @classmethod
    def none(cls, points: int) -> Kin:
        """Of ``points`` points without kin, as a model from before 0.3.0 has them."""
        return cls(np.full(points, NO_KIN), np.zeros(points), np.zeros(0, np.int64), np.zeros(0))

    def of_point(self, point: int) -> tuple[int, float]:
        """The kin that the fit gave a fitted point, and its probability: -1 and 0 for none."""
        kin = int(self.labels[point])
        return (kin, float(self.certainties[point])) if kin != NO_KIN else (NO_KIN, 0.0)

    def place(
        self,
        neighbours: NDArray[np.int64],
        distances: NDArray[np.float64],
        likenesses: NDArray[np.float64],
        multiplicities: NDArray[np.int64],
        cluster_kin: int | None,
    ) -> tuple[int, float]:
        """The kin of an analysis that was not fitted, and the certainty: -1 and 0 for none.

        The kin is its cluster's. Without a cluster it is the one that more than half of the ``WITNESSES`` most similar
        analyses are in (the k-nearest-neighbour rule, Cover & Hart 1967), if the mean likeness with these reaches the
        level.

        Args:
            neighbours: (m,) fitted points, nearest first.
            distances, likenesses: (m,) from the analysis to each.
            multiplicities: (m,) analyses that each stands for.
            cluster_kin: the kin of its cluster, -1 for a cluster without kin; None for an analysis in no cluster.
        """
        labels = self.labels[neighbours]
        kin = cluster_kin if cluster_kin is not None else self._of_most(labels, likenesses, multiplicities)
        if kin == NO_KIN:
            return NO_KIN, 0.0
        _, certainties = assign(np.array([kin]), labels[None], distances[None], multiplicities[None], self.sizes)
        return kin, float(certainties[0])

    def _of_most(
        self, labels: NDArray[np.int64], likenesses: NDArray[np.float64], multiplicities: NDArray[np.int64]
    ) -> int:
        if not len(labels) or not len(self.level):
            return NO_KIN
        counted = np.diff(np.minimum(np.cumsum(multiplicities), WITNESSES), prepend=0)
        kin, places = np.unique(labels, return_inverse=True)
        most = int(np.bincount(places, counted).argmax())
        members = places == most
        if kin[most] == NO_KIN or 2 * counted[members].sum() <= counted.sum():
            return NO_KIN
        alike = float(likenesses[members] @ counted[members]) / float(counted[members].sum())
        return int(kin[most]) if alike >= self.level[0] else NO_KIN
