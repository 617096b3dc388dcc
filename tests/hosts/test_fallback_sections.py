"""Where our package cannot be used, each host's own files still write a whole section."""

from __future__ import annotations

import builtins
import json
import runpy
import sys
from importlib.resources import files
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jsonschema
import pytest
from support.cuckoo2_client import client

import cuckoo_ml_plugin.hosts.cape.modules

MODULES = Path(cuckoo_ml_plugin.hosts.cape.modules.__file__).parent
SCHEMA = json.loads((files("cuckoo_ml_plugin.finding") / "section.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def cape_without_us(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """CAPE's two installed modules, in a Python that has CAPE's own modules and lacks our package."""
    names = {"lib", "lib.cuckoo", "lib.cuckoo.common", "lib.cuckoo.common.abstracts", "lib.cuckoo.common.constants"}
    fakes = {
        name: ModuleType(name) for name in names | {"modules", "modules.processing", "modules.processing.cuckooml"}
    }
    fakes["lib.cuckoo.common.abstracts"].__dict__.update(
        Processing=type("Processing", (), {}), Report=type("Report", (), {})
    )
    fakes["lib.cuckoo.common.constants"].__dict__.update(CUCKOO_ROOT=str(tmp_path))
    for name, module in fakes.items():
        monkeypatch.setitem(sys.modules, name, module)
    imported = builtins.__import__

    def no_package(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("cuckoo_ml_plugin"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return imported(name, *arguments, **more)

    processing = runpy.run_path(str(MODULES / "processing.py"))
    fakes["modules.processing.cuckooml"].__dict__.update(processing)
    reporting = runpy.run_path(str(MODULES / "reporting.py"))
    monkeypatch.setattr(builtins, "__import__", no_package)
    return SimpleNamespace(processing=processing["CuckooML"], reporting=reporting["CuckooML"], folder=tmp_path)


def test_capes_modules_write_all_fields_without_our_package(cape_without_us: SimpleNamespace) -> None:
    module = cape_without_us.processing()
    module.results = {}
    counted = module.run()
    module = cape_without_us.reporting()
    module.reports_path, module.task, module.options = str(cape_without_us.folder), {"id": 7}, {}
    results: dict[str, Any] = {"cuckooml": counted}
    module.run(results)
    for section in (counted, results["cuckooml"]):
        jsonschema.validate(section, SCHEMA)
        assert section["status"] == "failed"
        assert "No module named 'cuckoo_ml_plugin" in section["message"]
        assert "check that it is installed beside CAPE" in section["message"]


def test_cuckoos_client_writes_all_fields_without_a_worker() -> None:
    module = client()
    results: dict[str, Any] = {"info": {}}
    module.enrich(results, 7, "/nowhere/report.json")  # there is no Cuckoo to ask for its configuration
    for section in (module.count(results, 7), results["cuckooml"]):
        jsonschema.validate(section, SCHEMA)
        assert section["status"] == "failed"
        assert section["message"]
