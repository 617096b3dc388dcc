"""One finding on its way into the store and out of it, alone or with what a list shows of its analysis."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_SECTION = 256 * 1024  # characters of a section as JSON


def finite(value: float | None) -> float | None:
    """The number; None for what is no number, or one that no database and no JSON holds."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


@dataclass(slots=True)
class FindingRecord:
    """The latest finding of one analysis. ``section``: the whole report section as JSON, or ""."""

    analysis: str
    model: str
    cluster: str | None
    probability: float | None
    outlier_score: float | None
    anomaly_score: float | None
    anomalous: bool
    section: str = ""
    scored_at: str = ""
    kin: str | None = None
    kin_probability: float | None = None

    @classmethod
    def of(cls, analysis: str, section: Mapping[str, Any]) -> FindingRecord | None:
        """The record of a report section; None for a section that was made without a model."""
        model, cluster, anomaly, kin = section["model"], section["cluster"], section["anomaly"], section["kin"]
        if model is None:
            return None
        return cls(
            analysis=analysis,
            model=model["id"],
            cluster=cluster["id"] if cluster else None,
            probability=cluster["probability"] if cluster else None,
            outlier_score=anomaly["outlier_score"] if anomaly else None,
            anomaly_score=anomaly["score"] if anomaly else None,
            anomalous=bool(anomaly and anomaly["anomalous"]),
            section=json.dumps(section),
            kin=kin["id"] if kin else None,
            kin_probability=kin["probability"] if kin else None,
        )


@dataclass(slots=True)
class ListedAnalysis:
    """A finding with what a list shows of its analysis; ``runs``: how many of the listed analyses are of its sample."""

    finding: FindingRecord
    sha256: str | None
    target: str
    analysed_at: str | None
    stored_at: str
    label: str | None
    runs: int = 1
