"""A cluster as a STIX 2.1 bundle, made and checked by OASIS's own library.

The cluster becomes a malware family of unknown type, its samples become files, and each trait that may raise an alarm
becomes an indicator with a pattern of anomalous activity. A note lists all traits.
"""

from __future__ import annotations

import json
from typing import Any

from cuckoo_ml_plugin.export.intelligence import Intelligence, Trait
from cuckoo_ml_plugin.plumbing.extras import optional_package

_PATTERNS = {
    "mutex": "mutex:name", "domain": "domain-name:value", "http": "url:value",
    "reg_written": "windows-registry-key:key",
    "user_agent": "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
    "imphash": "file:extensions.'windows-pebinary-ext'.imphash",
    "service_created": "process:extensions.'windows-service-ext'.service_name",
}  # fmt: skip
_MARKINGS = {"clear": "TLP_WHITE", "green": "TLP_GREEN", "amber": "TLP_AMBER", "red": "TLP_RED"}


def stix_bundle(cluster: Intelligence) -> str:
    """The bundle as JSON text. Raises CuckooMLError without the package stix2."""
    stix = optional_package("stix2", "STIX bundles")
    marking = getattr(stix, _MARKINGS[cluster.tlp])
    created = cluster.facts.first_seen or cluster.fitted_at
    modified = max(created, cluster.fitted_at)
    author = stix.Identity(
        id=f"identity--{cluster.uuid('identity')}", name="cuckoo-ml-plugin", identity_class="system",
        created=created, modified=created,
    )  # fmt: skip
    common = {"created": created, "modified": modified, "created_by_ref": author, "object_marking_refs": [marking]}
    files = [_file(stix, sample.sha256, sample.name, marking) for sample in cluster.samples]
    family = stix.Malware(
        id=f"malware--{cluster.uuid('malware')}", is_family=True, malware_types=["unknown"], name=cluster.facts.name,
        description=cluster.summary,
        first_seen=created, last_seen=max(created, cluster.facts.last_seen),
        **({"sample_refs": files} if files else {}), **common,
    )  # fmt: skip
    note = stix.Note(
        id=f"note--{cluster.uuid('note')}",
        abstract=cluster.title,
        content=_note(cluster),
        object_refs=[family],
        **common,
    )
    patterns: dict[str, Trait] = {}
    for trait in cluster.traits:
        if pattern := _pattern(stix, trait):
            patterns.setdefault(pattern, trait)
    indicators = [part for pattern, trait in patterns.items() for part in
                  _indicator(stix, cluster, pattern, trait, family, common)]  # fmt: skip
    bundle = stix.Bundle([marking, author, family, *files, note, *indicators], id=f"bundle--{cluster.uuid('bundle')}")
    return str(bundle.serialize(indent=1))


def _file(stix: Any, sha256: str, name: str, marking: Any) -> Any:
    names = {"name": name} if name else {}
    return stix.File(hashes={"SHA-256": sha256}, object_marking_refs=[marking], **names)


def _indicator(
    stix: Any, cluster: Intelligence, pattern: str, trait: Trait, family: Any, common: dict[str, Any]
) -> list[Any]:
    indicator = stix.Indicator(
        id=f"indicator--{cluster.uuid('indicator', pattern)}", name=f"{trait.kind}: {trait.value}",
        description=f"{trait.kind} {trait.frequency}; letter case is normalised.", pattern=pattern, pattern_type="stix",
        indicator_types=["anomalous-activity"], valid_from=common["created"], **common,
    )  # fmt: skip
    relation = stix.Relationship(
        id=f"relationship--{cluster.uuid('indicates', pattern)}", relationship_type="indicates",
        source_ref=indicator, target_ref=family, **common,
    )  # fmt: skip
    return [indicator, relation]


def _pattern(stix: Any, trait: Trait) -> str | None:
    if trait.indicator is None or not trait.detect:
        return None
    path = _PATTERNS.get(trait.kind)
    if trait.kind == "host":
        path = "ipv6-addr:value" if ":" in trait.indicator else "ipv4-addr:value"
    if path is None:
        return None
    if trait.kind == "http":  # the scheme is not known: host and path may stand anywhere in the address
        return str(stix.ObservationExpression(
            stix.LikeComparisonExpression(path, stix.patterns.StringConstant(f"%{trait.indicator}%"))
        ))  # fmt: skip
    equal = stix.EqualityComparisonExpression(path, stix.patterns.StringConstant(trait.indicator))
    if trait.kind == "reg_written":
        equal = _key_or_value(stix, equal, trait.indicator)
    return str(stix.ObservationExpression(equal))


def _key_or_value(stix: Any, is_key: Any, path: str) -> Any:
    """A pattern for both cases: hosts do not tell whether the last part of a path is a key or the name of a value."""
    key, _, name = path.rpartition("\\")
    if not key:
        return is_key
    is_value = stix.AndBooleanExpression([
        stix.EqualityComparisonExpression("windows-registry-key:key", stix.patterns.StringConstant(key)),
        stix.EqualityComparisonExpression("windows-registry-key:values[*].name", stix.patterns.StringConstant(name)),
    ])  # fmt: skip
    return stix.OrBooleanExpression([is_key, stix.ParentheticalExpression(is_value)])


def _note(cluster: Intelligence) -> str:
    lines = [cluster.summary, "What its analyses have in common:"]
    return "\n".join(
        [*lines, *(f"{trait.kind}: {json.dumps(trait.value)}, {trait.frequency}" for trait in cluster.traits)]
    )
