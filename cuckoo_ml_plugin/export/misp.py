"""A cluster as a MISP event, made and checked by PyMISP: files as objects, behaviour as attributes.

Only what may raise an alarm is marked for detection (``to_ids``). The event is not published and its distribution is
"your organisation only": who shares it decides that.
"""

from __future__ import annotations

from typing import Any

from cuckoo_ml_plugin.export.intelligence import Intelligence, Trait
from cuckoo_ml_plugin.plumbing.extras import desk_package

# Kind of behaviour -> MISP's type of attribute; every other kind is a text.
_TYPES = {
    "mutex": "mutex", "domain": "domain", "http": "uri", "user_agent": "user-agent", "imphash": "imphash",
    "reg_written": "regkey", "service_created": "windows-service-name", "host": "ip-dst", "file_written": "filename",
    "file_created": "filename", "file_copied": "filename", "dropped_name": "filename",
}  # fmt: skip
_SUMMARY = "What this is"
_ONLY_MINE, _UNDEFINED, _INITIAL = 0, 4, 0  # distribution, threat level, state of the analysis


def misp_event(known: Intelligence) -> str:
    """The event as JSON text, ``{"Event": ...}``, as MISP imports it. Raises CuckooMLError without PyMISP."""
    misp = desk_package("pymisp", "MISP events")
    event = misp.MISPEvent()
    event.uuid = known.uuid("event")
    event.info = f"cuckoo-ml: {known.title}"
    event.date = known.fitted_at[:10]
    event.distribution, event.threat_level_id, event.analysis = _ONLY_MINE, _UNDEFINED, _INITIAL
    event.published = False
    event.add_tag(f"tlp:{known.tlp}")
    _attribute(event, known, "text", known.summary, _SUMMARY)
    for trait in known.traits:
        _add_trait(event, known, trait)
    for sample in known.samples:
        file = misp.MISPObject("file")
        file.uuid = known.uuid("file", sample.sha256)
        says = f"Analysis {sample.analysis}; membership {sample.probability:.2f}; label {sample.label or 'none'}"
        file.comment = says
        relations = [("sha256", sample.sha256), ("filename", sample.name)]
        for relation, value in relations:
            if value:
                uuid = known.uuid("file", sample.sha256, relation)
                file.add_attribute(relation, value, uuid=uuid, to_ids=relation == "sha256")
        event.add_object(file)
    return f'{{"Event": {event.to_json()}}}'


def _add_trait(event: Any, known: Intelligence, trait: Trait) -> None:
    kind = _TYPES.get(trait.kind) if trait.indicator else None
    value = trait.indicator if kind and trait.indicator else f"{trait.kind}: {trait.value}"
    comment = f"{trait.kind} {trait.says}"
    _attribute(event, known, kind or "text", value, comment, to_ids=trait.detect)


def _attribute(event: Any, known: Intelligence, kind: str, value: str, comment: str, to_ids: bool = False) -> None:
    uuid = known.uuid("attribute", kind, value if comment != _SUMMARY else "")
    if all(one.uuid != uuid for one in event.attributes):
        event.add_attribute(kind, value, comment=comment, to_ids=to_ids, uuid=uuid)
