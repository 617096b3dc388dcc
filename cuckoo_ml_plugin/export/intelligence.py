"""What leaves the sandbox of one cluster: its samples, and the behaviour that they share and others do not.

A *trait* is a piece of the cluster's evidence. It is an *indicator*, something to look for elsewhere, only when at
least half of the cluster shows it, at most one in twenty of the other analyses does, and it is written as a machine
would meet it: normalisation left no placeholder in it, and an address is a public one. The name of a file without its
folder is told but never marked for detection: a corpus of samples cannot say how common ``readme.txt`` is elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass
from typing import Final

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.queries import cluster_number
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.finding.evidence import Evidence
from cuckoo_ml_plugin.model.model import ClusterFacts, Model

MOST_SAMPLES = 1_000
"""Samples of a cluster that are passed on, the surest first."""
IN_CLUSTER, ELSEWHERE = 0.5, 0.05
TLP: Final = ("clear", "green", "amber", "red")

_NAMESPACE = uuid.UUID("6b0e9a53-9d0a-5c43-9b6f-0f5d1a2c7e11")
_PLACEHOLDER = re.compile(r"<(?:guid|hex|n|rand|sid|suffix|word)>|%[a-z()0-9]+%")
_HIVES = {
    "hkcu": "HKEY_CURRENT_USER", "hklm": "HKEY_LOCAL_MACHINE", "hkcr": "HKEY_CLASSES_ROOT", "hku": "HKEY_USERS",
}  # fmt: skip
_NO_VERDICT = "They behave alike: whether they are malicious, and one family, is for an analyst to say."
_PATHS = frozenset(("file_written", "file_created", "file_copied", "dropped_name"))
_AS_THEY_ARE = frozenset(("mutex", "service_created", "imphash", "user_agent", "domain"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a cluster; ``probability`` of the membership is in [0, 1]."""

    analysis: str
    sha256: str
    name: str
    label: str | None
    probability: float


@dataclass(frozen=True, slots=True)
class Trait:
    """A behaviour of the cluster; shares are in [0, 1].

    ``indicator`` is what to look for elsewhere: a file's name, a registry key with its root's full name, host and path
    of a request, or the value itself; None where the trait is context only.
    """

    kind: str
    value: str
    in_cluster: float
    elsewhere: float
    indicator: str | None

    @property
    def detect(self) -> bool:
        """Whether it may raise an alarm where it is met."""
        return self.indicator is not None and self.kind not in _PATHS

    @property
    def says(self) -> str:
        """How common it is, for a reader."""
        return f"in {self.in_cluster:.0%} of the cluster, in {self.elsewhere:.1%} of the other analyses"


@dataclass(frozen=True, slots=True)
class Intelligence:
    """A cluster as it leaves the sandbox.

    Attributes:
        facts: id, name, size, labels and days, as the model has them.
        model: id of the model; fitted_at: when it was fitted, UTC.
        samples: distinct files, the surest first, ``MOST_SAMPLES`` at most.
        files: distinct files that the cluster has.
        traits: the strongest first.
        tlp: one of ``TLP``.
    """

    facts: ClusterFacts
    model: str
    fitted_at: str
    samples: list[Sample]
    files: int
    traits: list[Trait]
    tlp: str

    def uuid(self, *parts: str) -> str:
        """The same for the same thing in every export of this cluster: what is exported again is brought up to date."""
        return str(uuid.uuid5(_NAMESPACE, "\n".join([self.facts.id, self.facts.first_stored, *parts])))

    @property
    def title(self) -> str:
        name = f"{self.facts.name} ({self.facts.id})" if self.facts.name != self.facts.id else self.facts.id
        return f"Cluster {name} of {self.facts.size:,} analyses that behave alike"

    @property
    def summary(self) -> str:
        """A paragraph: labels, days, and what was left out."""
        labels = ", ".join(f"{label} ({count:,})" for label, count in list(self.facts.labels.items())[:10]) or "none"
        first, last = self.facts.first_seen[:10], self.facts.last_seen[:10]
        text = f"{self.title}, analysed from {first} to {last}. Family labels: {labels}. {_NO_VERDICT}"
        if self.files > len(self.samples):
            text += f" The surest {len(self.samples):,} of its {self.files:,} files are named."
        return f"{text} Found by cuckoo-ml-plugin, model {self.model} of {self.fitted_at}."


def intelligence_of(engine: Engine, cluster: str, tlp: str = "amber") -> Intelligence:
    """A cluster by its id or name. Raises CuckooMLError (there is none, or no such TLP), ModelError and StoreError."""
    if tlp not in TLP:
        raise CuckooMLError(f"{tlp}: is no level of the Traffic Light Protocol; there are {', '.join(TLP)}.")
    model = engine.need_model()
    number = cluster_number(model, cluster)
    if number is None:
        raise CuckooMLError(f"{cluster}: there is no such cluster in model {model.id}; cuckoo-ml clusters lists them.")
    facts = model.clusters[number]
    files = _samples(engine, facts)
    return Intelligence(
        facts=facts,
        model=model.id,
        fitted_at=str(model.facts["fitted_at"]),
        samples=files[:MOST_SAMPLES],
        files=len(files),
        traits=[_trait(piece, facts, model) for piece in facts.evidence],
        tlp=tlp,
    )


def _samples(engine: Engine, facts: ClusterFacts) -> list[Sample]:
    found: dict[str, Sample] = {}
    offset = 0
    while page := engine.store.cluster_members(facts.id, limit=1_000, offset=offset):
        offset += len(page)
        for one in page:
            if one.sha256:
                sure = one.finding.probability or 0.0
                found.setdefault(one.sha256, Sample(one.finding.analysis, one.sha256, one.target, one.label, sure))
    return list(found.values())


def _trait(piece: Evidence, facts: ClusterFacts, model: Model) -> Trait:
    analyses = int(model.facts["analyses"])
    others = max(analyses - facts.size, 1)
    elsewhere = max(piece["in_corpus"] * analyses - piece["in_cluster"] * facts.size, 0.0) / others
    rare = piece["in_cluster"] >= IN_CLUSTER and elsewhere <= ELSEWHERE
    indicator = as_met(piece["kind"], piece["value"]) if rare else None
    return Trait(piece["kind"], piece["value"], piece["in_cluster"], elsewhere, indicator)


def as_met(kind: str, value: str) -> str | None:
    """A token's value as it is met on a machine or in traffic; None where normalisation took that away."""
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
    elif kind not in _AS_THEY_ARE:
        return None
    if not value or _PLACEHOLDER.search(value) or (kind == "domain" and ("." not in value or _public_address(value))):
        return None
    return value


def _public_address(value: str) -> str:
    try:
        return value if ipaddress.ip_address(value).is_global else ""
    except ValueError:
        return ""
