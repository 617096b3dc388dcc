"""The section ``info.clustering.hdbscan``, where CuckooML, the seed of this plugin, wrote (docs/section.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def seed_section(section: Mapping[str, Any], min_samples: int, min_cluster_size: int) -> dict[str, Any]:
    """The seed's section of an analysis, from its section ``cuckooml`` and the settings of the model."""
    cluster, anomaly = section["cluster"], section["anomaly"]
    return {
        "clusterID": number_of_id(cluster["id"] if cluster else None),
        "clusterProbability": cluster["probability"] if cluster else 0.0,
        "outlierScore": anomaly["outlier_score"] if anomaly else 0.0,
        "min_samples": min_samples,
        "min_cluster_size": min_cluster_size,
    }


def number_of_id(group_id: str | None) -> int:
    """The number that CuckooML gave a cluster: 17 for c17, -1 (noise) for None. The kin k3 has the number 3."""
    return int(group_id[1:]) if group_id else -1
