"""Machine learning for malware sandboxes: clusters, similar past analyses and anomaly scores for their reports.

``__all__`` is the public API from Python (docs/api.md). Its classes are loaded when they are first used, so that
importing a room of this package, as a sandbox does, never imports pandas or what only fitting needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cuckoo_ml_plugin.errors import (
    BusyError,
    CuckooMLError,
    MissingPackageError,
    ModelError,
    NoModelError,
    NotEnoughError,
    ReportError,
    SettingsError,
    StoreError,
    TableError,
)
from cuckoo_ml_plugin.version import __version__

if TYPE_CHECKING:
    from cuckoo_ml_plugin.assess.assessment import Assessment
    from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
    from cuckoo_ml_plugin.finding.section import Finding
    from cuckoo_ml_plugin.frames.desk import Desk
    from cuckoo_ml_plugin.intake.import_reports import ImportResult
    from cuckoo_ml_plugin.report.labels import Label

__all__ = [
    "Assessment",
    "Behaviour",
    "BusyError",
    "CuckooMLError",
    "Desk",
    "Finding",
    "ImportResult",
    "Label",
    "MissingPackageError",
    "ModelError",
    "NoModelError",
    "NotEnoughError",
    "ReportError",
    "SettingsError",
    "StoreError",
    "TableError",
    "__version__",
]

_LOADED_ON_USE = {
    "Assessment": "cuckoo_ml_plugin.assess.assessment",
    "Behaviour": "cuckoo_ml_plugin.behaviour.behaviour",
    "Desk": "cuckoo_ml_plugin.frames.desk",
    "Finding": "cuckoo_ml_plugin.finding.section",
    "ImportResult": "cuckoo_ml_plugin.intake.import_reports",
    "Label": "cuckoo_ml_plugin.report.labels",
}


def __getattr__(name: str) -> object:
    if name not in _LOADED_ON_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LOADED_ON_USE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
