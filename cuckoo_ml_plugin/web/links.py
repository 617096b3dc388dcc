"""The addresses that pages link to: our own pages, and the host's page of an analysis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.host_tasks import task_of
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.store.analysis_record import StoredAnalysis

MAX_VALUE = 1000  # characters of a value in an address; no id of ours is that long


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses that a page links to.

    Attributes:
        base: the address of our pages, ``/cuckooml/``.
        analysis: the host's page of an analysis, ``/analysis/{}/``.
        storage: the host's ``storage/analyses``. The host has a page of each analysis whose folder lies there, and a
            central host has one of each analysis that its workers report.
        for_everything: whether the reader may see all analyses, and so the page of the model.
    """

    base: str
    analysis: str
    storage: Path | None = None
    for_everything: bool = True
    _looked_up: set[str] = field(default_factory=set)
    _tasks: dict[str, str] = field(default_factory=dict)
    _deleted: set[str] = field(default_factory=set)
    _stored: dict[str, StoredAnalysis] = field(default_factory=dict)

    def look_up(self, engine: Engine, analyses: Iterable[str]) -> None:
        """Look the analyses up in the store, and which of them the host has; without a store, nothing is known.

        A page calls it once, for all analyses that it names.
        """
        names = set(analyses)
        try:
            self._stored.update(engine.store.get_many(names))
            pages = {name: page for name, stored in self._stored.items() if (page := self._page(stored, engine.node))}
            rivals = engine.store.of_tasks({*pages.values(), *(self._stored[name].task for name in pages)})
        except CuckooMLError:
            return
        self._looked_up.update(names)
        latest = {self._page(stored, engine.node): stored.analysis for stored in sorted(rivals, key=_age)}
        self._tasks.update((name, page) for name, page in pages.items() if latest.get(page, name) == name)
        if self.storage is not None:
            of_host = (
                n for n, stored in self._stored.items() if task_of(stored, self.storage, engine.node) is not None
            )
            self._deleted.update(name for name in of_host if name not in self._tasks)

    def _page(self, stored: StoredAnalysis, node: str) -> str:
        """The number of the host's page of an analysis, "" where the host has none."""
        if stored.task != stored.local_task:  # it is the central machine's id
            return stored.task if stored.task.isdecimal() else ""
        path = Path(stored.source_path) if stored.source_path else None
        if path is None or self.storage is None or stored.node not in ("", node) or len(path.parents) < 3:
            return ""
        folder = path.parents[1]  # <storage>/17/reports/report.json
        return folder.name if folder.parent == self.storage and folder.name.isdecimal() and folder.is_dir() else ""

    @property
    def menu(self) -> list[tuple[str, str]]:
        """The pages in the navigation: path and name."""
        pages = [("", "Clusters"), ("kin", "Kin"), ("anomalies", "Anomalies"), ("births", "New groups")]
        return [*pages, ("model", "Model")] if self.for_everything else pages

    def known(self, analysis: str, sha256: str | None = None) -> StoredAnalysis | None:
        """The stored analysis, if it was looked up and the store has it; ``sha256``: of which file it must be.

        A page links to an analysis only where this answers.
        """
        stored = self._stored.get(analysis)
        return stored if stored is not None and stored.is_of_file(sha256) else None

    def is_gone(self, analysis: str, sha256: str | None = None) -> bool:
        """Whether an analysis was looked up and is not stored: it was forgotten, also where another has its id now."""
        return analysis in self._looked_up and self.known(analysis, sha256) is None

    def is_at_host(self, analysis: str) -> bool:
        """Whether the host has a page of an analysis that was looked up."""
        return analysis in self._tasks

    def was_at_host(self, analysis: str) -> bool:
        """Whether an analysis that was looked up is of this host, which has deleted its task."""
        return analysis in self._deleted

    def to_analysis(self, analysis: str) -> str:
        """The host's page of an analysis, or ours where the host has none."""
        task = self._tasks.get(analysis)
        return self.analysis.format(task) if task else self.to("analysis", id=analysis)

    def to_cluster(self, cluster: str) -> str:
        return f"{self.base}clusters/{quote(cluster[:MAX_VALUE], safe='', errors='replace')}/"

    def to_kin(self, kin: str) -> str:
        return f"{self.base}kin/{quote(kin[:MAX_VALUE], safe='', errors='replace')}/"

    def to_behaviour(self, kind: str, value: str) -> str:
        """Our page of the analyses that show a piece of behaviour."""
        return self.to("behaviour", kind=kind, value=value)

    def to(self, path: str, /, **query: object) -> str:
        """One of our pages; ``path`` is "" for the first."""
        parameters = {key: str(value)[:MAX_VALUE] for key, value in query.items() if value not in ("", None)}
        text = urlencode(parameters, errors="replace")
        return f"{self.base}{path}{'/' if path else ''}{'?' if text else ''}{text}"


def _age(stored: StoredAnalysis) -> tuple[str, str]:
    """Sorts the runs of a task's id by their start, because ids begin again."""
    return stored.analysed_at or "", stored.stored_at
