"""The colours of families, clusters and kin: the one definition, which plots and the atlas share.

A family has one colour wherever it appears, and a cluster or kin has the colour of its commonest label. Those without
labels have colours of their own.
"""

from __future__ import annotations

import colorsys
from collections import Counter
from dataclasses import dataclass

from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.model.model import ClusterFacts

# Okabe and Ito's palette, which people with any colour vision can tell apart, and three more colours.
_PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#8c6bb1", "#8c564b")


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours of a landscape, as ``#rrggbb``.

    Attributes:
        families: of each family, the commonest first.
        clusters, kins: in the order of the landscape.
    """

    families: dict[str, str]
    clusters: list[str]
    kins: list[str]


def colours_of(scene: Landscape) -> Colours:
    """The colours of a landscape; the same for the same labels."""
    analyses = Counter(family for family in scene.families if family)
    for group in (*scene.clusters, *scene.kins):
        analyses.update(dict.fromkeys(group.labels, 0))  # a label may have been taken back since the fit
    ranked = sorted(analyses, key=lambda family: (-analyses[family], family))
    families = {family: _colour(number) for number, family in enumerate(ranked)}
    taken = len(families)

    def of_group(group: ClusterFacts) -> str:
        nonlocal taken
        label = next(iter(group.labels), None)
        if label is not None:
            return families[label]
        taken += 1
        return _colour(taken - 1)

    return Colours(families, [of_group(group) for group in scene.clusters], [of_group(group) for group in scene.kins])


def _colour(number: int) -> str:
    """First the palette, then hues a golden angle apart."""
    if number < len(_PALETTE):
        return _PALETTE[number]
    red, green, blue = colorsys.hls_to_rgb((number * 0.61803398875 + 0.35) % 1.0, 0.38 + 0.14 * (number % 3), 0.6)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
