"""Which fitted behaviours show a token, for a search by any behaviour.

A model knows which tokens a behaviour has by their hashes; the store knows their texts. Both are brought together here.
The index has a limit, because all tokens of a large corpus would fill hundreds of megabytes: those that tell most come
first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.finding.evidence import readability
from cuckoo_ml_plugin.model.model import Model
from cuckoo_ml_plugin.plumbing.hashes import token_hashes

MOST_TOKENS = 50_000
MOST_ENTRIES = 2_000_000  # pairs of a token and a behaviour that shows it
_READ = 4 * MOST_TOKENS  # rare tokens whose texts are read, the commonest


@dataclass(slots=True)
class BehaviourIndex:
    """The tokens that can be searched, sorted, with the behaviours (``points``) that show each.

    Attributes:
        starts: (t + 1,) where the points of each token begin in ``points``, which ascend within a token.
        known: how many tokens the model has.
    """

    tokens: list[str] = field(default_factory=list)
    starts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    points: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    known: int = 0


class IndexBuilder:
    """Collects the texts of a model's tokens from behaviours that are read anyway."""

    def __init__(self, model: Model) -> None:
        self._rows = model.rows
        rare = model.frequencies.rare_hashes if model.rows.has_aspects else model.frequencies.rare_hashes[:0]
        self._hashes = np.concatenate([model.embedding.hashes, rare])
        self._missing = np.ones(len(self._hashes), bool)
        commonest = np.argsort(-model.frequencies.rare_counts[: len(rare)], kind="stable")
        self._missing[len(model.embedding.hashes) + commonest[_READ:]] = False
        self._texts: dict[int, str] = {}

    def read(self, point: int, joined: bytes) -> None:
        """Take the texts that are still missing from the tokens of a behaviour, joined as in the store."""
        columns = self._rows.columns_of(point)
        columns = columns[self._missing[columns]]
        tokens = joined.split(b"\n") if joined and len(columns) else []
        if not tokens:
            return
        hashes = token_hashes(tokens)
        order = np.argsort(hashes)
        places = order[np.minimum(np.searchsorted(hashes[order], self._hashes[columns]), len(order) - 1)]
        for column, place in zip(columns.tolist(), places.tolist(), strict=True):
            if hashes[place] == self._hashes[column]:  # the behaviour may have changed since the fit
                self._texts[column] = tokens[place].decode("utf-8", "replace")
                self._missing[column] = False

    def index(self) -> BehaviourIndex:
        """The index of all tokens whose texts were read, as far as the limits allow."""
        behaviours = np.bincount(self._rows.columns, minlength=len(self._hashes))
        order = sorted(
            self._texts,
            key=lambda column: (
                -readability(self._texts[column].partition(":")[0]),
                -behaviours[column],
                self._texts[column],
            ),
        )[:MOST_TOKENS]
        fits = int(np.searchsorted(np.cumsum(behaviours[order]), MOST_ENTRIES, side="right")) if order else 0
        chosen = sorted(order[:fits], key=self._texts.__getitem__)
        number = np.full(len(self._hashes), -1, np.int64)
        number[chosen] = np.arange(len(chosen))
        point_of_entry = np.repeat(np.arange(len(self._rows.starts) - 1), np.diff(self._rows.starts))
        of_entry = number[self._rows.columns]
        entries = np.flatnonzero(of_entry >= 0)
        entries = entries[np.argsort(of_entry[entries], kind="stable")]
        starts = np.searchsorted(of_entry[entries], np.arange(len(chosen) + 1))
        return BehaviourIndex(
            [self._texts[column] for column in chosen], starts, point_of_entry[entries], len(self._hashes)
        )
