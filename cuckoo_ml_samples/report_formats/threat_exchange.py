"""CAPE's section `threatintelligence`: what a threat exchange knows of the hosts that a sample contacted."""

from __future__ import annotations

from random import Random
from typing import Any

from cuckoo_ml_samples.run import Run

_CONFIDENCES = (100, 100, 75, 75, 50)
_KNOWN = 0.8  # share of the contacted names and addresses that the exchange knows


def threat_intelligence(run: Run) -> dict[str, Any] | None:
    """The section; None where the exchange knows nothing, because CAPE then leaves it out."""
    family = run.sample.av_family
    if family is None:
        return None
    # A generator of its own: the rest of the report does not depend on this section.
    rng = Random(f"{run.sample.sha256} threat exchange")
    contacted = dict.fromkeys(run.network.lookups, "domain") | {address: "ip" for address, _, _ in run.network.tcp}
    hits = {
        indicator: [_hit(indicator, kind, family, rng)]
        for indicator, kind in sorted(contacted.items())
        if rng.random() < _KNOWN
    }
    if not hits:
        return None
    return {
        "providers": {"indicator": ["threatfox"], "family": [], "actor": []},
        "indicators": {"by_indicator": hits, "count": len(hits)},
        "families": [],
        "actors": [],
        "promoted_detections": [],
        "stats": {"indicators_with_intel": len(hits), "families": 0, "actors": 0},
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
