"""The host's signatures, and the one that states our own finding, for tools that do not know the section.

Ours says what the corpus says of an analysis and is no behaviour, so it is not one of the host's when a report is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from cuckoo_ml_plugin.report.values import integer, mapping, mappings, text, texts

FINDING_SIGNATURE: Final = "behaves_like"
"""The name of the signature that ``[host] signature`` adds. A finding must never become a feature of the next one."""

_ID: Final = re.compile(r"[A-Z]{1,2}\d{4}(?:\.[A-Za-z]?\d{1,4})?")


def host_signatures(results: Mapping[str, Any]) -> list[str]:
    """The names of the signatures that matched, in the host's order."""
    names = (text(entry.get("name")) for entry in mappings(results.get("signatures")))
    return [name for name in names if name and name != FINDING_SIGNATURE]


def severities_of(results: Mapping[str, Any]) -> dict[str, int]:
    """How severe the host calls each signature that matched, by its name."""
    return {
        name: integer(entry.get("severity")) or 0
        for entry in mappings(results.get("signatures"))
        if (name := text(entry.get("name"))) and name != FINDING_SIGNATURE
    }


def techniques_of(results: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The ids of techniques in ATT&CK, and of behaviours in the Malware Behavior Catalog, that the signatures show.

    CAPE has them in ``ttps``: as a mapping from technique to signature (2.2), a list with a technique each (2.4), or a
    list with a signature each (2.5). Cuckoo has techniques with each signature.
    """
    ttps, catalog = results.get("ttps"), results.get("mbcs")
    techniques = [name for name in mapping(ttps) if isinstance(name, str)]
    behaviours = [name for names in mapping(catalog).values() for name in texts(names)]
    for entry in mappings(ttps):
        techniques += texts(entry.get("ttp")) + texts(entry.get("ttps"))
        behaviours += texts(entry.get("mbcs"))
    for entry in mappings(results.get("signatures")):
        techniques += [name for name in mapping(entry.get("ttp")) if isinstance(name, str)]
    return _ids(techniques), _ids(behaviours)


def _ids(names: list[str]) -> list[str]:
    """Those that look like ids, such as ``T1055.012`` and ``B0001.032``, once each."""
    return [name for name in dict.fromkeys(names) if _ID.fullmatch(name)]


def finding_signature(section: Mapping[str, Any], *, cape: bool) -> dict[str, Any] | None:
    """The signature of a section, as CAPE or as Cuckoo 2 has them; None for an analysis that belongs to no cluster."""
    cluster = section["cluster"]
    if section["status"] != "scored" or cluster is None:
        return None
    name = "" if cluster["name"] == cluster["id"] else f"{cluster['name']} "
    described = f"{name}({cluster['id']}, probability {cluster['probability']:.2f})"
    signature: dict[str, Any] = {
        "name": FINDING_SIGNATURE,
        "description": f"Behaves like {described}" if name else f"Behaves like a known cluster {described}",
        "severity": 1,  # the least that both hosts have
        "families": [],  # CAPE takes these as detections
        "references": [],
    }
    if cape:
        share = round(100 * cluster["probability"])
        place = {"cluster": cluster["id"]}
        return signature | {
            "categories": ["clustering"], "weight": 0, "confidence": share, "alert": False,
            "data": [place], "new_data": [],
        }  # fmt: skip
    return signature | {"marks": [], "markcount": 0, "ttp": {}}


def put_signature(results: MutableMapping[str, Any], signature: Mapping[str, Any] | None) -> None:
    """Set the signature in a host's results; one of an earlier run is replaced, with None taken away."""
    signatures = results.get("signatures")
    if not isinstance(signatures, list):
        if signatures is None and signature is not None:
            results["signatures"] = [dict(signature)]
        return
    kept = [entry for entry in signatures if not _is_ours(entry)]
    signatures[:] = [*kept, dict(signature)] if signature is not None else kept


def has_finding_signature(results: Mapping[str, Any]) -> bool:
    """Whether a report has our signature."""
    return any(_is_ours(entry) for entry in mappings(results.get("signatures")))


def update_signature(results: MutableMapping[str, Any], section: Mapping[str, Any]) -> None:
    """Bring the signature, where a report has it, up to date with a section."""
    ours = [entry for entry in mappings(results.get("signatures")) if _is_ours(entry)]
    if ours:
        put_signature(results, finding_signature(section, cape="weight" in ours[0]))


def _is_ours(entry: Any) -> bool:
    return bool(mapping(entry).get("name") == FINDING_SIGNATURE)
