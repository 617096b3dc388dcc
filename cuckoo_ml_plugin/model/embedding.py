"""Behaviours as dense unit vectors: what a fit found, and how a new behaviour is put among them. NumPy only.

A behaviour is a set of tokens, each of a kind (an API call, a file written, a string). Its vector is made in four
steps:

1. a weight for each token, less the commoner it is: its inverse document frequency ``s + ln((1 + n) / (s + df))`` over
   its greatest value, to the power of ``rarity``; with ``s = 1`` (smoothed, as scikit-learn has it) behaviour that all
   analyses show still counts, with ``s = 0`` it does not;
2. kinds brought nearer to each other: a kind with many tokens (strings, opened keys) would drown one with few (mutexes,
   domains), so each kind's part is divided by its length to the power of ``balance``;
3. projection on the strongest directions of the corpus (truncated SVD: latent semantic analysis, Deerwester et al.
   1990), each divided by its singular value to the power of ``whitening``, so that the strongest do not drown the finer
   ones;
4. unit length, so that the distance of two vectors is a matter of what was done and not of how much.

These parameters are a :class:`Recipe`. Groups are found best where rare behaviour counts only a little more than
common; what is new shows best under full inverse document frequency: a model holds an embedding of each.
``vectors_fit.py`` finds the weights and directions; that part needs SciPy and scikit-learn, this one does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.model.arrays import ModelPart, Shape


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parameters of an embedding's steps 1 to 3; exponents from 0 (the step is left out) to 1.

    ``crowd``: analyses for each direction, at least. A small corpus has room for few groups; with as many directions as
    behaviours each of them would stand alone, with too few strangers would stand together.
    """

    smoothing: float
    rarity: float
    balance: float
    whitening: float
    crowd: int = 1


FOR_CLUSTERS = Recipe(smoothing=0.0, rarity=0.5, balance=0.5, whitening=0.25, crowd=2)
FOR_NOVELTY = Recipe(smoothing=1.0, rarity=1.0, balance=0.0, whitening=0.0)


@dataclass(frozen=True, slots=True)
class EmbeddedBehaviour:
    """One behaviour among the fitted ones.

    Attributes:
        vector: (d,) unit vector; all zero when nothing of it is known to the model.
        explained: share of its weighted length that the directions explain, in [0, 1]; tokens that the model does not
            know count in the length, with the weight 1.
    """

    vector: NDArray[np.float32]
    explained: float


@dataclass(frozen=True, slots=True)
class Embedding(ModelPart):
    """What a fit leaves behind: v known tokens in d dimensions.

    Attributes:
        hashes: (v,) 64-bit hashes of the known tokens, ascending.
        kinds: (v,) index of each token's kind in ``behaviour.kinds.KINDS``.
        weights: (v,) weight of each token.
        components: (v, d) projection of each token, the whitening not in it.
        scales: (d,) what the whitening multiplies each dimension by.
        balance: exponent of step 2, shape (1,).
    """

    hashes: Annotated[NDArray[np.uint64], Shape("v")]
    kinds: Annotated[NDArray[np.uint8], Shape("v")]
    weights: Annotated[NDArray[np.float32], Shape("v")]
    components: Annotated[NDArray[np.float32], Shape("v", "d")]
    scales: Annotated[NDArray[np.float32], Shape("d")]
    balance: Annotated[NDArray[np.float64], Shape(1)]

    @property
    def dimensions(self) -> int:
        return len(self.scales)

    def columns_of(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Columns of those of the tokens (given as hashes) that are known, ascending, shape (at most len(hashes),)."""
        if not len(self.hashes) or not len(hashes):
            return np.zeros(0, np.int64)
        positions = np.searchsorted(self.hashes, hashes)
        positions[positions == len(self.hashes)] = 0
        return np.unique(positions[self.hashes[positions] == hashes])

    def embed(self, columns: NDArray[np.integer[Any]], tokens: int) -> EmbeddedBehaviour:
        """Embed one behaviour, given by the columns of its known tokens (see :meth:`columns_of`).

        Args:
            tokens: how many it has, known or not.
        """
        nothing = EmbeddedBehaviour(np.zeros(self.dimensions, np.float32), 0.0)
        if not len(columns):
            return nothing
        weights = self.weights[columns].astype(np.float64)
        kinds = self.kinds[columns]
        squares: NDArray[np.float64] = np.bincount(kinds, weights * weights, minlength=256).astype(np.float64)
        known = float(weights @ weights)
        weights *= balance(squares, float(self.balance[0]))[kinds]
        length = float(np.sqrt(weights @ weights))
        if length == 0.0:
            return nothing
        # Summed in double precision and in the order of the columns, as fitting does.
        projected = np.einsum("t,td->d", weights / length, self.components.take(columns, axis=0))
        explained = min(float(np.sqrt(projected @ projected)), 1.0) * known_share(known, tokens - len(columns))
        scaled = projected * self.scales
        norm = float(np.sqrt(scaled @ scaled))
        if norm < 1e-9:
            return nothing
        return EmbeddedBehaviour((scaled / norm).astype(np.float32), explained)


def balance(squares: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """What each kind's part is multiplied by, from the square of its length (any shape); 0 where there is nothing."""
    return np.power(squares, -exponent / 2, out=np.zeros_like(squares), where=squares > 0)


def known_share(known: float, unknown: int) -> float:
    """Share of a behaviour's length that known tokens make up.

    Args:
        known: sum of the squared weights of its known tokens.
        unknown: how many others it has.
    """
    return float(np.sqrt(known / (known + max(unknown, 0)))) if known > 0 else 0.0
