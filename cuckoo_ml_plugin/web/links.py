"""The addresses that pages link to: our own pages, and the host's page of an analysis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis

MAX_VALUE = 1000  # characters of a value in an address; no id of ours is that long


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses that a page links to.

    Attributes:
        base: the address of our pages, ``/cuckooml/``.
        analysis: the host's page of an analysis, ``/analysis/{}/``.
        storage: the host's ``storage/analyses``; the host has a page of each analysis that was read from there.
    """

    base: str
    analysis: str
    storage: Path | None = None
    _tasks: dict[str, str] = field(default_factory=dict)
    _stored: dict[str, StoredAnalysis] = field(default_factory=dict)

    def look_up(self, engine: Engine, analyses: Iterable[str]) -> None:
        """Look the analyses up in the store, and which of them the host has; without a store, nothing is known."""
        try:
            self._stored.update(engine.store.get_many(set(analyses)))
        except CuckooMLError:
            return
        for name, stored in self._stored.items():
            path = Path(stored.source_path) if stored.source_path and self.storage else None
            # <storage>/17/reports/report.json
            if path and len(path.parents) > 2 and path.parents[2] == self.storage and path.parents[1].name.isdecimal():
                self._tasks[name] = path.parents[1].name

    def known(self, analysis: str) -> StoredAnalysis | None:
        """The stored analysis, if it was looked up and the store has it."""
        return self._stored.get(analysis)

    def is_at_host(self, analysis: str) -> bool:
        """Whether the host has a page of an analysis that was looked up."""
        return analysis in self._tasks

    def to_analysis(self, analysis: str) -> str:
        """The host's page of an analysis, or ours where the host has none."""
        task = self._tasks.get(analysis)
        return self.analysis.format(task) if task else self.to("analysis", id=analysis)

    def to_cluster(self, cluster: str) -> str:
        return f"{self.base}clusters/{quote(cluster[:MAX_VALUE], safe='', errors='replace')}/"

    def to(self, path: str, /, **query: object) -> str:
        """One of our pages; ``path`` is "" for the first."""
        parameters = {key: str(value)[:MAX_VALUE] for key, value in query.items() if value not in ("", None)}
        text = urlencode(parameters, errors="replace")
        return f"{self.base}{path}{'/' if path else ''}{'?' if text else ''}{text}"
