"""Makes new behaviours out of known ones, for benchmarks that need more analyses than there are."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def perturb(
    tokens: Sequence[str],
    rng: Random,
    *,
    others: Sequence[Sequence[str]] = (),
    dropped: float = 0.08,
    borrowed: float = 0.04,
    invented: int = 3,
) -> list[str]:
    """A behaviour like `tokens`, as another run of another variant might have been.

    Drops each token with probability `dropped`, adds about `borrowed` x len(tokens) tokens from a random one of
    `others` (none when there are none) and `invented` tokens that occur nowhere else, of kinds that `tokens` has.
    Returns sorted, unique tokens. The same `rng` state gives the same behaviour.
    """
    kept = {token for token in tokens if rng.random() >= dropped}
    if others:
        donor = rng.choice(others)
        count = min(len(donor), round(borrowed * len(tokens)))
        kept.update(rng.sample(list(donor), count))
    for _ in range(invented if tokens else 0):
        kind = rng.choice(tokens).partition(":")[0]
        kept.add(f"{kind}:made-up-{rng.getrandbits(64):016x}")
    return sorted(kept)
