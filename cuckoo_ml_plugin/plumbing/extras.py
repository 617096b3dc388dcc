"""Packages that may not be installed: what an analyst's desk, a database or a packed report needs, and the error."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import PackageNotFoundError, requires
from typing import Any, Final

from cuckoo_ml_plugin.errors import MissingPackageError
from cuckoo_ml_plugin.plumbing.commands import install_command

_DISTRIBUTION: Final = "cuckoo-ml-plugin"
_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+)\s*(?P<extras>\[[^\]]*\])?\s*\(?(?P<versions>[^;)]*)\)?")


def optional_package(module: str, feature: str) -> Any:
    """Import a module that may not be installed; ``feature`` is the subject of the error's sentence, such as "Plots".

    Raises:
        MissingPackageError: the package cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_package(module, feature, error) from error


def missing_package(module: str, feature: str, error: ImportError) -> MissingPackageError:
    """The error for a module that cannot be imported, with the command that installs its package."""
    package = module.partition(".")[0]
    command = install_command(requirement(package))
    return MissingPackageError(
        f"{feature} need the package {package}, which cannot be imported ({error}); run {command}"
    )


def requirement(package: str) -> str:
    """A package as pip takes it, with the versions that this plugin's metadata asks for, such as ``pyarrow>=14.0``."""
    try:
        listed = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # the package is imported from a folder
        listed = []
    for text in listed:
        parts = _REQUIREMENT.match(text)
        if parts and _plain(parts["name"]) == _plain(package):
            return f"{parts['name']}{parts['extras'] or ''}{parts['versions'].strip()}"
    return package


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
