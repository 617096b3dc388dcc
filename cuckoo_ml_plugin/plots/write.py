"""All pictures into a folder."""

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
from cuckoo_ml_plugin.plots.places import corpus_map
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
    """Draw every picture and write it in each format; yields the files as they are made.

    Raises:
        CuckooMLError: matplotlib is not installed, or there is no such format.
        OSError: the folder cannot be written.
    """
    formats = [formats] if isinstance(formats, str) else formats
    if strange := set(formats) - set(FORMATS):
        raise CuckooMLError(f"There is no format {', '.join(sorted(strange))}; there are {', '.join(FORMATS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        for form in formats:
            path = folder / f"{name}.{form}"
            _save(draw(scene), path, form)  # anew: saving moves the parts of a figure a little
            yield path


@plain
def _save(made: Any, path: Path, form: str) -> None:
    """The same picture gives the same file: without the date, and with names of its parts that are always the same."""
    with replacing(path) as file:
        made.savefig(file, format=form, dpi=_DPI, metadata={"Date": None} if form == "svg" else {"Software": None})
