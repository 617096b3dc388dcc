"""How alike two behaviours are, in terms an analyst can check: the share of known behaviour that they have in common.

Candidates come from the vectors (``neighbours.py``); among them this measure, the Jaccard index (1901) over the tokens
that the model knows, decides the order. 1 is the same known behaviour.
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
        starts: (n + 1,) where each behaviour's tokens begin in ``columns``.
        columns: columns of its tokens in the embedding's vocabulary, ascending in each behaviour.
    """

    starts: Annotated[NDArray[np.int64], Shape("n + 1", delimits="t")]
    columns: Annotated[NDArray[np.int32], Shape("t")]

    def columns_of(self, point: int) -> NDArray[np.int32]:
        """The known tokens of one behaviour, ascending."""
        return self.columns[int(self.starts[point]) : int(self.starts[point + 1])]

    def similarities(
        self, columns: NDArray[np.int64], points: NDArray[np.int64], vocabulary: int
    ) -> NDArray[np.float64]:
        """Jaccard index, in [0, 1], of a behaviour with each of k fitted ones.

        Args:
            columns: the behaviour's known tokens.
            points: (k,) the fitted behaviours.
            vocabulary: how many tokens the model knows.
        """
        shown = np.zeros(vocabulary, np.int32)
        shown[columns] = 1
        first, last = self.starts[points], self.starts[points + 1]
        parts = [self.columns[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        sizes = last - first
        if not sizes.any():
            return np.zeros(len(points))
        known = np.flatnonzero(sizes)  # what has no token has nothing to add up
        common = np.add.reduceat(shown.take(np.concatenate(parts)), (np.cumsum(sizes) - sizes)[known])
        shared = np.zeros(len(points))
        shared[known] = common
        return np.asarray(shared / np.maximum(len(columns) + sizes - shared, 1))
