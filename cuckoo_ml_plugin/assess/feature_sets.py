"""Feature sets as vectors for clustering: the plugin's own, and CuckooML's simple, nominal, numerical and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuckoo_ml_plugin.assess.resampling import corpus_vectors
from cuckoo_ml_plugin.behaviour.kinds import KINDS
from cuckoo_ml_plugin.fit.corpus import Corpus
from cuckoo_ml_plugin.fit.fit_model import left_out_tokens
from cuckoo_ml_plugin.fit.groups.alike import AspectTokens
from cuckoo_ml_plugin.plumbing.sources import Voices
from cuckoo_ml_plugin.settings import Settings

FEATURE_SETS = ("behaviour", "simple", "nominal", "numerical", "all")
"""``behaviour``: the tokens of a refit, by the settings. ``simple``: signatures. ``nominal``: tokens of all other
kinds. ``numerical``: counts. ``all``: tokens of all kinds and counts, side by side."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Points:
    """N analyses at n distinct points: vectors (n, d) of unit length or zero, and the point (N,) of each analysis.

    ``voices`` are those of the analyses; ``tokens`` are those of the points where their likeness counts, as in a refit.
    """

    vectors: Vectors
    point_of: NDArray[np.int64]
    voices: Voices
    tokens: AspectTokens | None = None

    @property
    def weights(self) -> NDArray[np.int64]:
        """(n,) how many voices lie at each point, as in a refit."""
        return self.voices.count_by(self.point_of, len(self.vectors))


def feature_points(corpus: Corpus, name: str, settings: Settings) -> Points | None:
    """The analyses in a feature set; None if the corpus has none of its features. Raises SettingsError."""
    if name == "behaviour":
        tokens = AspectTokens.of(corpus, left_out_tokens(corpus.kinds, settings.features.leave_out))
        return Points(corpus_vectors(corpus, settings), corpus.point_of, corpus.voices, tokens)
    if name == "numerical":
        return _distinct(count_vectors(corpus.counts), corpus.voices)
    signatures = corpus.kinds == KINDS.index("signature")
    left_out = {"simple": ~signatures, "nominal": signatures, "all": np.zeros_like(signatures)}[name]
    if left_out.all():
        return None
    vectors = corpus_vectors(corpus, settings, left_out)[corpus.point_of]
    if name == "all":
        vectors = np.concatenate([vectors, count_vectors(corpus.counts)], axis=1)
    return _distinct(vectors, corpus.voices)


def count_vectors(counts: NDArray[np.float64]) -> Vectors:
    """Counts (N, c) as unit vectors (N, c): logarithms, each standardised; a missing count takes the mean."""
    logs = np.log1p(np.maximum(counts, 0))
    known = np.isfinite(logs)
    total = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, logs - np.where(known, logs, 0).sum(axis=0) / total, 0.0)
    spreads = np.sqrt((centred**2).sum(axis=0) / total)
    scaled = np.divide(centred, spreads, out=np.zeros_like(centred), where=spreads > 1e-12)
    return _unit(scaled)


def _distinct(vectors: NDArray[np.floating[Any]], voices: Voices) -> Points:
    distinct, point_of = np.unique(_unit(vectors).round(6), axis=0, return_inverse=True)
    return Points(_unit(distinct), point_of.ravel().astype(np.int64), voices)


def _unit(vectors: NDArray[np.floating[Any]]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-9)
    return np.ascontiguousarray(unit, np.float32)
