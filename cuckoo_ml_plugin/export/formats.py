"""The formats of an export, and which can be written: each but CSV needs a package that may not be installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Final

from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.plumbing.extras import optional_package

TABLE_FORMATS: Final = ("csv", "parquet")
CLUSTER_FORMATS: Final = ("misp", "stix")
OnMissing = Callable[[MissingPackageError], None]
"""Called with the error of each format that is left out, because its package is not installed."""

_PACKAGES: Final = {
    "parquet": ("pyarrow", "Parquet files"),
    "misp": ("pymisp", "MISP events"),
    "stix": ("stix2", "STIX bundles"),
}


def warn(error: MissingPackageError) -> None:
    """Tell a program of a format that is left out."""
    warnings.warn(str(error), stacklevel=5)


def possible_formats(known: Sequence[str], named: Sequence[str], on_missing: OnMissing) -> list[str]:
    """The formats to write: those that are named, or all ``known`` ones whose package is installed.

    Raises:
        MissingPackageError: the package of a named format is not installed, or no format is left.
    """
    possible: list[str] = []
    missing: list[MissingPackageError] = []
    for kind in named or known:
        try:
            if kind in _PACKAGES:
                optional_package(*_PACKAGES[kind])
            possible.append(kind)
        except MissingPackageError as error:
            missing.append(error)
    if missing and (named or not possible):
        raise MissingPackageError("; ".join(map(str, missing)))
    for left_out in missing:
        on_missing(left_out)
    return possible
