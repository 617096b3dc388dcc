"""What a threat exchange would say of the names and addresses that a sample spoke to, in CAPE's shapes."""

from __future__ import annotations

from random import Random
from typing import Any

from cuckoo_ml_samples.run import Run

_CONFIDENCES = (100, 100, 75, 75, 50)
_KNOWN = 0.8  # share of a malware's names and addresses that the exchange knows


def threat_intelligence(run: Run) -> dict[str, Any] | None:
    """CAPE's section `threatintelligence`; None where nothing is known, as CAPE leaves it out then."""
    family = run.sample.av_family
    if family is None:
        return None
    rng = Random(f"{run.sample.sha256} threat exchange")  # of its own: other parts of the report do not depend on it
    spoken = dict.fromkeys(run.network.lookups, "domain") | {address: "ip" for address, _, _ in run.network.tcp}
    known = {one: [_hit(one, kind, family, rng)] for one, kind in sorted(spoken.items()) if rng.random() < _KNOWN}
    if not known:
        return None
    return {
        "providers": {"indicator": ["threatfox"], "family": [], "actor": []},
        "indicators": {"by_indicator": known, "count": len(known)},
        "families": [],
        "actors": [],
        "promoted_detections": [],
        "stats": {"indicators_with_intel": len(known), "families": 0, "actors": 0},
    }


def _hit(indicator: str, kind: str, family: str, rng: Random) -> dict[str, Any]:
    return {
        "source": "threatfox",
        "indicator": indicator,
        "indicator_type": kind,
        "ioc": indicator,
        "ioc_id": str(rng.randrange(100_000, 2_000_000)),
        "indicator_url": None,
        "threat_type": "botnet_cc",
        "threat_type_desc": "Indicator that identifies a botnet command&control server (C&C)",
        "ioc_type": "domain" if kind == "domain" else "ip:port",
        "ioc_type_desc": None,
        "malware": f"win.{family}",
        "malware_printable": family.capitalize(),
        "malware_alias": None,
        "malware_malpedia": None,
        "confidence_level": rng.choice(_CONFIDENCES),
        "first_seen": "2016-05-20 08:00:00 UTC",
        "last_seen": None,
        "reference": None,
        "reporter": "demo",
        "tags": [],
        "tag": f"botnet_cc:{family}",
        "tooltip": "",
    }
