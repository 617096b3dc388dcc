"""What model.json says of a model, changed by someone who can write checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import xxhash


def facts_of(folder: Path) -> dict[str, Any]:
    """The facts, without their checksum."""
    facts: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del facts["checksum"]
    return facts


def write_facts(folder: Path, facts: dict[str, Any]) -> None:
    """Write them with a checksum that is right."""
    checksum = xxhash.xxh3_128_hexdigest(msgspec.json.encode(facts, order="sorted"))
    (folder / "model.json").write_text(json.dumps({**facts, "checksum": checksum}), encoding="utf-8")
