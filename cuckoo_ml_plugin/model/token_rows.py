"""The similarity of two behaviours in terms that an analyst can check: the share of known behaviour in common.

The vectors give candidates (``neighbours.py``); this measure, the Jaccard index (1901) of the tokens that the model
knows, without background, decides their order. It is 1 for behaviours that agree in all that the model knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape


@dataclass(frozen=True, slots=True)
class TokenRows(ModelPart):
    """The known tokens of n fitted behaviours.

    Attributes:
        starts: (n + 1,) where the tokens of each behaviour begin in ``columns``.
        columns: (t,) columns of the tokens in the embedding, ascending within each behaviour.
    """

    starts: Annotated[NDArray[np.int64], Shape("n + 1", delimits="t")]
    columns: Annotated[NDArray[np.int32], Shape("t")]

    def columns_of(self, point: int) -> NDArray[np.int32]:
        """Columns of the known tokens of one behaviour, ascending."""
        return self.columns[int(self.starts[point]) : int(self.starts[point + 1])]

    def similarities(
        self, columns: NDArray[np.int64], points: NDArray[np.int64], weights: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """The Jaccard index, in [0, 1], of a behaviour with each of k fitted ones; shape (k,).

        Args:
            columns: of the behaviour's known tokens.
            points: (k,) the fitted behaviours.
            weights: (v,) of the tokens that the model knows; those without weight are background and do not count.
        """
        counted = columns[weights[columns] > 0]
        is_shown = np.zeros(len(weights), np.int32)
        is_shown[counted] = 1
        first, last = self.starts[points], self.starts[points + 1]
        lengths = last - first
        if not lengths.any():
            return np.zeros(len(points))
        of_all = np.concatenate([self.columns[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)])
        nonempty = np.flatnonzero(lengths)  # reduceat cannot sum an empty row
        starts = (np.cumsum(lengths) - lengths)[nonempty]
        shared, sizes = np.zeros(len(points)), np.zeros(len(points))
        shared[nonempty] = np.add.reduceat(is_shown.take(of_all), starts)
        sizes[nonempty] = np.add.reduceat((weights.take(of_all) > 0).astype(np.int32), starts)
        return np.asarray(shared / np.maximum(len(counted) + sizes - shared, 1))
