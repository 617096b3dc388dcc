"""All plots, and their files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.landscape.landscape import Landscape
from cuckoo_ml_plugin.plots.counts import abnormal_counts
from cuckoo_ml_plugin.plots.distributions import distributions
from cuckoo_ml_plugin.plots.growth import growth
from cuckoo_ml_plugin.plots.labels import label_bars
from cuckoo_ml_plugin.plots.map import corpus_map
from cuckoo_ml_plugin.plots.style import plain
from cuckoo_ml_plugin.plots.tree import condensed_tree
from cuckoo_ml_plugin.plumbing.files import replacing

PLOTS: dict[str, Callable[[Landscape], Any]] = {
    "label_bars": label_bars,
    "map": corpus_map,
    "condensed_tree": condensed_tree,
    "abnormal_counts": abnormal_counts,
    "distributions": distributions,
    "growth": growth,
}
FORMATS = ("png", "svg")
_DPI = 150


def write_plots(scene: Landscape, folder: Path, formats: str | Sequence[str] = FORMATS) -> Iterator[Path]:
    """Draw every plot and write it in each format. Yields each file once it is written.

    Raises:
        CuckooMLError: matplotlib is not installed, or there is no such format.
        OSError: the folder cannot be written.
    """
    formats = [formats] if isinstance(formats, str) else formats
    if unknown := set(formats) - set(FORMATS):
        names = ", ".join(sorted(unknown))
        raise CuckooMLError(f"{names}: is no format for plots; the formats are {' and '.join(FORMATS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        for file_format in formats:
            path = folder / f"{name}.{file_format}"
            # Each format gets a figure of its own, because saving moves the parts of a figure a little.
            _save(draw(scene), path, file_format)
            yield path


@plain
def _save(drawing: Any, path: Path, file_format: str) -> None:
    """Save without date and software version, so that the same plot gives the same file."""
    with replacing(path) as file:
        drawing.savefig(
            file, format=file_format, dpi=_DPI, metadata={"Date": None} if file_format == "svg" else {"Software": None}
        )
