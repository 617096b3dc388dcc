"""Packages of the extra ``desk``, which only analysts need, and the error where they are not installed."""

from __future__ import annotations

import importlib
from typing import Any

from cuckoo_ml_plugin.errors import CuckooMLError


def desk_package(module: str, feature: str) -> Any:
    """Import a module of the extra ``desk``; ``feature`` is the subject of the error's sentence, such as "Plots".

    Raises:
        CuckooMLError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise CuckooMLError(
            f"{feature} need the package {package}, which cannot be imported ({error}); "
            "install the extra: pip install 'cuckoo-ml-plugin[desk]'."
        ) from error
