"""The intelligence that leaves the sandbox about a cluster: its samples, and the behaviour that sets them apart.

A *trait* is a piece of the cluster's evidence. It is also an *indicator*, something to look for elsewhere, if at least
half of the cluster and at most one in twenty of the other analyses show it, and if normalisation left its value as it
occurs on a machine: without a placeholder, an address only if it is public. A file name is an indicator, but is never
marked for detection: a corpus of samples cannot tell how common ``readme.txt`` is elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.queries import cluster_number
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.finding.section import Evidence
from cuckoo_ml_plugin.model.model import ClusterFacts, Model
from cuckoo_ml_plugin.plumbing.text import printable

MOST_SAMPLES = 1_000
"""Samples of a cluster that are exported, the surest members first."""
MIN_IN_CLUSTER, MAX_ELSEWHERE = 0.5, 0.05
TLP: Final = ("clear", "green", "amber", "red")

_NAMESPACE = uuid.UUID("6b0e9a53-9d0a-5c43-9b6f-0f5d1a2c7e11")
_PLACEHOLDER = re.compile(r"<(?:guid|hex|n|rand|sid|suffix|word)>|%[a-z()0-9]+%")
_HIVES = {
    "hkcu": "HKEY_CURRENT_USER", "hklm": "HKEY_LOCAL_MACHINE", "hkcr": "HKEY_CLASSES_ROOT", "hku": "HKEY_USERS",
}  # fmt: skip
_NO_VERDICT = "An analyst has to decide whether its samples are malicious, and whether they are one family."
_PATHS = frozenset(("file_written", "file_created", "file_copied", "dropped_name"))
_UNCHANGED = frozenset(("mutex", "service_created", "imphash", "user_agent", "domain"))


@dataclass(frozen=True, slots=True)
class ClusterSample:
    """A sample of a cluster; ``probability`` is that of its membership, in [0, 1]."""

    analysis: str
    sha256: str
    name: str
    label: str | None
    probability: float


@dataclass(frozen=True, slots=True)
class Trait:
    """A behaviour of the cluster; ``in_cluster`` and ``elsewhere`` are shares of analyses in [0, 1].

    ``indicator`` is what to look for elsewhere: a file name, a registry key with the full name of its root, host and
    path of a request, or the value itself. It is None for a trait that is context only.
    """

    kind: str
    value: str
    in_cluster: float
    elsewhere: float
    indicator: str | None

    @property
    def detect(self) -> bool:
        """Whether it may raise an alarm where it occurs."""
        return self.indicator is not None and self.kind not in _PATHS

    @property
    def frequency(self) -> str:
        """How common it is, in words."""
        return f"in {self.in_cluster:.0%} of the cluster, in {self.elsewhere:.1%} of the other analyses"


@dataclass(frozen=True, slots=True)
class Intelligence:
    """A cluster as it leaves the sandbox.

    Attributes:
        facts: id, name, size, labels and days from the model.
        model: id of the model; fitted_at: when it was fitted, UTC.
        samples: distinct files, the surest members first, at most ``MOST_SAMPLES``.
        files: number of distinct files in the cluster.
        traits: the strongest first.
        tlp: one of ``TLP``.
    """

    facts: ClusterFacts
    model: str
    fitted_at: str
    samples: list[ClusterSample]
    files: int
    traits: list[Trait]
    tlp: str

    def uuid(self, *parts: str) -> str:
        """A stable UUID of a part of this cluster, so that a later export updates what an earlier one created."""
        return str(uuid.uuid5(_NAMESPACE, "\n".join([self.facts.id, self.facts.first_stored, *parts])))

    @property
    def title(self) -> str:
        """The name and size of the cluster, in words."""
        name = f"{self.facts.name} ({self.facts.id})" if self.facts.name != self.facts.id else self.facts.id
        return f"Cluster {name} of {self.facts.size:,} analyses that behave alike"

    @property
    def summary(self) -> str:
        """A paragraph about the cluster: days, labels, and how many files are listed."""
        labels = ", ".join(f"{label} ({count:,})" for label, count in list(self.facts.labels.items())[:10]) or "none"
        first, last = self.facts.first_seen[:10], self.facts.last_seen[:10]
        text = f"{self.title}, analysed from {first} to {last}. Family labels: {labels}. {_NO_VERDICT}"
        if self.files > len(self.samples):
            text += f" Of its {self.files:,} files, those of the {len(self.samples):,} surest members are listed."
        return f"{text} Clustered by cuckoo-ml-plugin, model {self.model}, fitted at {self.fitted_at}."


def intelligence_of(engine: Engine, cluster: str, tlp: str = "amber") -> Intelligence:
    """Gather a cluster by id or name. Raises CuckooMLError (no such cluster or TLP level), ModelError, StoreError."""
    if tlp not in TLP:
        raise CuckooMLError(f"{tlp}: is no level of the Traffic Light Protocol; the levels are {', '.join(TLP)}.")
    model = engine.require_model()
    number = cluster_number(model, cluster)
    if number is None:
        raise CuckooMLError(
            f"{cluster}: there is no such cluster in model {model.id}; all are listed by"
            f" {engine.home.command('clusters')}"
        )
    facts = _shown(model.clusters[number])
    files = _samples(engine, facts)
    return Intelligence(
        facts=facts,
        model=model.id,
        fitted_at=str(model.facts["fitted_at"]),
        samples=files[:MOST_SAMPLES],
        files=len(files),
        traits=[_trait(piece, facts, model) for piece in model.clusters[number].evidence],
        tlp=tlp,
    )


def _samples(engine: Engine, facts: ClusterFacts) -> list[ClusterSample]:
    samples: dict[str, ClusterSample] = {}
    offset = 0
    while page := engine.store.cluster_members(facts.id, limit=1_000, offset=offset):
        offset += len(page)
        for member in page:
            if member.sha256:
                finding = member.finding
                label = printable(member.label) if member.label else None
                name, target = printable(finding.analysis), printable(member.target)
                sample = ClusterSample(name, member.sha256, target, label, finding.probability or 0.0)
                samples.setdefault(member.sha256, sample)
    return list(samples.values())


def _shown(facts: ClusterFacts) -> ClusterFacts:
    """The facts with texts for other tools, which may show them as they are."""
    labels = Counter[str]()
    for label, count in facts.labels.items():
        labels[printable(label)] += count
    return replace(facts, name=printable(facts.name), labels=dict(labels))


def _trait(piece: Evidence, facts: ClusterFacts, model: Model) -> Trait:
    analyses = int(model.facts["analyses"])
    others = max(analyses - facts.size, 1)
    elsewhere = max(piece.in_corpus * analyses - piece.in_cluster * facts.size, 0.0) / others
    distinctive = piece.in_cluster >= MIN_IN_CLUSTER and elsewhere <= MAX_ELSEWHERE
    indicator = indicator_value(piece.kind, piece.value) if distinctive else None
    return Trait(piece.kind, printable(piece.value), piece.in_cluster, elsewhere, indicator)


def indicator_value(kind: str, value: str) -> str | None:
    """A token's value as it occurs on a machine or in traffic; None if normalisation has lost it."""
    if kind in _PATHS:
        value = value.rpartition("\\")[2]
    elif kind == "reg_written":
        root, _, rest = value.partition("\\")
        value = f"{_HIVES[root]}\\{rest}" if root in _HIVES and rest else ""
    elif kind == "http":
        value = value.partition(" ")[2].partition("?")[0]
        value = "" if value.startswith("private ") or "/" not in value.rstrip("/") else value
    elif kind == "host":
        value = _public_address(value)
    elif kind not in _UNCHANGED:
        return None
    if printable(value) != value:  # what occurs there cannot be shown, and what is shown does not occur
        return None
    if not value or _PLACEHOLDER.search(value) or (kind == "domain" and ("." not in value or _public_address(value))):
        return None
    return value


def _public_address(value: str) -> str:
    try:
        return value if ipaddress.ip_address(value).is_global else ""
    except ValueError:
        return ""
