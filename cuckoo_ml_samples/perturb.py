"""New behaviours made from given ones, for benchmarks that need more analyses than a corpus has."""

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
    """A behaviour like `tokens`, such as another variant might show.

    Args:
        others: behaviours to borrow from; about `borrowed` x len(tokens) tokens come from a random one of them.
        dropped: probability that a token is dropped.
        invented: number of tokens that occur nowhere else, of kinds that `tokens` has.

    Returns:
        Sorted, unique tokens. The same `rng` state gives the same behaviour.
    """
    perturbed = {token for token in tokens if rng.random() >= dropped}
    if others:
        donor = rng.choice(others)
        count = min(len(donor), round(borrowed * len(tokens)))
        perturbed.update(rng.sample(list(donor), count))
    for _ in range(invented if tokens else 0):
        kind = rng.choice(tokens).partition(":")[0]
        perturbed.add(f"{kind}:made-up-{rng.getrandbits(64):016x}")
    return sorted(perturbed)
