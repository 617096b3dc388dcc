"""The kin of a model: broad groups above the clusters, and the place of an analysis among them. NumPy only.

A cluster holds variants of one behaviour; a kin holds clusters, and analyses in no cluster, that still have much in
common. ``fit/kin.py`` finds them. A cluster lies wholly in one kin, or in none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape

NO_KIN = -1
NEIGHBOURS = 16
"""How many analyses decide on the kin of another, most alike first; repeats of one behaviour count."""


@dataclass(frozen=True, slots=True)
class Kin(ModelPart):
    """The kin of n points (distinct behaviours).

    Attributes:
        labels: (n,) the kin of each point, 0 for the largest; -1 for none.
        certainties: (n,) the share of the most alike other analyses that are in the point's kin, in [0, 1]; 0 for
            none.
    """

    labels: Annotated[NDArray[np.int64], Shape("n")]
    certainties: Annotated[NDArray[np.float64], Shape("n")]

    @classmethod
    def none(cls, points: int) -> Kin:
        """Of ``points`` points without kin, as a model from before 0.3.0 has them."""
        return cls(np.full(points, NO_KIN), np.zeros(points))

    def of_point(self, point: int) -> tuple[int, float]:
        """The kin that the fit gave a fitted point, and its probability: -1 and 0 for none."""
        kin = int(self.labels[point])
        return (kin, float(self.certainties[point])) if kin != NO_KIN else (NO_KIN, 0.0)

    def place(
        self,
        neighbours: NDArray[np.int64],
        similarities: NDArray[np.float64],
        multiplicities: NDArray[np.int64],
        cluster_kin: int | None,
    ) -> tuple[int, float]:
        """The kin of an analysis that was not fitted, and its probability: -1 and 0 for none.

        The kin is its cluster's; without a cluster, the one that more than half of the ``NEIGHBOURS`` most alike
        analyses are in. The probability is their share in this kin (the k-nearest-neighbour rule, Cover & Hart 1967).

        Args:
            neighbours: (k,) fitted points.
            similarities: (k,) the likeness of the analysis with each, in [0, 1]; points at 0 do not count.
            multiplicities: (k,) analyses that each stands for.
            cluster_kin: the kin of its cluster, -1 for a cluster without kin; None for an analysis in no cluster.
        """
        order = np.lexsort((neighbours, -np.round(similarities, 6)))[:NEIGHBOURS]
        alike = order[similarities[order] > 0]
        shares = kin_shares(self.labels[neighbours[alike]], multiplicities[alike])
        kin = cluster_kin if cluster_kin is not None else _majority(shares)
        return (kin, shares.get(kin, 0.0)) if kin != NO_KIN else (NO_KIN, 0.0)


def kin_shares(labels: NDArray[np.int64], multiplicities: NDArray[np.int64]) -> dict[int, float]:
    """The share of each kin, and of none (-1), among the ``NEIGHBOURS`` first analyses.

    Args:
        labels, multiplicities: (k,) the kin of each point and the analyses that it stands for, most alike first.
    """
    counts: dict[int, int] = {}
    left = NEIGHBOURS
    for kin, analyses in zip(labels.tolist(), multiplicities.tolist(), strict=True):
        if not left:
            break
        counted = min(analyses, left)
        counts[kin] = counts.get(kin, 0) + counted
        left -= counted
    return {kin: count / (NEIGHBOURS - left) for kin, count in counts.items()}


def _majority(shares: dict[int, float]) -> int:
    """The kin with more than half, -1 if there is none."""
    return next((kin for kin, share in shares.items() if share > 0.5), NO_KIN)
