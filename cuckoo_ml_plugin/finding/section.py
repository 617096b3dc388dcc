"""The report section ``cuckooml``: its one definition, which writes it, reads it and generates its JSON schema.

docs/section.md explains each field. After a change of a field, write the published schema anew::

    python -m cuckoo_ml_plugin.finding.section > cuckoo_ml_plugin/finding/section.schema.json

The schema is stricter than :func:`read_section`. The plugin writes every field, within the ranges that the schema
names. A report may come from an older or a newer version, so reading fills in a field that is missing, ignores one that
it does not know, checks types, and brings shares into their range, so that no page or sentence shows a probability of
1e308.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import cleandoc
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.finding.threat_words import Told, in_own_terms, share, threat_notes
from cuckoo_ml_plugin.plumbing.text import printable_values
from cuckoo_ml_plugin.report.threat_scores import EXCHANGE, origin_of

SCHEMA = 2
MAX_MESSAGE = 1000
MAX_VERDICT = 1000
MAX_LABELS = 20
MAX_INDICATORS = 5
_MAX_ITEMS_READ = 100  # of each list of the section

# Constraints that only the schema holds: ``extra_json_schema`` does not concern reading.
_Version = Annotated[int, Meta(extra_json_schema={"const": SCHEMA})]
_Status = Annotated[str, Meta(extra_json_schema={"enum": ["scored", "no_model", "no_behaviour", "failed"]})]
_VerdictKind = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": [
                "same_file", "same_behaviour", "variant", "kin", "unusual", "unknown", "static_only", "not_run",
                "too_few",
            ]
        }
    ),
]  # fmt: skip
_VerdictText = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_VERDICT})]
_Role = Annotated[str, Meta(extra_json_schema={"enum": ["shared", "new"]})]
_OnlyFrom = Annotated[str, Meta(extra_json_schema={"enum": ["", "submitter", "day"]})]
_Message = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_MESSAGE})]
_Share = Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": 1})]
_Count = Annotated[int, Meta(extra_json_schema={"minimum": 0})]
_PositiveCount = Annotated[int, Meta(extra_json_schema={"minimum": 1})]
_ClusterId = Annotated[str, Meta(extra_json_schema={"pattern": "^c[0-9]+$"})]
_KinId = Annotated[str, Meta(extra_json_schema={"pattern": "^k[0-9]+$"})]
_Sha256 = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]
_Origin = Annotated[str, Meta(extra_json_schema={"enum": ["exchange", "sandbox", "similarity"]})]
_Day = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})]
_IndicatorKind = Annotated[str, Meta(extra_json_schema={"enum": ["file", "url", "domain", "ip"]})]
_Behash = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9]+:[A-Za-z0-9_-]+$"})]
_CountName = Annotated[str, Meta(extra_json_schema={"pattern": "^[^.$]*$"})]  # MongoDB refuses such keys


class _Part(Struct):
    """A part of the section; it can also be read as a mapping, as notebooks do: ``finding.cluster["name"]``."""

    def __getitem__(self, name: str) -> Any:
        if name not in self.__struct_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_fields__)

    def __len__(self) -> int:
        return len(self.__struct_fields__)

    def keys(self) -> tuple[str, ...]:
        return self.__struct_fields__


Mapping.register(_Part)  # pandas makes frames of mappings


class Verdict(_Part, kw_only=True):
    """The finding in one sentence, and of which kind it is; ``text`` is empty in a section of schema 1."""

    kind: _VerdictKind = "unknown"
    text: _VerdictText = ""


class ModelFacts(_Part, kw_only=True):
    """The model that scored the analysis."""

    id: str = ""
    fitted_at: str = ""
    analyses: _Count = 0
    clusters: _Count = 0
    samples: _PositiveCount | None = None


class LabelCount(_Part, kw_only=True):
    """A label and how many analyses of the cluster or kin carry it.

    ``sources``: from how many independent sources these are; 0 where it is not known.
    """

    label: str
    count: _PositiveCount
    sources: _Count = 0


class ClusterFinding(_Part, kw_only=True):
    """The cluster of the analysis and the probability of its membership.

    ``sources``: of how many independent sources the cluster's analyses are, 0 where it is not known; ``only_from``: of
    which kind the only one is.
    """

    id: _ClusterId
    name: str
    size: _PositiveCount
    probability: _Share
    labels: Annotated[list[LabelCount], Meta(extra_json_schema={"maxItems": MAX_LABELS})] = []
    sources: _Count = 0
    only_from: _OnlyFrom = ""
    samples: _PositiveCount | None = None


class KinFinding(_Part, kw_only=True):
    """The kin of the analysis, the broader group above its cluster, and the probability of its membership."""

    id: _KinId
    name: str
    size: _PositiveCount
    probability: _Share
    labels: Annotated[list[LabelCount], Meta(extra_json_schema={"maxItems": MAX_LABELS})] = []
    sources: _Count = 0
    only_from: _OnlyFrom = ""
    samples: _PositiveCount | None = None


class Reason(_Part, kw_only=True):
    """Why the analysis is called unusual: a sentence and the value that it rests on."""

    kind: str
    text: str
    value: float = 0.0


class AnomalyFinding(_Part, kw_only=True):
    """How unusual the analysis is, and why."""

    score: _Share
    outlier_score: _Share
    anomalous: bool
    reasons: list[Reason] = []


class SimilarAnalysis(_Part, kw_only=True):
    """A past analysis that behaved alike: of its sample the one most alike.

    ``date``, ``name`` and ``runs`` are None where the store could not be asked, and in what older versions wrote.
    """

    analysis: str
    sha256: _Sha256 | None = None
    similarity: _Share
    cluster: str | None = None
    label: str | None = None
    same_file: bool = False
    date: _Day | None = None
    name: str | None = None
    runs: _PositiveCount | None = None
    cluster_name: str | None = None


class Evidence(_Part, kw_only=True):
    """One piece of behaviour, with the shares of the cluster and of the fitted corpus that show it.

    ``role``: ``shared``: ties the analysis to its cluster; ``new``: is its own, unseen or rare.
    """

    kind: str
    value: str
    in_cluster: _Share
    in_corpus: _Share
    role: _Role = "shared"


class IndicatorFinding(_Part, kw_only=True):
    """A provider's score of one indicator."""

    kind: _IndicatorKind
    indicator: str
    score: _Share


class ProviderFinding(_Part, kw_only=True):
    """A provider's joined score, and what the scores of the others predict for it; null without a prediction.

    ``origin``: a threat exchange, the sandbox's own judgement, or similarity of code. ``says``: the score in the
    provider's own terms.
    """

    provider: str
    origin: _Origin = ""
    score: _Share
    mean: _Share | None = None
    says: str = ""
    indicators: _Count = 0
    highest: Annotated[list[IndicatorFinding], Meta(extra_json_schema={"maxItems": MAX_INDICATORS})] = []
    prediction: _Share | None = None
    threshold: _Share | None = None

    def __post_init__(self) -> None:
        """Complete the entry of an earlier version."""
        self.origin = self.origin or origin_of(self.provider)
        highest = max((indicator.score for indicator in self.highest), default=None)
        self.says = self.says or in_own_terms(self.provider, self.score, self.indicators, self.mean, highest)


class Disagreement(_Part, kw_only=True):
    """A provider whose score is further from its prediction than the calibrated threshold."""

    provider: str
    score: _Share = 0.0
    prediction: _Share = 0.0
    threshold: _Share = 0.0
    text: str


class ThreatFinding(_Part, kw_only=True):
    """The threat scores of the analysis. ``joint`` is of the ``exchanges`` that have a score; 0 where none has."""

    providers: list[ProviderFinding] = []
    joint: _Share
    exchanges: _Count = -1
    disagreements: list[Disagreement] = []
    notes: list[str] = []

    def __post_init__(self) -> None:
        """Without ``exchanges``, as an earlier version wrote it, ``joint`` is of all providers: join them anew."""
        if self.exchanges < 0:
            scores = [share(provider.score) for provider in self.providers if provider.origin == EXCHANGE]
            self.exchanges = len(scores)
            self.joint = round(1.0 - math.prod(1.0 - score for score in scores), 4)


_NOTHING_ELSE: Final = {
    "failed": ("unknown", "The analysis could not be scored."),
    "no_behaviour": ("not_run", "Nothing is known of its behaviour."),
}
"""Kind and text of the verdict where the status says all that is known."""


class Finding(Struct, kw_only=True):
    """What cuckoo-ml-plugin says of one analysis; docs/section.md explains each field.

    >>> Finding(status="no_behaviour").section()["cluster"] is None
    True
    """

    schema: _Version = SCHEMA
    status: _Status
    message: _Message = ""
    verdict: Verdict = msgspec.field(default_factory=Verdict)
    model: ModelFacts | None = None
    cluster: ClusterFinding | None = None
    kin: KinFinding | None = None
    anomaly: AnomalyFinding | None = None
    similar: list[SimilarAnalysis] = []
    evidence: list[Evidence] = []
    behash: _Behash | None = None
    threat_scores: ThreatFinding | None = None
    counts: dict[_CountName, int | float] = {}

    def __post_init__(self) -> None:
        if self.status in _NOTHING_ELSE and not self.verdict.text:
            kind, text = _NOTHING_ELSE[self.status]
            self.verdict = Verdict(kind=kind, text=self.message[:MAX_VERDICT] or text)
        if (threat := self.threat_scores) and not threat.notes:
            told = [Told(entry.provider, entry.score, entry.indicators, entry.mean) for entry in threat.providers]
            threat.notes = threat_notes(told, threat.joint, self.status)

    def section(self) -> dict[str, Any]:
        """The report section: JSON-ready, with printable texts, finite numbers and without ``.`` and ``$`` in keys."""
        section: dict[str, Any] = printable_values(msgspec.to_builtins(self))
        section["message"] = section["message"][:MAX_MESSAGE]
        section["counts"] = {
            key: value for key, value in section["counts"].items() if not set(".$") & set(key) and math.isfinite(value)
        }
        return section


def failed_section(message: str) -> dict[str, Any]:
    """The whole section of an analysis that could not be scored, with the reason."""
    return Finding(status="failed", message=message).section()


def read_section(raw: object) -> Finding:
    """The finding in a section, given as JSON text, as a dict or as a database returns it. Raises ReportError."""
    try:
        if not isinstance(raw, (str, bytes)):
            raw = json.dumps(raw, default=str)  # a database has types of its own
        section = json.loads(raw)
        if isinstance(section, dict):
            section = {
                key: value[:_MAX_ITEMS_READ] if isinstance(value, list) else value for key, value in section.items()
            }
        finding = msgspec.convert(section, Finding)
        _bring_into_range(finding)
        return finding
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        raise ReportError(f"The section cuckooml of this report cannot be read ({str(error)[:200]}).") from error


def _bring_into_range(part: Struct) -> None:
    """Bring the shares of a part, and of the parts in it, into [0, 1]."""
    for name, is_share in _fields_read(type(part)):
        value = getattr(part, name)
        if is_share:
            if value is not None:
                setattr(part, name, share(value))
        elif isinstance(value, Struct):
            _bring_into_range(value)
        elif isinstance(value, list):
            for entry in value:
                if isinstance(entry, Struct):
                    _bring_into_range(entry)


@cache
def _fields_read(part: type[Struct]) -> list[tuple[str, bool]]:
    """The fields of a part, and whether each is a share."""
    return [(field.name, field.type in (_Share, _Share | None)) for field in msgspec.structs.fields(part)]


def json_schema() -> dict[str, Any]:
    """The JSON schema of the section: every field is required, and no other is allowed."""
    _, components = msgspec.json.schema_components([Finding], ref_template="#/$defs/{name}")
    for component in components.values():
        component["required"] = list(component["properties"])
        if "description" in component:  # the same in every Python: from 3.13 on, docstrings have no indentation
            component["description"] = cleandoc(component["description"])
        component["additionalProperties"] = False
        for value in component["properties"].values():
            value.pop("default", None)  # reading has defaults; writing leaves no field out
    section = components.pop("Finding")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **section,
        "title": "The report section cuckooml",
        "description": Finding.__doc__.partition("\n")[0] if Finding.__doc__ else "",
        "$defs": components,
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
