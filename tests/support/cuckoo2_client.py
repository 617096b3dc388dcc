"""The client that is installed into Cuckoo 2.0.7, imported by Python 3, where no Cuckoo is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import cuckoo_ml_plugin.hosts.cuckoo2


def client() -> ModuleType:
    """The client, which Python 3 can import as well."""
    path = Path(cuckoo_ml_plugin.hosts.cuckoo2.__file__).with_name("client.py")
    spec = importlib.util.spec_from_file_location("cuckoo2_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
