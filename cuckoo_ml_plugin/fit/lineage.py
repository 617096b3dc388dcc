"""The lineage of groups from one model to the next: which keep their id and name, and what became of the others.

Groups are the clusters (ids c0, c1, ...) or the kin (k0, k1, ...), each followed on its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.groups.changes import Change

_LIKE_AN_ID = re.compile(r"[ck]\d+", re.ASCII)
SURVIVES = 0.2
"""The least Jaccard similarity of an old and a new cluster, over the analyses in both fits, to be the same."""


SEVERAL = 2
"""The least number of voices whose label names a group; an analyst's label alone suffices."""


@dataclass(frozen=True, slots=True)
class LabelVotes:
    """What the labels of a group's analyses say of its name.

    Attributes:
        of: each label, and how many votes it has.
        by_analyst: the labels that an analyst gave.
    """

    of: dict[str, int] = field(default_factory=dict)
    by_analyst: Collection[str] = ()

    @property
    def name(self) -> str | None:
        """The label with more than half of the votes, if these are ``SEVERAL`` or an analyst's; else None."""
        label, most = max(self.of.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
        is_sure = most >= SEVERAL or label in self.by_analyst
        return label if is_sure and most * 2 > sum(self.of.values()) else None

    def still_names(self, label: str) -> bool:
        """Whether no other label has more votes than this one, which has at least one."""
        return 0 < self.of.get(label, 0) >= max(self.of.values(), default=0)


@dataclass(slots=True)
class Lineage:
    """The ids and names of the new clusters, and how they came about.

    Attributes:
        ids, names, votes: one for each new cluster.
        next_number: the first number that no cluster has ever had.
        survived: how many clusters kept their id.
        moved: how many of the compared analyses are in another cluster than before, or in one where they were in none.
        compared: how many analyses both fits know.
    """

    ids: list[str]
    names: list[str]
    next_number: int
    survived: int = 0
    moved: int = 0
    compared: int = 0
    changes: list[Change] = field(default_factory=list)
    votes: Sequence[LabelVotes] = ()


@dataclass(frozen=True, slots=True)
class OldClusters:
    """The clusters of the model before: the cluster id (or None) of each analysis, and each cluster's name."""

    of_analysis: Mapping[str, str | None]
    names: Mapping[str, str]
    next_number: int


def follow(
    analyses: Sequence[str],
    labels: NDArray[np.int64],
    votes: Sequence[LabelVotes],
    old: OldClusters | None,
    births: Mapping[str, str] | None = None,
    first_number: int = 0,
    prefix: str = "c",
) -> Lineage:
    """Give the new clusters, or the new kin, ids and names.

    A new cluster that is the heir of none and holds most analyses of a group in the making takes the group's id.

    Args:
        analyses: N ids; labels: (N,) the new cluster of each, -1 for none.
        votes: for each new cluster, what the labels of its analyses say.
        old: the clusters of the model before; None for a first fit.
        births: the id of the group of each analysis that is in one.
        first_number: a number that no cluster and no group has had, nor any above it.
        prefix: the letter of the ids.
    """
    count = len(votes)
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    if old is None:
        ids = [f"{prefix}{number}" for number in range(first_number, first_number + count)]
        changes = [Change("born", i, "", int(size)) for i, size in zip(ids, sizes, strict=True)]
        lineage = Lineage(ids, _names(ids, votes, {}), first_number + count, votes=votes)
        lineage.changes = [Change(c.kind, c.cluster, n, c.size) for c, n in zip(changes, lineage.names, strict=True)]
        return lineage
    pairs: Counter[tuple[int, str | None]] = Counter()
    for analysis, new in zip(analyses, labels.tolist(), strict=True):
        if analysis in old.of_analysis:
            pairs[new, old.of_analysis[analysis]] += 1
    heirs = _heirs(pairs)
    adopted = _adopted(analyses, labels, births or {}, set(heirs))
    number = max(old.next_number, first_number)
    ids = []
    for cluster in range(count):
        if cluster in heirs or cluster in adopted:
            ids.append(heirs[cluster] if cluster in heirs else adopted[cluster])
        else:
            ids.append(f"{prefix}{number}")
            number += 1
    names = _names(ids, votes, old.names)
    unmoved = sum(n for (new, before), n in pairs.items() if (ids[new] if new >= 0 else None) == before)
    compared = sum(pairs.values())
    changes = _changes(pairs, heirs, ids, names, sizes, old.names)
    return Lineage(ids, names, number, len(heirs), compared - unmoved, compared, changes, votes)


def _heirs(pairs: Counter[tuple[int, str | None]]) -> dict[int, str]:
    """The old id that each surviving cluster keeps; the pairs with most analyses in common choose first."""
    new_sizes: Counter[int] = Counter()
    old_sizes: Counter[str | None] = Counter()
    for (new, before), n in pairs.items():
        new_sizes[new] += n
        old_sizes[before] += n
    heirs: dict[int, str] = {}
    inherited: set[str] = set()
    for (new, before), n in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0][0], str(pair[0][1]))):
        if new < 0 or before is None or new in heirs or before in inherited:
            continue
        if n / (new_sizes[new] + old_sizes[before] - n) >= SURVIVES:
            heirs[new] = before
            inherited.add(before)
    return heirs


def _adopted(
    analyses: Sequence[str], labels: NDArray[np.int64], births: Mapping[str, str], heirs: Collection[int]
) -> dict[int, str]:
    """The id of a group in the making for each cluster, no heir, that holds most of the group's analyses.

    Of several groups, a cluster takes the id of the one with most analyses in it, the oldest of equal ones.
    """
    sizes: Counter[str] = Counter()
    common: Counter[tuple[int, str]] = Counter()
    for analysis, label in zip(analyses, labels.tolist(), strict=True):
        if analysis in births:
            sizes[births[analysis]] += 1
            common[label, births[analysis]] += 1
    adopted: dict[int, str] = {}
    for (cluster, group), n in sorted(common.items(), key=lambda pair: (-pair[1], _number(pair[0][1]))):
        if cluster >= 0 and cluster not in heirs and cluster not in adopted and 2 * n > sizes[group]:
            adopted[cluster] = group
    return adopted


def _number(cluster: str) -> int:
    """The number of a cluster's id: 17 of c17."""
    return int(cluster[1:])


def _changes(
    pairs: Counter[tuple[int, str | None]],
    heirs: Mapping[int, str],
    ids: Sequence[str],
    names: Sequence[str],
    sizes: NDArray[Any],
    old_names: Mapping[str, str],
) -> list[Change]:
    changes = []
    for cluster, cluster_id in enumerate(ids):
        if cluster in heirs:
            if names[cluster] != old_names.get(cluster_id, cluster_id):
                changes.append(
                    Change("renamed", cluster_id, names[cluster], int(sizes[cluster]), old_names[cluster_id])
                )
            continue
        origin = _majority_cluster({before: n for (new, before), n in pairs.items() if new == cluster})
        kind = "split" if origin is not None else "born"
        changes.append(Change(kind, cluster_id, names[cluster], int(sizes[cluster]), origin or ""))
    for before, name in old_names.items():
        if before in heirs.values():
            continue
        parts = {new: n for (new, old), n in pairs.items() if old == before}
        goal = _majority_cluster({ids[new] if new >= 0 else None: n for new, n in parts.items()})
        kind = "merged" if goal is not None else "died"
        changes.append(Change(kind, before, name, sum(parts.values()), goal or ""))
    return changes


def _majority_cluster(parts: Mapping[str | None, int]) -> str | None:
    """The cluster with more than half of the analyses, which ``parts`` counts by cluster; None if there is none."""
    if not parts:
        return None
    best = max(parts, key=lambda key: (parts[key], str(key)))
    return best if parts[best] * 2 > sum(parts.values()) else None


def _names(ids: Sequence[str], votes: Sequence[LabelVotes], old: Mapping[str, str]) -> list[str]:
    """The name of each group: that which its labels give it, made unique, or else its id.

    Survivors keep their name while that is the label they have, or while no other label has more votes.
    """
    kept = {
        group: old[group]
        for group, labels in zip(ids, votes, strict=True)
        if old.get(group, group) != group and _holds(old[group], labels)
    }
    used = set(kept.values())
    names = []
    for group, labels in zip(ids, votes, strict=True):
        name = kept.get(group)
        if name is None:
            stem, number = _stem(labels.name) if labels.name else group, 2
            name = stem
            while name in used:
                name, number = f"{stem}-{number}", number + 1
            used.add(name)
        names.append(name)
    return names


def _holds(name: str, labels: LabelVotes) -> bool:
    """Whether a name is right for a group with these labels."""
    if labels.name is not None:
        return _is_of(name, labels.name)
    return any(_is_of(name, label) and labels.still_names(label) for label in labels.of)


def _is_of(name: str, label: str) -> bool:
    """Whether a name is a label, or a label made unique by a number."""
    stem = _stem(label)
    return name == stem or (name.startswith(f"{stem}-") and name[len(stem) + 1 :].isdecimal())


def _stem(label: str) -> str:
    """The label as a name, which must not look like an id."""
    return f"family-{label}" if _LIKE_AN_ID.fullmatch(label) else label
