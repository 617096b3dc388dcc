"""What nearly all analyses of a cluster or a kin do, and how much of it another analysis lacks.

A run that was cut off, or in which the sample waited in vain, does less than its like and nothing else. The model keeps
what is typical of each group, so that a host can tell without a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.kinds import ACTION_KINDS, CODES, DEEDS
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape

LEAST_KEPT: Final = 0.5
"""The least share of a group's analyses that show a behaviour which the model keeps as typical."""
NEARLY_ALL: Final = 0.9
"""The share of a group's analyses from which nearly all of them show a behaviour; all but one always are."""
LEAST_ANALYSES: Final = 5
"""The least size of a group from which what all of it do is a habit."""
LEAST_INSIDE: Final = 0.5
"""The least share of an analysis' own actions that are typical of a group which it was not placed in."""
_SIMILARITY_WEIGHT: Final = 2.0
_PLACED: Final = 0.5  # what being placed in a group counts beside the share of typical actions


def _table(kinds: frozenset[str]) -> NDArray[np.bool_]:
    """(256,) whether a kind's code is one of these kinds'."""
    table = np.zeros(256, np.bool_)
    table[[CODES[kind] for kind in kinds]] = True
    return table


IS_ACTION: Final = _table(ACTION_KINDS)
"""(256,) whether the kind with a code is one of what a sample does."""
SHOWS_DEED: Final = np.array([_table(kinds) for kinds in DEEDS.values()])
"""(d, 256) whether the kind with a code shows each of ``DEEDS``."""


def deeds_of(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(d,) which of ``DEEDS`` the kinds (t,) of an analysis' tokens show."""
    does: NDArray[np.bool_] = np.logical_or.reduce(SHOWS_DEED[:, kinds], axis=1)
    return does


def _nearly_all(analyses: int) -> float:
    """How many of a group's analyses are nearly all of them. One may be the analysis in question."""
    return min(NEARLY_ALL * analyses, analyses - 1)


@dataclass(frozen=True, slots=True)
class Lack:
    """What an analysis lacks of the habits of its group.

    Attributes:
        group: the number of the group: of a cluster, or the number of clusters plus that of a kin.
        placed: whether the analysis was placed in the group.
        analyses: the fitted analyses of the group.
        habits: how many pieces of behaviour nearly all of these show.
        share: of the behaviour that nearly all of the group show, each piece weighted by how many show it, the share
            that this analysis does not show, in [0, 1].
        score: how sure it is that the run is incomplete, in [0, 1]: the share, less what the group's analyses lack in
            the mean; times the square of the share of its actions that are typical of the group, if it was not placed
            there.
        deeds: of ``DEEDS``, those that nearly all of the group do and this analysis does not, with how many do it.
    """

    group: int
    placed: bool
    analyses: int
    habits: int
    share: float
    score: float
    deeds: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Habits(ModelPart):
    """What is typical of each of g groups: first the clusters, then the kin.

    Attributes:
        sizes: (g,) the fitted analyses of each group.
        starts: (g + 1,) where each group's entries begin in ``columns`` and ``counts``.
        columns, counts: (e,) the actions with weight in the embedding that at least ``LEAST_KEPT`` of a group's
            analyses show, ascending within a group, and how many analyses show each.
        deeds: (d,) how many analyses of each group do each of ``DEEDS``: g rows.
    """

    sizes: Annotated[NDArray[np.int64], Shape("g")]
    starts: Annotated[NDArray[np.int64], Shape("g + 1", delimits="e")]
    columns: Annotated[NDArray[np.int32], Shape("e")]
    counts: Annotated[NDArray[np.int32], Shape("e")]
    deeds: Annotated[NDArray[np.int32], Shape("d")]

    @classmethod
    def none(cls) -> Habits:
        """Of no group, as a model from before them has."""
        none = np.zeros(0, np.int32)
        return cls(np.zeros(0, np.int64), np.zeros(1, np.int64), none, none, none)

    def has_habits(self, groups: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(m,) whether each of these groups, -1 for none, is large enough to have habits."""
        return (groups >= 0) & (np.append(self.sizes, 0)[groups] >= LEAST_ANALYSES)

    def lack(
        self,
        groups: NDArray[np.int64],
        similarities: NDArray[np.float64],
        placed: int,
        own: NDArray[np.bool_],
        actions: int,
        does: NDArray[np.bool_],
    ) -> Lack | None:
        """What an analysis lacks of the habits of the group that it most probably belongs to.

        A run that was cut off may lie among others that do little, or nowhere. Its group is therefore that one, of
        those of the most similar analyses, to which it is most similar and of which its own actions are most typical.
        None where no group is large enough, or where its actions are typical of none.

        Args:
            groups, similarities: (m,) the groups of similar analyses, and their likeness; -1: in no group.
            placed: the group that the analysis is in, -1 for none.
            own: (v,) whether it shows each known token and this is an action with weight in the embedding.
            actions: how many actions it shows that are no background, known or not.
            does: (d,) which of ``DEEDS`` it does.
        """
        best: tuple[float, int, float] | None = None
        for group in np.unique(groups[self.has_habits(groups)]).tolist():
            inside = float(np.count_nonzero(own[self._typical(group)])) / actions if actions else 1.0
            if group != placed and inside < LEAST_INSIDE:
                continue
            alike = _SIMILARITY_WEIGHT * float(similarities[groups == group].max())
            rank = alike + (inside if len(self._habits(group)[0]) else LEAST_INSIDE) + _PLACED * (group == placed)
            if best is None or rank > best[0]:
                best = rank, group, 1.0 if group == placed else inside**2
        if best is None:
            return None
        _, group, certainty = best
        size = int(self.sizes[group])
        columns, counts = self._habits(group)
        total = max(float(counts.sum()), 1.0)
        share = float(counts[~own[columns]].sum()) / total
        usual = float((counts * (1 - counts / size)).sum()) / total  # the mean of the group's own analyses
        score = max(share - usual, 0.0) * certainty
        return Lack(group, group == placed, size, len(columns), share, score, tuple(self._deeds_lacking(group, does)))

    def _typical(self, group: int) -> NDArray[np.int32]:
        return self.columns[int(self.starts[group]) : int(self.starts[group + 1])]

    def _habits(self, group: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The actions of nearly all analyses of a group, and how many show each."""
        counts = self.counts[int(self.starts[group]) : int(self.starts[group + 1])]
        frequent = counts >= _nearly_all(int(self.sizes[group]))
        return self._typical(group)[frequent], counts[frequent]

    def _deeds_lacking(self, group: int, does: NDArray[np.bool_]) -> Sequence[tuple[str, int]]:
        if len(self.deeds) != len(self.sizes) * len(DEEDS):  # of a version with other deeds
            return []
        counts = self.deeds.reshape(-1, len(DEEDS))[group]
        return [
            (deed, int(count))
            for deed, count, done in zip(DEEDS, counts, does, strict=True)
            if not done and count >= _nearly_all(int(self.sizes[group]))
        ]
