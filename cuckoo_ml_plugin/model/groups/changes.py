"""What a refit changed: the fate of each cluster that did not simply survive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """The fate of one cluster: it was born, split (from ``other``), merged (into ``other``), renamed or died.

    ``other`` of one that was renamed is the name that it had before.
    """

    kind: str
    cluster: str
    name: str
    size: int
    other: str = ""
