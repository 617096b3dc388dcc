"""A cluster as a MISP event, made and checked by PyMISP: files as objects, behaviour as attributes.

Only traits that may raise an alarm are marked for detection (``to_ids``). The event is not published, and its
distribution is "your organisation only": the person who shares it decides otherwise.
"""

from __future__ import annotations

from typing import Any

from cuckoo_ml_plugin.export.intelligence import Intelligence, Trait
from cuckoo_ml_plugin.plumbing.extras import optional_package

# Kind of token -> type of a MISP attribute. Every other kind becomes a text.
_TYPES = {
    "mutex": "mutex", "domain": "domain", "http": "uri", "user_agent": "user-agent", "imphash": "imphash",
    "reg_written": "regkey", "service_created": "windows-service-name", "host": "ip-dst", "file_written": "filename",
    "file_created": "filename", "file_copied": "filename", "dropped_name": "filename",
}  # fmt: skip
_SUMMARY = "Summary"
_OWN_ORGANISATION, _UNDEFINED, _INITIAL = 0, 4, 0  # distribution, threat level, state of the analysis


def misp_event(cluster: Intelligence) -> str:
    """The event as JSON text, ``{"Event": ...}``, as MISP imports it. Raises CuckooMLError without PyMISP."""
    misp = optional_package("pymisp", "MISP events")
    event = misp.MISPEvent()
    event.uuid = cluster.uuid("event")
    event.info = f"cuckoo-ml: {cluster.title}"
    event.date = cluster.fitted_at[:10]
    event.distribution, event.threat_level_id, event.analysis = _OWN_ORGANISATION, _UNDEFINED, _INITIAL
    event.published = False
    event.add_tag(f"tlp:{cluster.tlp}")
    _attribute(event, cluster, "text", cluster.summary, _SUMMARY)
    for trait in cluster.traits:
        _add_trait(event, cluster, trait)
    for sample in cluster.samples:
        file = misp.MISPObject("file")
        file.uuid = cluster.uuid("file", sample.sha256)
        file.comment = (
            f"Analysis {sample.analysis}; membership {sample.probability:.2f}; label {sample.label or 'none'}"
        )
        relations = [("sha256", sample.sha256), ("filename", sample.name)]
        for relation, value in relations:
            if value:
                uuid = cluster.uuid("file", sample.sha256, relation)
                file.add_attribute(relation, value, uuid=uuid, to_ids=relation == "sha256")
        event.add_object(file)
    return f'{{"Event": {event.to_json()}}}'


def _add_trait(event: Any, cluster: Intelligence, trait: Trait) -> None:
    kind = _TYPES.get(trait.kind) if trait.indicator else None
    value = trait.indicator if kind and trait.indicator else f"{trait.kind}: {trait.value}"
    comment = f"{trait.kind} {trait.frequency}"
    _attribute(event, cluster, kind or "text", value, comment, to_ids=trait.detect)


def _attribute(event: Any, cluster: Intelligence, kind: str, value: str, comment: str, to_ids: bool = False) -> None:
    uuid = cluster.uuid("attribute", kind, value if comment != _SUMMARY else "")
    if all(attribute.uuid != uuid for attribute in event.attributes):
        event.add_attribute(kind, value, comment=comment, to_ids=to_ids, uuid=uuid)
