"""Behaviours as dense unit vectors: a fitted embedding, and how it places a new behaviour. NumPy only.

A behaviour is a set of tokens, each of a kind (an API call, a file written, a string). Its vector is made in four
steps:

1. Each token gets a weight, lower the more common it is: its inverse document frequency
   ``s + ln((1 + n) / (s + df))`` over the greatest such value, to the power of ``rarity``. With ``s = 1`` (smoothed, as
   in scikit-learn) behaviour that all analyses show still counts; with ``s = 0`` it does not.
2. Kinds are balanced: a kind with many tokens (strings, opened keys) would drown one with few (mutexes, domains), so
   each kind's part is divided by its length to the power of ``balance``. Kinds that tell again what another kind tells
   (techniques what signatures tell) are balanced as one with it.
3. The result is projected on the strongest directions of the corpus (truncated SVD: latent semantic analysis,
   Deerwester et al. 1990). Each direction is divided by its singular value to the power of ``whitening``, so that the
   strongest do not drown the finer ones.
4. The vector is scaled to unit length, so that a distance depends on what an analysis does and not on how much.

A :class:`Recipe` holds these parameters. Clusters are found best where rare behaviour counts a little more than common
behaviour, novelty where it counts the same, so a model holds one embedding of each: what a single benign program does
and nothing else is rare, too, and with a high weight it would look as new as a new family.
``fit/embedding.py`` finds the weights and directions with SciPy and scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.behaviour.kinds import CODES, TOLD_WITH
from cuckoo_ml_plugin.model.arrays import ModelPart, Shape


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parameters of an embedding's steps 1 to 3; exponents from 0 (the step is left out) to 1.

    ``crowd`` is the least number of analyses for each direction. A small corpus has room for few groups: with as many
    directions as behaviours each behaviour would stand alone, with too few directions unrelated ones would meet.
    """

    smoothing: float
    rarity: float
    balance: float
    whitening: float
    crowd: int = 1


TOLD_TOGETHER: NDArray[np.uint8] = np.arange(256, dtype=np.uint8)
"""(256,) the kind with which each kind is balanced, by their codes."""
for _kind, _other in TOLD_WITH.items():
    TOLD_TOGETHER[CODES[_kind]] = CODES[_other]

FOR_CLUSTERS = Recipe(smoothing=0.0, rarity=0.5, balance=0.5, whitening=0.25, crowd=2)
FOR_NOVELTY = Recipe(smoothing=1.0, rarity=0.0, balance=0.25, whitening=0.0)


@dataclass(frozen=True, slots=True)
class EmbeddedBehaviour:
    """A behaviour in the space of the fitted ones.

    Attributes:
        vector: (d,) unit vector; all zero when the model knows none of its tokens.
        explained: share of its weighted length that the directions explain, in [0, 1]; a token that the model does not
            know adds to the length with the weight 1.
    """

    vector: NDArray[np.float32]
    explained: float


@dataclass(frozen=True, slots=True)
class Embedding(ModelPart):
    """A fitted embedding of v known tokens in d dimensions.

    Attributes:
        hashes: (v,) 64-bit hashes of the known tokens, ascending.
        kinds: (v,) index of each token's kind in ``behaviour.kinds.KINDS``.
        weights: (v,) weight of each token; 0 for the background of a machine, which counts nowhere.
        components: (v, d) projection of each token, before whitening.
        scales: (d,) factor of each dimension, from whitening.
        balance: (1,) exponent of step 2.
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

    def truncated(self, dimensions: int) -> Embedding:
        """The same embedding with its strongest directions alone."""
        components = np.ascontiguousarray(self.components[:, :dimensions])
        return replace(self, components=components, scales=self.scales[:dimensions])

    def columns_of(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Columns of the known ones among tokens given by their hashes, ascending, shape (at most len(hashes),)."""
        if not len(self.hashes) or not len(hashes):
            return np.zeros(0, np.int64)
        positions = np.searchsorted(self.hashes, hashes)
        positions[positions == len(self.hashes)] = 0
        columns: NDArray[np.int64] = np.unique(positions[self.hashes[positions] == hashes])
        return columns

    def is_background(self, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(t,) which of the known tokens (t,) a machine shows by itself: these have no weight."""
        background: NDArray[np.bool_] = self.weights[columns] == 0
        return background

    def embed(self, columns: NDArray[np.integer[Any]], tokens: int) -> EmbeddedBehaviour:
        """Embed one behaviour by the columns of its known tokens (see :meth:`columns_of`).

        Args:
            tokens: how many tokens it has, known or not.
        """
        nothing = EmbeddedBehaviour(np.zeros(self.dimensions, np.float32), 0.0)
        if not len(columns):
            return nothing
        weights = self.weights[columns].astype(np.float64)
        kinds = TOLD_TOGETHER[self.kinds[columns]]
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
    """The factor of each kind's part, from the square of its length (any shape); 0 where the length is 0."""
    return np.power(squares, -exponent / 2, out=np.zeros_like(squares), where=squares > 0)


def known_share(known: float, unknown: int) -> float:
    """The share of a behaviour's length that comes from known tokens.

    Args:
        known: sum of the squared weights of its known tokens.
        unknown: how many other tokens it has.
    """
    return float(np.sqrt(known / (known + max(unknown, 0)))) if known > 0 else 0.0
