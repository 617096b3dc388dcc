"""The similarity of two behaviours in terms that an analyst can check: the share of known behaviour in common.

The vectors give candidates (``neighbours.py``); this measure, the Jaccard index (1901) of the tokens that the model
knows, decides their order. It is 1 for behaviours that agree in all that the model knows.
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
        self, columns: NDArray[np.int64], points: NDArray[np.int64], vocabulary: int
    ) -> NDArray[np.float64]:
        """The Jaccard index, in [0, 1], of a behaviour with each of k fitted ones; shape (k,).

        Args:
            columns: of the behaviour's known tokens.
            points: (k,) the fitted behaviours.
            vocabulary: how many tokens the model knows.
        """
        is_shown = np.zeros(vocabulary, np.int32)
        is_shown[columns] = 1
        first, last = self.starts[points], self.starts[points + 1]
        rows = [self.columns[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        sizes = last - first
        if not sizes.any():
            return np.zeros(len(points))
        nonempty = np.flatnonzero(sizes)  # reduceat cannot sum an empty row
        common = np.add.reduceat(is_shown.take(np.concatenate(rows)), (np.cumsum(sizes) - sizes)[nonempty])
        shared = np.zeros(len(points))
        shared[nonempty] = common
        return np.asarray(shared / np.maximum(len(columns) + sizes - shared, 1))
