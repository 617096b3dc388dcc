"""The demo's corpus in a home of the plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cuckoo_ml_samples import DemoCorpus


@dataclass(frozen=True)
class DemoHome:
    """The demo's corpus, imported and fitted."""

    corpus: DemoCorpus
    home: Path
