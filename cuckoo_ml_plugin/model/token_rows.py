"""The tokens of each fitted behaviour, by which a model says how alike one is to another.

The vectors give candidates (``neighbours.py``); the likeness of the behaviours (``behaviour/likeness.py``) decides
their order. It is the same number that the store gives for the two, because all tokens are here, also those that are
too rare for the embedding. A model from before 0.3.0 has only the others and does not tell their aspects: its measure
is the Jaccard index (1901) of the tokens that it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.kinds import ASPECTS
from cuckoo_ml_plugin.behaviour.likeness import ASPECT_NUMBERS, likenesses
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape


@dataclass(frozen=True, slots=True)
class TokenRows(ModelPart):
    """The tokens of n fitted behaviours.

    Attributes:
        starts: (n + 1,) where the tokens of each behaviour begin in ``columns``.
        columns: (t,) columns of the tokens, those of one aspect together: tokens of the embedding have the columns that
            they have there, the rare ones of ``frequencies`` those that follow.
        sizes: (8 n,) how many tokens each behaviour has in each aspect; empty in a model from before 0.3.0.
    """

    starts: Annotated[NDArray[np.int64], Shape("n + 1", delimits="t")]
    columns: Annotated[NDArray[np.int32], Shape("t")]
    sizes: Annotated[NDArray[np.int32], Shape("s", since="0.3.0")]

    @property
    def has_aspects(self) -> bool:
        """Whether the rows have all tokens by aspect; if not, they have the tokens of the embedding alone."""
        return len(self.sizes) == len(ASPECTS) * (len(self.starts) - 1)

    def columns_of(self, point: int) -> NDArray[np.int32]:
        """Columns of the tokens of one behaviour."""
        return self.columns[int(self.starts[point]) : int(self.starts[point + 1])]

    def sizes_of(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many tokens each of k behaviours has in each of a aspects, shape (k, a); a is 1 without aspects."""
        if self.has_aspects:
            return self.sizes.reshape(-1, len(ASPECTS))[points].astype(np.int64)
        return (self.starts[points + 1] - self.starts[points])[:, None]

    def sizes_of_kinds(self, kinds: NDArray[np.uint8], known: int) -> NDArray[np.int64]:
        """How many tokens a new behaviour has in each of a aspects, shape (a,).

        Args:
            kinds: (t,) the kind of each of its tokens.
            known: how many of these the embedding knows.
        """
        if not self.has_aspects:
            return np.array([known])
        return np.bincount(ASPECT_NUMBERS[kinds], minlength=len(ASPECTS))[: len(ASPECTS)].astype(np.int64)

    def similarities(
        self, columns: NDArray[np.integer[Any]], own: NDArray[np.int64], points: NDArray[np.int64], tokens: int
    ) -> NDArray[np.float64]:
        """The likeness, in [0, 1], of a behaviour with each of k fitted ones; shape (k,).

        Args:
            columns: of the behaviour's tokens that have one.
            own: (a,) how many tokens it has in each aspect.
            points: (k,) the fitted behaviours.
            tokens: how many columns there are.
        """
        marks = np.zeros(tokens, np.int64)
        marks[columns] = 1
        return likenesses(own, self.sizes_of(points), self.sums(marks, points))

    def sums(self, marks: NDArray[np.int64], points: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of ``marks`` (a number for each column) over the tokens of k behaviours, by aspect; shape (k, a)."""
        first, last = self.starts[points], self.starts[points + 1]
        rows = [self.columns[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        sizes = self.sizes_of(points)
        lengths = sizes.ravel()
        sums = np.zeros(len(lengths), np.int64)
        nonempty = np.flatnonzero(lengths)  # reduceat cannot sum an empty stretch
        if len(nonempty):
            begins = (np.cumsum(lengths) - lengths)[nonempty]
            sums[nonempty] = np.add.reduceat(marks.take(np.concatenate(rows)), begins)
        return sums.reshape(sizes.shape)
