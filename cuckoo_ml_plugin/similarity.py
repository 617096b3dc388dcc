"""How alike two behaviours are, in terms an analyst can check: the weighted share of behaviour they have in common.

Candidates come from the vectors (``neighbours.py``); among them this measure, the weighted Jaccard index (Ioffe, ICDM
2010) over tokens that at least two analyses of the corpus show, decides the order. 1 is the same known behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TokenRows:
    """The known tokens of n fitted behaviours.

    Attributes:
        starts: (n + 1,) where each behaviour's tokens begin in ``columns``.
        columns: columns of its tokens in the embedding's vocabulary, ascending in each behaviour.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TokenRows:
        """The rows that :meth:`arrays` was taken from. Raises KeyError or ValueError when arrays do not fit."""
        rows = cls(arrays["starts"], arrays["columns"])
        if not len(rows.starts) or int(rows.starts[-1]) != len(rows.columns):
            raise ValueError("The token rows' arrays do not belong together.")
        return rows

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that :meth:`from_arrays` needs, by name."""
        return {"starts": self.starts, "columns": self.columns}

    def similarities(
        self, columns: NDArray[np.int64], points: NDArray[np.int64], weights: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Weighted Jaccard index, in [0, 1], of a behaviour with each of k fitted ones.

        Args:
            columns: the behaviour's known tokens.
            points: (k,) the fitted behaviours.
            weights: (v,) of each known token.
        """
        shown = np.zeros(len(weights), np.float64)
        shown[columns] = weights[columns]
        own = float(shown.sum())
        found = np.zeros(len(points))
        for i, point in enumerate(points):
            theirs = self.columns[self.starts[point] : self.starts[point + 1]]
            common = float(shown[theirs].sum())
            union = own + float(weights[theirs].sum(dtype=np.float64)) - common
            found[i] = common / union if union > 0 else 0.0
        return np.clip(found, 0.0, 1.0)
